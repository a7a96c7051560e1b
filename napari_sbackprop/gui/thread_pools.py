"""How many threads torch has for a thread of the window."""

import sys


def one_thread() -> None:
    """Let torch compute on the calling thread alone from now on, if anybody has loaded it.

    Waking a pool takes longer than making a map. Worse, GNU's OpenMP lets the threads of a pool wait awake for each other
    only as long as a program has no more of them than cores: a second pool, idle as it may be, slows a training by a third.
    """
    if "torch" in sys.modules:  # else half a second in which the window stands still
        _set_threads(1)


def all_threads() -> None:
    """Let torch compute on all cores for the calling thread: for work that is waited for, even where it slows a training."""
    _set_threads(0)


def _set_threads(number: int) -> None:
    from napari_sbackprop.ops.threads import set_threads  # imports torch, hence here

    set_threads(number)
