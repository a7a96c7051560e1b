"""What training tells its observers."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


class TrainingError(Exception):
    """Training cannot go on; the message is one sentence. Not a RuntimeError: GUI workers swallow those."""


@dataclass(frozen=True)
class Progress:
    """A snapshot of a running training, safe to pass between threads.

    Attributes
    ----------
    stage : what is being done, for people ("closed-form start, 21 Å").
    fraction : share of the whole run that is done, 0 ... 1.
    particles_per_second : throughput over the last seconds.
    seconds_left : estimate for the whole run.
    epoch : number of the epoch that was just published, else None.
    metrics : named figures (loss, kl, information, ...), as far as known.
    """

    stage: str
    fraction: float
    particles_per_second: float = 0.0
    seconds_left: float = 0.0
    epoch: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def time_left(self) -> str:
        """The estimate as h:mm:ss or m:ss; empty while there is none."""
        minutes, seconds = divmod(round(self.seconds_left), 60)
        hours, minutes = divmod(minutes, 60)
        if not self.seconds_left:
            return ""
        return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def finished(work: Generator[float, None, T], report: Callable[[float], object] | None = None) -> T:
    """Run work that yields how much of it is done to its end, for the value that it returns."""
    while True:
        try:
            done = next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        if report is not None:
            report(done)
