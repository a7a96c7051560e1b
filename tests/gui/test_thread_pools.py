"""Workers of the window compute on one thread each, whatever others do."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import torch

from napari_sbackprop.gui.file_worker import FileWorker
from napari_sbackprop.gui.latest import LatestWorker
from napari_sbackprop.gui.thread_pools import all_threads

SECONDS = 20.0


def on_a_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def submit(worker: str) -> Callable[..., None]:
    def at_once(function: Callable[[], None]) -> None:
        function()

    if worker == "files":
        return FileWorker(at_once, lambda error: None).submit
    latest = LatestWorker(at_once, "test")
    return lambda work, on_done: latest.submit(work, on_done, lambda error: None)


@pytest.mark.parametrize("worker", ["files", "latest"])
def test_a_request_computes_on_one_thread(worker):
    found, answered = [], threading.Event()
    on_a_thread(lambda: torch.set_num_threads(2))  # what new threads begin with
    submit(worker)(torch.get_num_threads, lambda number: (found.append(number), answered.set()))
    assert answered.wait(SECONDS)
    assert found == [1]


def test_a_request_that_computes_nothing_does_not_wait_for_torch():
    code = """
import sys, threading
from napari_sbackprop.gui.file_worker import FileWorker
answered = threading.Event()
FileWorker(lambda call: call(), print).submit(lambda: "torch" in sys.modules, lambda loaded: (print(loaded), answered.set()))
answered.wait(20)
"""
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout == "False\n"


def test_a_request_after_the_end_of_the_program_is_done_at_once():
    code = """
import atexit
from napari_sbackprop.gui.file_worker import FileWorker
worker = FileWorker(lambda call: call(), print)
worker.submit(int, lambda _: None)
atexit.register(worker.submit, lambda: "kept", print)
"""
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("kept\n", "")


def test_a_new_thread_gets_all_cores_again():
    found = []
    on_a_thread(lambda: torch.set_num_threads(1))
    on_a_thread(lambda: (all_threads(), found.append(torch.get_num_threads())))
    assert found == [os.cpu_count()]
