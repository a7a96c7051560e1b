"""The controller of sessions: what is on screen is kept with its run, and comes back with it. Knows no Qt."""

from collections.abc import Mapping
from functools import partial
from typing import Protocol

from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.explorer_model import ExplorerModel
from napari_sbackprop.gui.file_worker import FileWorker
from napari_sbackprop.gui.preferences import preferences
from napari_sbackprop.gui.session import State, read_session, write_session
from napari_sbackprop.run_directory import RunDirectory

LOOKS = 10
"""Looks at the run after which the session is kept, lest a crash take more than a few seconds of work."""


class Part(Protocol):
    """Something that is like it was when the run is opened again."""

    def state(self) -> State:
        """What to keep."""
        ...

    def restore(self, state: State) -> None:
        """Be so again; any error tells that this cannot be."""
        ...


class Sessions:
    """Keeps the parts of one window.

    Attributes
    ----------
    parts : by name, in the order in which they are restored.
    """

    def __init__(self, model: ExplorerModel, files: FileWorker) -> None:
        self.parts: dict[str, Part] = {}
        self._model = model
        self._files = files
        self._run: RunDirectory | None = None
        self._kept: Mapping[str, State] | InputError | None = None  # None: not read yet
        self._restored = False
        self._looks = 0

    def open(self, run: RunDirectory | None) -> None:
        """Begin with another run, or with none; what is on screen is kept with the run before only if `keep` was called."""
        self._run, self._kept, self._restored = run, None, False
        if run is not None:
            self._files.submit(partial(_read, run), partial(self._on_read, run))

    def _on_read(self, run: RunDirectory, kept: Mapping[str, State] | InputError) -> None:
        if run is self._run:
            self._kept = kept

    def restore(self) -> None:
        """Have everything as it was; call it when the run's first scene is there, which is read after the session."""
        self._restored = True
        if isinstance(self._kept, InputError):  # nor will anything be kept
            self._model.complain(self._kept)
            return
        if not preferences().reopening:
            return
        failed = []
        for name, part in self.parts.items():
            if self._kept and name in self._kept:
                try:
                    part.restore(self._kept[name])
                except Exception as error:  # whatever a damaged state makes numpy or Qt raise
                    cause = error.__cause__ or error  # of what a signal has brought about
                    failed.append(f"its {name} ({type(cause).__name__}: {cause})")
        if self._kept:
            self._model.say("Opened as it was left.")
        if failed:
            lacks = "; ".join(failed)
            self._model.complain(InputError(f"The last session of this run does not fit it in {lacks}."))

    def look(self) -> None:
        """Keep the session now and then; call it about once a second."""
        self._looks += 1
        if self._looks % LOOKS == 0:
            self.keep()

    def keep(self) -> None:
        """Keep what is on screen, unless the file has something else that could not be read."""
        if self._run is None or not self._restored or isinstance(self._kept, InputError):
            return
        state = {name: part.state() for name, part in self.parts.items()}
        if state != self._kept:
            self._kept = state
            self._files.submit(partial(_write, self._run, state), partial(self._on_written, self._run))

    def _on_written(self, run: RunDirectory, error: InputError | None) -> None:
        if error is not None and run is self._run:
            self._kept = error
            self._model.complain(error)


def _write(run: RunDirectory, state: Mapping[str, State]) -> InputError | None:
    try:
        write_session(run, state)
    except InputError as error:
        return error
    return None


def _read(run: RunDirectory) -> Mapping[str, State] | InputError:
    try:
        return read_session(run)
    except InputError as error:
        return error
