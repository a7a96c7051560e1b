"""What the user sees: results on stdout, progress on stderr, and a way to stop."""

import json
import logging
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from napari_sbackprop.training.progress import Progress

if TYPE_CHECKING:
    from rich import progress as bars


def examples(*lines: str) -> str:
    """Epilogue of a help text; the mark keeps the lines as they are."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def log_to(stream: Literal["stdout", "stderr"]) -> None:
    """Show what the library logs, one plain line each, above a progress bar if there is one."""
    logger = logging.getLogger("napari_sbackprop")
    logger.setLevel(logging.INFO)
    for handler in [handler for handler in logger.handlers if isinstance(handler, _ConsoleHandler)]:
        logger.removeHandler(handler)
    logger.addHandler(_ConsoleHandler(stream))


class _ConsoleHandler(logging.Handler):
    def __init__(self, stream: str) -> None:
        super().__init__()
        self.stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        # Looked up for every line: a progress bar replaces sys.stderr while it is shown.
        print(self.format(record), file=getattr(sys, self.stream), flush=True)


def show(values: Mapping[str, Any], as_json: bool) -> None:
    """Print the result of a command: one JSON object, or "name: value" lines."""
    if as_json:
        print(json.dumps(_plain(values), indent=2))
        return
    width = max((len(name) for name in values), default=0) + 1
    for name, value in values.items():
        print(f"{name.replace('_', ' ') + ':':<{width}} {_readable(value)}")


def _plain(value: Any) -> Any:
    """`value` made of what JSON knows; numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _readable(value: Any) -> str:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_readable(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_readable(item) for item in value)
    return "-" if value is None else str(value)


@contextmanager
def progress_bar(*columns: str) -> Iterator["bars.Progress"]:
    """Show a bar on stderr; `columns` are templates of what stands right of it."""
    from rich import progress as bars
    from rich.console import Console

    layout = [bars.TextColumn("{task.description}"), bars.BarColumn(), bars.TaskProgressColumn()]
    texts = [bars.TextColumn(column) for column in columns]
    with bars.Progress(*layout, *texts, console=Console(stderr=True), transient=True) as bar:
        yield bar


@contextmanager
def fraction_bar(title: str) -> Iterator[Callable[[float], None]]:
    """Show a bar for a function that reports the fraction done, from any thread."""
    with progress_bar() as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda fraction: bar.update(task, completed=fraction)


def follow(steps: Iterable[Progress]) -> list[Progress]:
    """Run a training to its end, showing throughput and time left; give the reports of the epochs published."""
    published = []
    with progress_bar("{task.fields[rate]:,.0f} particles/s", "{task.fields[left]} left") as bar:
        task = bar.add_task("reading", total=1.0, rate=0.0, left="?")
        for step in steps:
            bar.update(
                task,
                completed=step.fraction,
                description=step.stage,
                rate=step.particles_per_second,
                left=step.time_left or "?",
            )
            if step.epoch is not None:
                published.append(step)
    return published


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Let Ctrl-C, or a cluster's SIGTERM, ask for a stop after the current step; a second one ends at once."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        print("Stopping after this step, and keeping the last epoch; again to quit at once.", file=sys.stderr)

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
