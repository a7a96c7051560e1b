"""Clusters of particles in the latent space."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.output_file import new_file
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory

Labels = npt.NDArray[np.int64]
Latents = npt.NDArray[np.floating[Any]]

KMEANS, GMM, HDBSCAN = "kmeans", "gmm", "hdbscan"
NO_CLUSTER = -1
MOST_LINKED = 10_000
"""Particles that HDBSCAN links: its time and its memory grow with the square of their number."""


@dataclass(frozen=True, eq=False)
class Clustering:
    """Which cluster each particle belongs to, as of one epoch.

    Attributes
    ----------
    method : KMEANS, GMM or HDBSCAN, or the name of what another program did.
    number : clusters asked for; with HDBSCAN the least size of one.
    labels : (N,) from 0; NO_CLUSTER where HDBSCAN calls a particle noise.
    epoch : number of the epoch.
    """

    method: str
    number: int
    labels: Labels
    epoch: int

    @property
    def sizes(self) -> Labels:
        """(k,) particles in each cluster."""
        return np.bincount(self.labels[self.labels != NO_CLUSTER])

    @property
    def provenance(self) -> dict[str, Any]:
        """How the clusters were made, JSON-able."""
        return {self.method: self.number, "epoch": self.epoch}


def cluster(latents: Latents, method: str, number: int, seed: int = 0) -> Labels:
    """Cluster latents (N, Z) by one of METHODS: labels (N,), clusters ordered by their centres' first coordinate."""
    return METHODS[method](latents, number, seed)[0]


def kmeans(latents: Latents, clusters: int, seed: int = 0) -> tuple[Labels, npt.NDArray[np.float32]]:
    """Cluster latents (N, Z): labels (N,) and centres (k, Z), clusters ordered by their centres' first coordinate."""
    from sklearn.cluster import KMeans

    _check_number("k-means", clusters, len(latents))
    result = KMeans(clusters, n_init=4, random_state=seed).fit(latents)
    return _ordered(result.labels_, result.cluster_centers_)


def gaussian_mixture(
    latents: Latents, clusters: int, seed: int = 0
) -> tuple[Labels, npt.NDArray[np.float32]]:
    """Like `kmeans`, with clusters that may differ in size, in shape and in how crowded they are."""
    from sklearn.mixture import GaussianMixture

    _check_number("A Gaussian mixture", clusters, len(latents))
    model = GaussianMixture(clusters, random_state=seed).fit(latents)
    return _ordered(model.predict(latents), model.means_)


def hdbscan(latents: Latents, least_size: int, seed: int = 0) -> tuple[Labels, npt.NDArray[np.float32]]:
    """Find as many clusters as there are dense regions; particles between them are NO_CLUSTER.

    Campello, Moulavi and Sander 2013. Of more than MOST_LINKED particles a random part is clustered, and
    `least_size` counts in proportion; the others go where their nearest particle in that part went.

    Parameters
    ----------
    least_size : particles that make a cluster.
    """
    from sklearn.cluster import HDBSCAN as Model
    from sklearn.neighbors import KNeighborsClassifier

    if not 2 <= least_size <= len(latents):
        raise InputError(
            f"HDBSCAN cannot look for clusters of at least {least_size} of {len(latents)} particles: "
            f"give a number from 2 to {len(latents)}."
        )
    count = min(len(latents), MOST_LINKED)
    linked = np.sort(np.random.default_rng(seed).choice(len(latents), count, replace=False))
    size = max(2, round(least_size * count / len(latents)))
    labels = Model(min_cluster_size=size, copy=True).fit(latents[linked]).labels_
    if count < len(latents):
        labels = KNeighborsClassifier(1).fit(latents[linked], labels).predict(latents)
    centres = [latents[labels == label].mean(axis=0) for label in range(labels.max() + 1)]
    return _ordered(labels, np.reshape(centres, (-1, latents.shape[1])))


METHODS: dict[str, Callable[[Latents, int, int], tuple[Labels, npt.NDArray[np.float32]]]] = {
    KMEANS: kmeans,
    GMM: gaussian_mixture,
    HDBSCAN: hdbscan,
}


def read_clustering(run: RunDirectory, epoch: int) -> Clustering | None:
    """Clusters that an epoch came with; None where it came with none."""
    path = run.clusters_path(epoch)
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        return Clustering(str(file["method"]), int(file["number"]), file["labels"], epoch)


def write_clustering(run: RunDirectory, clustering: Clustering) -> None:
    """Store clusters that come with an epoch."""
    with new_file(run.clusters_path(clustering.epoch)) as temporary, temporary.open("wb") as file:
        np.savez(file, method=clustering.method, number=clustering.number, labels=clustering.labels)


def _check_number(method: str, clusters: int, count: int) -> None:
    if not 1 <= clusters <= count:
        raise InputError(
            f"{method} cannot make {clusters} clusters of {count} particles: give a number from 1 to {count}."
        )


def _ordered(
    labels: npt.NDArray[np.integer[Any]], centres: npt.NDArray[np.floating[Any]]
) -> tuple[Labels, npt.NDArray[np.float32]]:
    order = np.argsort(centres[:, 0])
    rank = np.append(np.argsort(order), NO_CLUSTER)  # a label of -1 finds the last one
    return rank[labels].astype(np.int64), centres[order].astype(np.float32)
