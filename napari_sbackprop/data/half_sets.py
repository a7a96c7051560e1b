"""The two half sets of particles, by which a refinement judges itself."""

import numpy as np
import numpy.typing as npt

LEAST_HALF = 1 / 3
"""Share of the particles in the smaller half: with less, the halves are uneven."""


def describe_imbalance(half_set: npt.NDArray[np.integer]) -> str:
    """What is wrong with half sets (n,) of 1, 2 and 0 for unknown, as the end of a sentence; empty where nothing is."""
    _, first, second = np.bincount(half_set, minlength=3)[:3].tolist()
    if not first and not second:
        return ""
    if not first or not second:
        return "has particles in one of the two half sets only: they cannot be compared."
    if min(first, second) < LEAST_HALF * (first + second):
        return (
            f"has {first} and {second} particles in the two half sets, which is uneven: draw new half sets."
        )
    return ""
