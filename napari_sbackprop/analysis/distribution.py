"""How a selection is distributed against all particles: over the values of a column, and over the views."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]

_BINS = 40
_OUTLIERS = 0.005  # share at either end that gets no room of its own
_STEP = 10  # degrees, of rot and tilt


@dataclass(frozen=True, eq=False)
class Histogram:
    """Shares of particles by value; those beyond the ends are in the outermost bins.

    Attributes
    ----------
    edges : (B + 1,) ascending.
    selected, everything : (B,) shares of the selection and of all particles, each adding up to 1.
    """

    edges: Shares
    selected: Shares
    everything: Shares


def histogram(values: npt.NDArray[np.number], indices: Indices) -> Histogram | None:
    """Histogram of values (N,) and of those at `indices`; None where all values are one or none is finite."""
    numbers = np.asarray(values, dtype=np.float64)
    finite = numbers[np.isfinite(numbers)]
    if not len(finite) or finite.min() == finite.max():
        return None
    low, high = np.quantile(finite, [_OUTLIERS, 1 - _OUTLIERS])
    if low == high:
        low, high = finite.min(), finite.max()
    edges = np.linspace(low, high, _BINS + 1)
    chosen = numbers[indices]
    return Histogram(edges, _shares(chosen[np.isfinite(chosen)], edges), _shares(finite, edges))


def orientations(rot: npt.NDArray[np.number], tilt: npt.NDArray[np.number], indices: Indices) -> Shares:
    """Density (18, 36) of views of the particles at `indices` over tilt 0 ... 180 and rot -180 ... 180 degrees.

    In units of a uniform distribution over the sphere: 1 everywhere where no view is preferred.
    """
    longitude = (rot[indices] + 180) % 360
    colatitude = np.clip(tilt[indices], 0, 180)
    rows, columns = 180 // _STEP, 360 // _STEP
    counts, _, _ = np.histogram2d(colatitude, longitude, bins=(rows, columns), range=((0, 180), (0, 360)))
    borders = np.cos(np.radians(np.linspace(0, 180, rows + 1)))
    expected = len(indices) * (borders[:-1] - borders[1:]) / 2 / columns
    density: Shares = counts / expected[:, None]
    return density


def _shares(values: Shares, edges: Shares) -> Shares:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return counts / max(len(values), 1)
