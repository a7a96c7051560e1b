"""Which implementation serves a device: the native kernels or plain PyTorch."""

import logging
from functools import cache
from typing import NamedTuple

import torch

from napari_sbackprop.errors import InputError
from napari_sbackprop.ops.extension import BACKEND_VARIABLE, forced_backend, load_extension

_log = logging.getLogger(__name__)


class Backend(NamedTuple):
    """How the operations run on a device.

    Attributes
    ----------
    name : "native" (compiled kernels) or "torch" (plain PyTorch).
    reason : one sentence, why this one.
    """

    name: str
    reason: str


def backend(device: torch.device | str) -> Backend:
    """Choose the back end of a device; loads, and if need be compiles, the native library at the first call."""
    forced = forced_backend()
    if forced == "torch":
        return Backend("torch", f"{BACKEND_VARIABLE}=torch asks for plain PyTorch.")
    chosen = _backend_of_type(torch.device(device).type)
    if forced == "native" and chosen.name != "native":
        raise InputError(
            f"{BACKEND_VARIABLE}=native cannot be met: {chosen.reason} Unset it to use plain PyTorch."
        )
    return chosen


@cache
def _backend_of_type(device_type: str) -> Backend:
    if device_type == "cpu":
        extension = load_extension()
        if extension.path is not None:
            return Backend("native", f"Compiled kernels from {extension.path}.")
        reason = extension.reason
    elif device_type == "cuda":
        # Imported here: where there is no GPU nothing of it is needed.
        from napari_sbackprop.ops.cuda import self_check

        reason = self_check(torch.device("cuda"))
        if not reason:
            return Backend(
                "native", "CUDA kernels, compiled by torch's NVRTC and checked against plain PyTorch."
            )
    else:
        reason = f"There are no native kernels for {device_type} devices."
    _log.warning("Falling back to plain PyTorch, which is several times slower. %s", reason)
    return Backend("torch", reason)
