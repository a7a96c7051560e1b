"""Qt's event loop, run for a while, with a note of every time that it did not answer."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtWidgets import QApplication

SECONDS = 90.0
BEAT_MILLISECONDS = 20  # blocks are known to within one; more beats would slow a training
BLOCK = 0.1  # seconds; shorter ones nobody feels


@dataclass
class Blocks:
    """Times in which nothing was answered, during one action: how many, and the longest with the machine's load then."""

    station: str
    action: str
    training: bool
    count: int = 0
    longest_ms: int = 0
    load: float = 0.0


class EventLoop:
    """Runs Qt while somebody waits, and listens to its heart: a timer that beats as long as events are answered.

    Attributes
    ----------
    station, action : what is being done, for the notes.
    training : whether a training runs meanwhile.
    blocks : the times beyond BLOCK without a beat.
    """

    def __init__(self) -> None:
        self.station, self.action, self.training = "", "", False
        self._blocks: dict[tuple[str, str, bool], Blocks] = {}
        self._last: float | None = None  # None while the script itself works
        self._heart = QTimer()
        self._heart.setTimerType(Qt.TimerType.PreciseTimer)
        self._heart.setInterval(BEAT_MILLISECONDS)
        self._heart.timeout.connect(self._beat)
        self._heart.start()

    @property
    def blocks(self) -> list[Blocks]:
        return sorted(self._blocks.values(), key=lambda blocks: -blocks.longest_ms)

    def until(self, condition: Callable[[], Any], what: str = "an answer", seconds: float = SECONDS) -> None:
        """Run Qt until a condition holds."""
        end = time.monotonic() + seconds
        with self.listening():
            while not condition():
                QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)  # a beat at most
                if time.monotonic() > end:
                    raise TimeoutError(f"waited {seconds:.0f} s for {what}")

    def run(self, seconds: float) -> None:
        """Run Qt for a while."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Count the time spent inside as the program's, not the script's."""
        if self._last is not None:  # within a loop that an answer to a dialog runs in
            yield
            return
        self._last = time.perf_counter()
        try:
            yield
        finally:
            self._beat()
            self._last = None

    def _beat(self) -> None:
        if self._last is None:
            return
        now = time.perf_counter()
        gap, self._last = now - self._last, now
        if gap > BLOCK:
            self._note(round(1000 * gap))

    def _note(self, milliseconds: int) -> None:
        here = (self.station, self.action, self.training)
        blocks = self._blocks.setdefault(here, Blocks(*here))
        blocks.count += 1
        if milliseconds > blocks.longest_ms:
            blocks.longest_ms, blocks.load = milliseconds, round(os.getloadavg()[0], 2)
