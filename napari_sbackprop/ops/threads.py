"""How many threads torch has for one thread of the program."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_asked = threading.local()


def set_threads(number: int) -> None:
    """Let torch compute on `number` threads, 0 for all cores, for the calling thread from now on.

    A new thread begins with the number that was set last, by whomever. Torch asks for it at the first use in a thread, so
    asking comes first here: else a thread would take over what another sets later.
    """
    number = number or os.cpu_count() or 1
    if torch.get_num_threads() != number:
        torch.set_num_threads(number)


@contextmanager
def torch_on_one_thread() -> Iterator[None]:
    """Leave all threads to our kernels, which come to the same bits on any number of them: torch's own sums do not."""
    number = _asked.number = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        del _asked.number
        torch.set_num_threads(number)


@contextmanager
def threads_of_kernels() -> Iterator[None]:
    """The threads that `torch_on_one_thread` took from torch, where it did."""
    number = getattr(_asked, "number", None)
    if number is None:
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(1)
