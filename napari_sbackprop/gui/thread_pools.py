"""How many threads torch has for a thread of the window."""

import os
import sys


def one_thread() -> None:
    """Let torch compute on the calling thread alone from now on, if anybody has loaded it.

    Waking a pool takes longer than making a map. Worse, GNU's OpenMP lets the threads of a pool wait awake for each other
    only as long as a program has no more of them than cores: a second pool, idle as it may be, slows a training by a third.
    """
    if "torch" in sys.modules:  # else half a second in which the window stands still
        _set_threads(1)


def all_threads() -> None:
    """Let torch compute on all cores for the calling thread: a new one begins with the number that was set last.

    For work that somebody waits for, even where it slows a training.
    """
    _set_threads(os.cpu_count() or 1)


def _set_threads(number: int) -> None:
    import torch  # not before there is something to compute

    # Asking comes first: a thread that had asked nothing takes over what another sets later.
    if torch.get_num_threads() != number:
        torch.set_num_threads(number)
