"""Two-dimensional views on the latents, and places in them."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

NEIGHBOURS = 16
OUTLYING = 0.99  # share of the particles that count as lying among the others
_PROBES = 1000  # particles that tell how far apart neighbours are


@dataclass(frozen=True, eq=False)
class Anchor:
    """A place in latent space as a weighted mean of particles.

    Latents of different epochs don't compare, particles do: an anchor outlives epochs and projections.

    Attributes
    ----------
    indices : (k,) int64, particles.
    weights : (k,) float64, sum 1; positive, but for a place on a principal component.
    remoteness : distance to the last of these particles, where 1 is what 99 % of the particles keep from theirs: beyond, the
        place is outside the particles.
    """

    indices: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    remoteness: float = 0.0

    @property
    def outside(self) -> bool:
        """Whether no particle has a place like this."""
        return self.remoteness > 1

    def mean(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Weighted mean of the particles' rows of `values` (N, D): shape (D,), float32."""
        return (self.weights @ values[self.indices]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Projection:
    """Coordinates of every particle in a plane, or in a space of more dimensions.

    Attributes
    ----------
    method : "pca", "umap", or what else the coordinates are.
    coordinates : (N, D) float32, D = 2 in a plane.
    tree : the same points, for neighbour searches.
    spacing : distance that 99 % of the particles do not exceed to the last of their neighbours.
    """

    method: str
    coordinates: npt.NDArray[np.float32]
    tree: KDTree
    spacing: float

    @classmethod
    def build(cls, method: str, coordinates: npt.NDArray[np.float32]) -> Self:
        tree = KDTree(coordinates)
        probes = coordinates[:: len(coordinates) // _PROBES + 1]
        distance, _ = tree.query(probes, k=[min(NEIGHBOURS, len(coordinates))])
        return cls(method, coordinates, tree, float(np.quantile(distance, OUTLYING)))

    def anchor(self, point: npt.ArrayLike, neighbours: int = NEIGHBOURS) -> Anchor:
        """The place at any point (D,), interpolated from the nearest particles.

        The weights (1 - d^2/h^2)^2 fall to zero at the distance h of the last neighbour, so the place moves
        smoothly where one neighbour replaces another: no jumps under a dragged cursor.

        Parameters
        ----------
        point : in the units of `coordinates`.
        neighbours : number of particles to draw from; the last one has no weight.
        """
        count = min(neighbours, len(self.coordinates))
        distance, index = self.tree.query(point, k=count)
        distance, index = np.atleast_1d(distance).astype(np.float64), np.atleast_1d(index).astype(np.int64)
        weight = (1.0 - (distance / max(distance[-1], 1e-30)) ** 2) ** 2
        if weight.sum() <= 1e-12:  # one particle only, or all equally far
            weight = np.ones(count)
        return Anchor(index, weight / weight.sum(), float(distance[-1]) / max(self.spacing, 1e-30))


def aligned(
    coordinates: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Rotate or mirror `coordinates` (N, 2) towards `reference` (N, 2), so that the plot doesn't flip between epochs."""
    centre = coordinates.mean(axis=0)
    left, _, right = np.linalg.svd((coordinates - centre).T @ (reference - reference.mean(axis=0)))
    return np.asarray((coordinates - centre) @ (left @ right) + centre, dtype=np.float32)
