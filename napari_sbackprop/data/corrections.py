"""Corrections of particles' poses and CTFs, as a run publishes them."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_sbackprop.data.particles import Particles
from napari_sbackprop.imaging.poses import rotation_vectors_to_matrix

TURN, SHIFT, DEFOCUS = slice(0, 3), slice(3, 5), slice(5, 6)
"""Columns of corrections: rotation vector in radians about the image's axes, A = exp(turn) A_0; shift (x, y) in pixels
that is added to the origin; defocus in angstrom that is added to U and V."""
PARAMETERS = 6


def aligned(particles: Particles, corrections: Tensor) -> Particles:
    """The particles with corrections (N, 6); their images have one pixel size."""
    turn, shift, defocus = (corrections[:, columns] for columns in (TURN, SHIFT, DEFOCUS))
    rotation = rotation_vectors_to_matrix(turn) @ torch.from_numpy(particles.rotation)
    return replace(
        particles,
        rotation=rotation.numpy(),
        shift=(particles.shift + shift.numpy() * particles.pixel_size).astype(np.float32),
        defocus=particles.defocus + (defocus * torch.tensor([1.0, 1.0, 0.0])).numpy(),
    )


def with_contrast(particles: Particles, contrast: npt.NDArray[np.float32]) -> Particles:
    """The particles with their images' contrasts multiplied by those given, (N,)."""
    premultiplied = np.array([group.ctf_premultiplied for group in particles.optics])[particles.optics_index]
    # Premultiplied images have the square of the CTF, and with it of its scale.
    factor = np.where(premultiplied, np.sqrt(contrast.clip(min=0)), contrast)
    return replace(particles, scale=particles.scale * factor)
