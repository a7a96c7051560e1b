"""How a selection is distributed against all particles: over the values of a column, and over the views."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]

_BINS = 40
_OUTLIERS = 0.005  # share at either end that gets no room of its own
_VIEW_BINS = (12, 24)  # of cos tilt and rot


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
    """Density (12, 24) of views of the particles at `indices`, over cos tilt (1 first) and rot (-180 degrees first).

    Every bin has the same solid angle. In units of a uniform distribution: 1 everywhere where no view is preferred.
    """
    longitude = (rot[indices] + 180) % 360
    height = -np.cos(np.radians(tilt[indices]))
    counts, _, _ = np.histogram2d(height, longitude, bins=_VIEW_BINS, range=((-1, 1), (0, 360)))
    density: Shares = counts / max(counts.mean(), 1e-30)
    return density


def _shares(values: Shares, edges: Shares) -> Shares:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return counts / max(len(values), 1)
