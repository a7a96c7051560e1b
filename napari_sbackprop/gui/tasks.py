"""Work beside the Qt main thread: results back to it, generators on a worker thread."""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from qtpy.QtCore import QCoreApplication, QObject, Qt, Signal

from napari_sbackprop.errors import InputError

logger = logging.getLogger(__name__)
T = TypeVar("T")

SECONDS_TO_STOP = 20.0


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

    Most errors of torch are RuntimeErrors; a training that ran out of memory must not seem to run for ever.
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
    """A generator on a thread of its own.

    Not a worker of napari or superqt: those take a thread of Qt's global pool for as long as they run, and Qt 5
    converts images on that pool while the main thread waits and holds the interpreter lock. With as many workers as
    processor cores, the whole program locks up.

    Stopping is left to an event that the generator reads, so that a training can publish what it has.

    Parameters
    ----------
    records : makes the generator; called on the task's thread.
    on_record : gets each record on the main thread.
    on_end : called once on the main thread, with None or the failure.
    """

    def __init__(
        self,
        records: Callable[[threading.Event], Iterator[Any]],
        on_record: Callable[[Any], None],
        on_end: Callable[[Failure | None], None],
    ) -> None:
        self.stop_event = threading.Event()
        self.running = False
        self._records = records
        self._on_record = on_record
        self._on_end = on_end
        self._main = MainThread()
        self._thread = threading.Thread(target=self._run, name="sbackprop-task", daemon=True)

    def start(self) -> None:
        """Begin; call it once."""
        self.running = True
        if (application := QCoreApplication.instance()) is not None:
            application.aboutToQuit.connect(self._on_about_to_quit)
        self._thread.start()

    def stop(self) -> None:
        """Ask the generator to come to an end."""
        self.stop_event.set()

    def _run(self) -> None:
        failure: Failure | None = None
        for record in guarded(_late(self._records, self.stop_event)):
            if isinstance(record, Failure):
                failure = record
            else:
                self._main.deliver(partial(self._on_record, record))
        self._main.deliver(partial(self._end, failure))

    def _end(self, failure: Failure | None) -> None:
        self.running = False
        if (application := QCoreApplication.instance()) is not None:
            application.aboutToQuit.disconnect(self._on_about_to_quit)
        self._on_end(failure)

    def _on_about_to_quit(self) -> None:
        """Let the present step end, so that nothing is cut off in the middle of a file."""
        self.stop()
        self._thread.join(SECONDS_TO_STOP)


def _late(make: Callable[[threading.Event], Iterator[T]], stop: threading.Event) -> Iterator[T]:
    """Call `make` on the thread that iterates, so that its errors are caught there too."""
    yield from make(stop)
