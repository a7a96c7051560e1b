"""Sums in one order: the same bits in every run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def sums_in_one_order(asked: bool = True) -> Iterator[None]:
    """Ask torch, and with it our kernels, for sums in one order, or in any; afterwards it is as before.

    On a CPU ours have one anyway. Operations of torch that know no way to it say so in a warning.
    """
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    if asked:  # cuBLAS reads it at its first use, and without it matrix products have no order
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(asked, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
