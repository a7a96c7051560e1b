"""Sums in one order: the same bits in every run."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from napari_sbackprop.ops.threads import torch_on_one_thread

_memory: Any = torch.utils.deterministic  # its switch carries no annotation


@contextmanager
def sums_in_one_order(asked: bool = True) -> Iterator[None]:
    """Ask for sums in one order, of torch and of our kernels, or in any; afterwards torch's switches are as before.

    On a CPU torch's order depends on the number of threads, so that it gets one; our kernels keep theirs. Operations of
    torch that know no order on a GPU say so in a warning. To be entered before the first product of matrices on a GPU:
    cuBLAS reads the environment then, and not again.
    """
    with ExitStack() as stack:
        if asked:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            stack.enter_context(torch_on_one_thread())
        if asked != torch.are_deterministic_algorithms_enabled():  # who asked strictly is obeyed strictly
            stack.enter_context(_switched(asked))
        yield


@contextmanager
def _switched(on: bool) -> Iterator[None]:
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = _memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(on, warn_only=True)
    _memory.fill_uninitialized_memory = False  # all that we read was written
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(not on, warn_only=warned)
        _memory.fill_uninitialized_memory = filled
