"""Paths through the latent space."""

import numpy as np
import numpy.typing as npt

from napari_sbackprop.errors import InputError

Array = npt.NDArray[np.float32]


def path_through(points: Array, frames: int) -> Array:
    """Latents (frames, Z) at equal arc length along the line through points (V, Z)."""
    if len(points) < 2:
        raise InputError(f"A path needs at least two points, not {len(points)}.")
    if frames < 2:
        raise InputError(f"--frames is {frames}, but a path needs at least 2.")
    length = np.concatenate([[0.0], np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()])
    position = np.linspace(0.0, length[-1], frames)
    return np.stack([np.interp(position, length, column) for column in points.T], axis=1).astype(np.float32)


def neighbour_latent(
    coordinates: Array, latents: Array, position: npt.ArrayLike, neighbours: int = 8
) -> tuple[Array, float]:
    """Latent (Z,) at any position of an embedding: the nearest particles' latents, weighted by closeness.

    Parameters
    ----------
    coordinates : (N, 2) embedding.
    latents : (N, Z).
    position : (2,) in the embedding.

    Returns
    -------
    The latent, and the distance to the nearest particle in units of the embedding: how far this extrapolates.
    """
    distance = np.linalg.norm(coordinates - np.asarray(position, dtype=np.float32), axis=1)
    nearest = np.argpartition(distance, min(neighbours, len(distance) - 1))[:neighbours]
    # A Gaussian as wide as the neighbourhood: smooth in the position, and local where particles are dense.
    width = max(float(distance[nearest].mean()), 1e-6)
    weight = np.exp(-0.5 * (distance[nearest] / width) ** 2)
    latent = (weight[:, None] * latents[nearest]).sum(0) / weight.sum()
    return latent.astype(np.float32), float(distance[nearest].min())
