"""Paths through the latent space.

A path that belongs to the particles is a sparse matrix (V, N): row v holds the weights, of sum 1, by which particles are
averaged at vertex v. Its product with the latents, or with coordinates in a plane, is the path there; so it outlives the
epoch, whose latents don't compare with those of another, and the plane.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import KDTree

from napari_sbackprop.analysis.axes import principal_directions
from napari_sbackprop.errors import InputError

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
Positions = npt.NDArray[np.float64]

NEIGHBOURS = 16
MOST_JOINED = 20_000
"""Particles in a graph: in many dimensions the search for neighbours takes long, and more would change no path."""
_SMOOTHING = 0.06  # of a path's vertices: the nearest neighbours zigzag through the noise of the latents
_ENDS = (5, 95)  # percentiles, beyond which few particles tell what a map looks like


def path_through(points: Array, frames: int) -> Array:
    """Latents (frames, Z) at equal arc length along the line through points (V, Z)."""
    return at_positions(points, equal_steps(points, frames))


def equal_steps(points: Array, frames: int) -> Positions:
    """Places (frames,) at equal arc length along the line through points (V, Z); v is at vertex v, v + 0.5 half-way on."""
    if len(points) < 2:
        raise InputError(f"A path needs at least two points, not {len(points)}.")
    if frames < 2:
        raise InputError(f"--frames is {frames}, but a path needs at least 2.")
    length = np.concatenate([[0.0], np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()])
    return np.interp(np.linspace(0.0, length[-1], frames), length, np.arange(len(points)))


def at_positions(points: Array, positions: Positions) -> Array:
    """Points (F, D) at places (F,), as `equal_steps` counts them, along the line through points (V, D)."""
    vertices = np.arange(len(points))
    return np.stack([np.interp(positions, vertices, column) for column in points.T], axis=1).astype(
        np.float32
    )


@dataclass(frozen=True, eq=False)
class NeighbourGraph:
    """Graph of particles, in which each is joined to its nearest neighbours.

    Attributes
    ----------
    source : (N, Z), latents of all particles.
    members : (n,) particles in the graph: all of them, or of very many a sample.
    neighbours : (n, k) members' numbers in the graph, nearest first, each its own nearest.
    edges : (n, n), distances of neighbours to the power Z + 1, in units of their median. Many short steps cost less than a
        long one: of many particles, the cheapest path has the least integral of 1 / density (Groisman, Jonckheere and
        Sapienza, Bernoulli 28(1):255, 2022).
    unit : the median.
    """

    source: Array
    members: Indices
    neighbours: Indices
    edges: csr_array
    unit: float

    @classmethod
    def build(cls, latents: Array) -> Self:
        """Find the nearest neighbours among latents (N, Z)."""
        count = len(latents)
        members = np.arange(count)
        if count > MOST_JOINED:
            members = np.sort(np.random.default_rng(0).choice(count, MOST_JOINED, replace=False))
        joined = latents[members]
        size = len(members)
        distance, index = KDTree(joined).query(joined, k=range(1, min(NEIGHBOURS, size) + 1))
        rows = np.repeat(np.arange(size), index.shape[1])
        unit = float(np.median(distance[:, -1])) or 1.0
        cost = _cost(distance.ravel() / unit, latents.shape[1])
        edges = csr_array((cost, (rows, index.ravel())), shape=(size, size))
        return cls(latents, members, index, edges, unit)

    def path(self, first: Array, last: Array) -> csr_array:
        """Path (V, N) through dense regions, between the particles of the graph nearest to two latents (Z,).

        Between the ends, each vertex is the mean of the neighbours of a particle on the shortest path, smoothed along it.
        """
        start, end = KDTree(self.source[self.members]).query(np.stack([first, last]))[1]
        before = dijkstra(self._joining(start, end), directed=False, indices=start, return_predecessors=True)[
            1
        ]
        nodes = [end]
        while nodes[-1] != start:
            nodes.append(before[nodes[-1]])
        return csr_array(_smoothing(len(nodes)) @ self._averages(np.array(nodes[::-1])))

    def _averages(self, nodes: Indices) -> csr_array:
        """Weights (V, N) of the means over the neighbours of particles, those at the ends alone."""
        averaged = [nodes[:1], *self.neighbours[nodes[1:-1]], nodes[-1:]] if len(nodes) > 1 else [nodes]
        sizes = np.array([len(group) for group in averaged])
        rows = np.repeat(np.arange(len(sizes)), sizes)
        columns = self.members[np.concatenate(averaged)]
        return csr_array((np.repeat(1 / sizes, sizes), (rows, columns)), shape=(len(sizes), len(self.source)))

    def _joining(self, first: int, last: int) -> csr_array:
        """The edges, with the shortest bridges that join two members in separate clouds."""
        edges, latents = self.edges, self.source[self.members]
        while True:
            cloud = connected_components(edges, directed=False)[1]
            if cloud[first] == cloud[last]:
                return edges
            here, elsewhere = np.flatnonzero(cloud == cloud[first]), np.flatnonzero(cloud != cloud[first])
            distance, index = KDTree(latents[here]).query(latents[elsewhere])
            near = distance.argmin()
            cost = _cost(distance[[near]] / self.unit, latents.shape[1])
            bridge = (cost, ([here[index[near]]], [elsewhere[near]]))
            edges = csr_array(edges + coo_array(bridge, shape=edges.shape))


def along_component(latents: Array, members: Indices, component: int) -> csr_array:
    """Path (2, N) along a principal component of some particles, through their mean, between the 5th and 95th percentile.

    The ends are affine combinations of the particles. In the latent space they lie on the component; in any other plane
    they are where a linear regression on the scores puts them.

    Parameters
    ----------
    latents : (N, Z).
    members : (n,) rows of the particles.
    component : from 0, the widest, to Z - 1.
    """
    if len(members) < 2:
        raise InputError("A principal component needs at least two particles: select more.")
    chosen = latents[members]
    centred = chosen - chosen.mean(axis=0, dtype=np.float64)
    scores = centred @ principal_directions(chosen)[component]
    if not (spread := np.square(scores).sum()) > 0:
        raise InputError(
            f"All the particles are alike along principal component {component + 1}: choose another."
        )
    weights = 1 / len(members) + np.percentile(scores, _ENDS)[:, None] * scores / spread
    columns = np.tile(members, 2)
    rows = np.repeat([0, 1], len(members))
    return csr_array((weights.ravel(), (rows, columns)), shape=(2, len(latents)))


def _cost(distance: Positions, size: int) -> Positions:
    """Cost (E,) of edges in Z = `size` dimensions; a zero would be no edge, and few steps are so long."""
    return np.clip(distance, 1e-6, 1e6) ** (size + 1)


def _smoothing(count: int) -> csr_array:
    """Average (V, V) of each vertex with those beside it; the ends stay, and so do, more or less, those close to them."""
    place = np.arange(count)
    width = np.minimum(_SMOOTHING * count, np.minimum(place, place[::-1]) / 1.5)
    distance = (place - place[:, None]) / np.maximum(width, 0.1)[:, None]
    weights = np.where(np.abs(distance) < 3, np.exp(-(distance**2) / 2), 0)
    return csr_array(weights / weights.sum(axis=1, keepdims=True))
