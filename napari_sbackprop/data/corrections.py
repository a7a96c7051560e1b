"""Corrections of particles' poses and CTFs, as a run publishes them."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from napari_sbackprop.data.particles import Particles
from napari_sbackprop.imaging.poses import rotation_vectors_to_matrix

TURN, SHIFT, DEFOCUS, CONTRAST = slice(0, 3), slice(3, 5), slice(5, 6), slice(6, 7)
"""Columns of corrections: rotation vector in radians about the image's axes, A = exp(turn) A_0; shift (x, y) in pixels
that is added to the origin; defocus in angstrom that is added to U and V; contrast, added to 1."""
PARAMETERS = 7


def aligned(particles: Particles, corrections: Tensor) -> Particles:
    """The particles with corrections (N, 7); their images have one pixel size."""
    turn, shift, defocus, contrast = (corrections[:, columns] for columns in (TURN, SHIFT, DEFOCUS, CONTRAST))
    factor = 1 + contrast[:, 0].numpy()
    premultiplied = np.array([group.ctf_premultiplied for group in particles.optics])[particles.optics_index]
    rotation = rotation_vectors_to_matrix(turn) @ torch.from_numpy(particles.rotation)
    return replace(
        particles,
        rotation=rotation.numpy(),
        shift=(particles.shift + shift.numpy() * particles.pixel_size).astype(np.float32),
        defocus=particles.defocus + (defocus * torch.tensor([1.0, 1.0, 0.0])).numpy(),
        # Premultiplied images have the square of the CTF, and with it of its scale.
        scale=particles.scale * np.where(premultiplied, np.sqrt(factor.clip(min=0)), factor),
    )
