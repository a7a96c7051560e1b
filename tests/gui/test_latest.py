import queue
import threading
from collections.abc import Iterator

import pytest

from napari_sbackprop.gui.latest import LatestWorker


class Bench:
    def __init__(self) -> None:
        self.calls: queue.Queue = queue.Queue()
        self.worker = LatestWorker(self.calls.put, "test")
        self.done: list = []
        self.errors: list[Exception] = []

    def ask(self, work) -> None:
        self.worker.submit(work, self.done.append, self.errors.append)

    def deliver(self) -> None:
        self.calls.get(timeout=10)()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.worker.close()


def test_of_many_requests_the_running_and_the_last_are_answered(bench: Bench) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        go.wait(10)
        return 0

    bench.ask(slow)
    assert begun.wait(10)
    for number in range(1, 10):
        bench.ask(lambda number=number: number)
    go.set()
    while bench.done[-1:] != [9]:
        bench.deliver()
    assert set(bench.done) <= {0, 9}


def test_answers_before_an_invalidation_are_dropped(bench: Bench) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        go.wait(10)
        return "stale"

    bench.ask(slow)
    assert begun.wait(10)
    bench.worker.invalidate()
    bench.ask(lambda: "new")
    go.set()
    bench.deliver()
    assert bench.done == ["new"]


def test_an_exception_is_an_answer_too(bench: Bench) -> None:
    def broken() -> None:
        raise RuntimeError("no memory")

    bench.ask(broken)
    bench.deliver()
    assert [str(error) for error in bench.errors] == ["no memory"]
    bench.ask(lambda: "still alive")
    bench.deliver()
    assert bench.done == ["still alive"]
    assert not bench.worker.busy
