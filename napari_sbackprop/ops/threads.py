"""How many threads torch has for one thread of the program."""

import os

import torch


def set_threads(number: int) -> None:
    """Let torch compute on `number` threads, 0 for all cores, for the calling thread from now on.

    A new thread begins with the number that was set last, by whomever. Torch asks for it at the first use in a thread, so
    asking comes first here: else a thread would take over what another sets later.
    """
    number = number or os.cpu_count() or 1
    if torch.get_num_threads() != number:
        torch.set_num_threads(number)
