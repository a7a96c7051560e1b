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
