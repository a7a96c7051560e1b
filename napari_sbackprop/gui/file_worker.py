"""One worker thread on which files are read and written, one after the other."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from napari_sbackprop.gui.latest import Deliver
from napari_sbackprop.gui.thread_pools import one_thread

T = TypeVar("T")


class FileWorker:
    """Runs requests in their order; each answer is delivered.

    Parameters
    ----------
    deliver : runs a function on the thread that the answers belong to.
    on_error : gets what a request raised.
    """

    def __init__(self, deliver: Deliver, on_error: Callable[[Exception], None]) -> None:
        self._deliver = deliver
        self._on_error = on_error
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="sbackprop-files")
        self._closed = False

    def submit(self, work: Callable[[], T], on_done: Callable[[T], None]) -> None:
        """Ask for `work()`; its result goes to `on_done`."""
        if self._closed:
            return

        def run() -> None:
            try:
                one_thread()
                result = work()
            except Exception as error:
                self._deliver(partial(self._on_error, error))
            else:
                self._deliver(partial(on_done, result))

        try:
            self._threads.submit(run)
        except RuntimeError:  # the program has ended, and with it all threads
            run()

    def close(self) -> None:
        """Take no more requests; those that were made come to their end, lest a file be missing."""
        self._closed = True
        self._threads.shutdown(wait=False)
