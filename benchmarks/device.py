"""What every measurement on a device needs: the time when it is done, and sums in one order or in any."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def now(device: torch.device) -> float:
    """Seconds of the clock, once nothing is left to do on a device: a GPU works on after a call has returned."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextmanager
def sums_in_one_order(asked: bool = True) -> Iterator[None]:
    """Ask torch and our kernels for the same bits in every run, or for none of it."""
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(asked, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
