"""Devices to measure on: whether there is one, and the time when it is done."""

import argparse
import time

import torch


def now(device: torch.device) -> float:
    """Seconds of the clock, once nothing is left to do on a device: a GPU works on after a call has returned."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def usable(name: str) -> str:
    """Name of a device, for argparse: refused where torch finds none of that kind."""
    if torch.device(name).type == "cuda" and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError("torch finds no NVIDIA GPU here; --device cpu does without.")
    return name
