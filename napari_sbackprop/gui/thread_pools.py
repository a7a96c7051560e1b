"""Keeping the thread pools of numpy and torch asleep while one small thing is computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on the calling thread alone.

    Waking a pool takes longer than making a map, and its threads spin for tens of milliseconds afterwards, on the cores
    that should draw the map. Torch's number of threads stays at 1 for the calling thread; other threads keep theirs.
    """
    import torch

    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
    with _pools().limit(limits=1, user_api="blas"):
        yield


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()
