"""The time when a device is done."""

import time

import torch


def now(device: torch.device) -> float:
    """Seconds of the clock, once nothing is left to do on a device: a GPU works on after a call has returned."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
