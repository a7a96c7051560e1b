"""Straight directions through a cloud of states."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

ENDS = (2.0, 98.0)  # percentiles of the particles


@dataclass(frozen=True, eq=False)
class Axes:
    """Orthogonal directions, with how far the particles reach along each.

    A state is a latent (D = Z) or a set of coefficients (D = K); its position is counted from the mean of the particles,
    in their standard deviations.

    Attributes
    ----------
    mean : (D,) float32, state at the position 0.
    directions : (D, D) float32, orthonormal rows.
    deviation : (D,) float32, standard deviation of the particles along each direction.
    low, high : (D,) float32, positions that 2 % of the particles lie beyond.
    """

    mean: Array
    directions: Array
    deviation: Array
    low: Array
    high: Array

    @classmethod
    def through(cls, states: Array, directions: Array) -> Self:
        """Axes along orthonormal `directions` (D, D) through the mean of states (N, D)."""
        mean = states.mean(0)
        along = (states - mean) @ directions.T
        deviation = np.maximum(along.std(0), np.finfo(np.float32).tiny)
        low, high = np.percentile(along / deviation, ENDS, axis=0).astype(np.float32)
        return cls(mean, directions, deviation, low, high)

    def position(self, states: Array) -> Array:
        """Positions (..., D) of states (..., D)."""
        return np.asarray((states - self.mean) @ self.directions.T / self.deviation)

    def state(self, position: Array) -> Array:
        """State (..., D) at a position (..., D): the inverse of `position`."""
        return np.asarray(self.mean + (position * self.deviation) @ self.directions, dtype=np.float32)


def principal_directions(states: Array) -> Array:
    """Principal components of states (N, D) as rows (D, D), the widest first, signs fixed so that runs agree."""
    _, _, axes = np.linalg.svd(np.atleast_2d(np.cov(states.T)))
    largest = np.abs(axes).argmax(1)
    return np.asarray(axes * np.sign(axes[np.arange(len(axes)), largest])[:, None], dtype=np.float32)
