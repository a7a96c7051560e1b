"""What the image model predicts, with padded slices: to be compared with images of other programs."""

import numpy as np
import torch
from torch import Tensor

from napari_sbackprop.data.particles import Particles
from napari_sbackprop.imaging.fourier import gridding_correction, images_to_disc, volumes_to_sphere
from napari_sbackprop.imaging.grids import half_disc, half_sphere
from napari_sbackprop.ops import reference
from napari_sbackprop.training.image_model import image_phase, slice_matrices, transfer_function


def slices(volume: Tensor, rotation: Tensor, radius: int, padding: int) -> Tensor:
    """Central slices (B, P) of a map by trilinear interpolation in its padded transform."""
    box = volume.shape[-1]
    margin = (padding - 1) * box // 2
    corrected = volume.double() / gridding_correction(box, padding)
    padded = torch.nn.functional.pad(corrected, (margin,) * 6)
    sphere = half_sphere(padding * box // 2 - 1)  # beyond what slices need: its last voxels must not be empty
    values = torch.view_as_real(volumes_to_sphere(padded, sphere))[:, None]  # (W, 1, 2)
    ones = torch.ones(len(rotation), 1, dtype=torch.float64)
    return reference.project(values, ones, padding * rotation.double(), half_disc(radius), sphere)


def predict(volume: Tensor, particles: Particles, radius: int, padding: int, with_ctf: bool = True) -> Tensor:
    """Transforms (B, P) of the images that the model expects."""
    everything, disc = np.arange(particles.count), half_disc(radius)
    values = slices(volume, slice_matrices(particles, everything), radius, padding)
    values = values * image_phase(particles, everything, disc)
    return values * transfer_function(particles, everything, disc) if with_ctf else values


def relative_error(images: Tensor, prediction: Tensor, radius: int) -> float:
    """Error of the transforms, zero frequency left out, over that of the images."""
    disc = half_disc(radius)
    inside = disc.shell > 0
    truth = images_to_disc(images.double(), disc)[:, inside]
    return float((prediction[:, inside] - truth).norm() / truth.norm())
