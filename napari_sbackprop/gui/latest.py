"""One worker thread on which only the newest request counts."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari_sbackprop.gui.thread_pools import one_thread

Deliver = Callable[[Callable[[], None]], None]
"""Runs a function later on the thread that owns the model (the Qt main thread, or a test's own queue)."""


@dataclass(frozen=True, eq=False)
class _Request:
    generation: int
    work: Callable[[], Any]
    on_done: Callable[[Any], None]
    on_error: Callable[[Exception], None]


class LatestWorker:
    """Runs requests on a thread of its own; a new request replaces the one that waits.

    An answer is delivered while its request's generation is current, so a dragged cursor sees every map that was
    made in time, while `invalidate` (another run, another epoch) silences all that was asked before. Answers don't
    queue up either: one that was not yet delivered is replaced by its successor.
    """

    def __init__(self, deliver: Deliver, name: str) -> None:
        self._deliver = deliver
        self._condition = threading.Condition()
        self._waiting: _Request | None = None
        self._answer: tuple[_Request, Any] | None = None
        self._generation = 0
        self._running = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a request waits, runs, or has an answer that was not delivered yet."""
        with self._condition:
            return self._waiting is not None or self._running or self._answer is not None

    def submit(
        self, work: Callable[[], Any], on_done: Callable[[Any], None], on_error: Callable[[Exception], None]
    ) -> None:
        """Ask for `work()`; its result goes to `on_done`, an exception to `on_error`."""
        with self._condition:
            self._waiting = _Request(self._generation, work, on_done, on_error)
            self._condition.notify()

    def invalidate(self) -> None:
        """Forget what waits, and drop the answer of what runs."""
        with self._condition:
            self._generation += 1
            self._waiting = None
            self._answer = None

    def close(self) -> None:
        """End the thread once its present work is done."""
        self.invalidate()
        with self._condition:
            self._closed = True
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting is not None or self._closed)
                if self._closed:
                    return
                request, self._waiting = self._waiting, None
                self._running = True
            assert request is not None
            try:
                one_thread()
                outcome: Any = request.work()
            except Exception as error:
                outcome = error
            self._answered(request, outcome)

    def _answered(self, request: _Request, outcome: Any) -> None:
        with self._condition:
            self._running = False
            if request.generation != self._generation:
                return
            pending, self._answer = self._answer is not None, (request, outcome)
        if not pending:
            self._deliver(self._hand_over)

    def _hand_over(self) -> None:
        with self._condition:
            answer, self._answer = self._answer, None
        if answer is None:
            return
        request, outcome = answer
        if isinstance(outcome, Exception):
            request.on_error(outcome)
        else:
            request.on_done(outcome)
