import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.tasks import Failure, MainThread, Task, guarded

pytestmark = pytest.mark.gui


@pytest.mark.parametrize(
    "error", [RuntimeError("out of memory"), ValueError("odd"), InputError("The box is odd.")]
)
def test_any_error_of_a_generator_becomes_a_record(error: Exception) -> None:
    def records() -> Iterator[int]:
        yield 1
        raise error

    first, last = list(guarded(records()))
    assert first == 1
    assert isinstance(last, Failure)
    assert str(error) in last.sentence


def run_task(qtbot: Any, records: Any) -> tuple[list[Any], list[Failure | None]]:
    got: list[Any] = []
    ends: list[Failure | None] = []
    task = Task(records, got.append, ends.append)
    task.start()
    qtbot.waitUntil(lambda: bool(ends), timeout=20_000)
    return got, ends


def test_records_arrive_on_the_main_thread(qtbot: Any) -> None:
    threads = []

    def records(stop: threading.Event) -> Iterator[str]:
        for _ in range(3):
            yield threading.current_thread().name

    task_done: list[Failure | None] = []
    task = Task(records, lambda name: threads.append((name, threading.current_thread())), task_done.append)
    task.start()
    qtbot.waitUntil(lambda: bool(task_done), timeout=20_000)
    assert {thread for _, thread in threads} == {threading.main_thread()}
    assert all(name != threading.main_thread().name for name, _ in threads)
    assert task_done == [None]


def test_a_runtime_error_ends_the_task_with_its_sentence(qtbot: Any) -> None:
    def records(stop: threading.Event) -> Iterator[int]:
        raise RuntimeError("CUDA out of memory")
        yield 0

    got, ends = run_task(qtbot, records)
    assert got == []
    assert "CUDA out of memory" in ends[0].sentence


def test_stop_lets_the_generator_finish_its_step(qtbot: Any) -> None:
    got: list[str] = []
    ends: list[Failure | None] = []

    def records(stop: threading.Event) -> Iterator[str]:
        while not stop.is_set():
            time.sleep(0.01)
            yield "step"
        yield "published"

    task = Task(records, got.append, ends.append)
    task.start()
    qtbot.waitUntil(lambda: len(got) > 2, timeout=20_000)
    task.stop()
    qtbot.waitUntil(lambda: bool(ends), timeout=20_000)
    assert got[-1] == "published"


def test_a_delivery_after_the_end_of_qt_is_harmless(qtbot: Any) -> None:
    deliverer, called = MainThread(), []
    deliverer.deleteLater()
    qtbot.wait(50)
    deliverer.deliver(lambda: called.append(1))
    qtbot.wait(50)
    assert not called
