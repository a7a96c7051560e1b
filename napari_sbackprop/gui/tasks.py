"""Work beside the Qt main thread: results back to it, generators on a worker thread."""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from qtpy.QtCore import QObject, Qt, Signal

from napari_sbackprop.errors import InputError

logger = logging.getLogger(__name__)
T = TypeVar("T")


class MainThread(QObject):
    """Runs functions on the thread that made this object: `deliver` may be called from any thread."""

    _called = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._called.connect(self._on_called, Qt.ConnectionType.QueuedConnection)

    def deliver(self, function: Callable[[], None]) -> None:
        """Run `function` later on the main thread; after the end of the program nothing happens."""
        try:
            self._called.emit(function)
        except RuntimeError:  # Qt has already deleted the object
            logger.debug("an answer came after the window was closed")

    def _on_called(self, function: Callable[[], None]) -> None:
        function()


@dataclass(frozen=True)
class Failure:
    """Why a task ended early, in a sentence."""

    sentence: str


def guarded(records: Iterator[T]) -> Iterator[T | Failure]:
    """Pass records on; turn an exception into a last record.

    A generator worker swallows RuntimeError, the class of most errors of torch: without this, a training that ran
    out of memory would seem to run for ever.
    """
    try:
        yield from records
    except Exception as error:
        yield Failure(sentence_for(error))


def sentence_for(error: Exception) -> str:
    """What to tell people about an exception; one that we did not expect is logged with its traceback."""
    from napari_sbackprop.training.progress import TrainingError

    if isinstance(error, (InputError, TrainingError)):
        return str(error)
    logger.error("a task failed", exc_info=error)
    return f"{type(error).__name__}: {error}"


class Task:
    """A generator on a worker thread.

    Stopping is left to an event that the generator reads: quitting a worker would merely stop asking it for records.

    Parameters
    ----------
    records : makes the generator; called on the worker thread.
    on_record : gets each record on the main thread.
    on_end : called once on the main thread, with None or the failure.
    """

    def __init__(
        self,
        records: Callable[[threading.Event], Iterator[Any]],
        on_record: Callable[[Any], None],
        on_end: Callable[[Failure | None], None],
    ) -> None:
        from napari.qt.threading import create_worker

        self.stop_event = threading.Event()
        self._failure: Failure | None = None
        self._on_record = on_record
        self._on_end = on_end
        # napari's progress indicator redraws the window around the canvas all the time: never ask for it
        self._worker = create_worker(lambda: (yield from guarded(_late(records, self.stop_event))))
        self._worker.yielded.connect(self._on_yielded)
        self._worker.finished.connect(self._on_finished)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """Ask the generator to come to an end."""
        self.stop_event.set()

    def _on_yielded(self, record: Any) -> None:
        if isinstance(record, Failure):
            self._failure = record
        else:
            self._on_record(record)

    def _on_finished(self) -> None:
        self._on_end(self._failure)


def _late(make: Callable[[threading.Event], Iterator[T]], stop: threading.Event) -> Iterator[T]:
    """Call `make` on the thread that iterates, so that its errors are caught there too."""
    yield from make(stop)
