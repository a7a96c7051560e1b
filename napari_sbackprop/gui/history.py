"""States to go back to."""

from typing import Generic, TypeVar

T = TypeVar("T")
MOST_STATES = 100


class History(Generic[T]):
    """The present state with those before it, and after an undo those to come again.

    States are kept, not copied: make them immutable.
    """

    def __init__(self, present: T) -> None:
        self.present = present
        self._past: list[T] = []
        self._future: list[T] = []

    @property
    def can_undo(self) -> bool:
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        return bool(self._future)

    def record(self, state: T) -> None:
        """Go on to a new state; what was undone is forgotten."""
        self._past = [*self._past, self.present][-MOST_STATES:]
        self._future = []
        self.present = state

    def undo(self) -> None:
        """Go back to the state before, if there is one."""
        if self._past:
            self._future.append(self.present)
            self.present = self._past.pop()

    def redo(self) -> None:
        """Take back the last undo, if there is one."""
        if self._future:
            self._past.append(self.present)
            self.present = self._future.pop()
