"""How an image comes from its particle's map: where it slices it, real factors and phases, by its optics group's values.

Images keep their own box and pixel size. A pixel k, in cycles per box of the image, lies at (D px_map) / (box px) k in
cycles per box D of the map, as in RELION; so images of all groups share one disc of pixels, each with its own scale.

An image is an integral over its particle, so that its unnormalised transform is that of the map's projection times
(px_map / px)^2. RELION 3.1 takes (box / D)^2, which is the same where the images of all groups are equally wide.
"""

import numpy as np
import torch
from torch import Tensor

from napari_sbackprop.data.particles import OpticsGroup, Particles
from napari_sbackprop.imaging.ctf import aberration_phase, contrast_transfer
from napari_sbackprop.imaging.grids import HalfDisc
from napari_sbackprop.imaging.poses import shift_phase, slice_matrix


def transfer_function(particles: Particles, indices: np.ndarray, disc: HalfDisc) -> Tensor:
    """Multiplier of the slice of each particle, (n, P) float32; zero beyond the band of its image.

    CTF, its absolute value or its square by group, times the scale of the group's pixels and its contrast.
    """
    transfer = torch.empty(len(indices), disc.size)
    for group, rows in particles.by_group(indices):
        members = indices[rows]
        values = contrast_transfer(
            _frequencies(group, disc),
            torch.from_numpy(particles.defocus[members]),
            voltage=group.voltage,
            spherical_aberration=group.spherical_aberration,
            amplitude_contrast=group.amplitude_contrast,
            phase_shift=torch.from_numpy(particles.phase_shift[members]),
            b_factor=torch.from_numpy(particles.b_factor[members]),
            scale=torch.from_numpy(particles.scale[members]),
            even_zernikes=group.even_zernikes,
        )
        if group.phase_flipped:
            values = values.abs()
        if group.ctf_premultiplied:
            values = values**2
        values = values * (group.contrast * (particles.pixel_size / group.pixel_size) ** 2)
        transfer[rows] = torch.where(disc.shell < group.image_size // 2, values, 0.0)
    return transfer


def image_phase(
    particles: Particles, indices: np.ndarray, disc: HalfDisc, moved_px: Tensor | None = None
) -> Tensor:
    """Phase of each particle's image, (n, P) complex64: its shift, and its antisymmetric aberrations.

    Multiply a prediction by it, or the data by its conjugate.

    Parameters
    ----------
    moved_px : (n, 2) pixels (x, y) by which the images were moved towards their centre already; by default not at all.
    """
    phase = torch.empty(len(indices), disc.size, dtype=torch.complex64)
    for group, rows in particles.by_group(indices):
        members = indices[rows]
        origin = torch.from_numpy(particles.shift[members]) / group.pixel_size
        if moved_px is not None:
            origin = origin - moved_px[rows]
        phase[rows] = shift_phase(disc.coordinates, origin, group.image_size)
        beam_tilt = torch.from_numpy(particles.beam_tilt[members])
        if beam_tilt.any() or any(group.odd_zernikes):
            phase[rows] *= aberration_phase(
                _frequencies(group, disc),
                beam_tilt,
                group.odd_zernikes,
                voltage=group.voltage,
                spherical_aberration=group.spherical_aberration,
            )
    return phase


def slice_matrices(particles: Particles, indices: np.ndarray) -> Tensor:
    """What slices each particle's map in place of A, (n, 3, 3) float32; see `imaging.poses.slice_matrix`."""
    matrices = torch.empty(len(indices), 3, 3)
    for group, rows in particles.by_group(indices):
        rotation = torch.from_numpy(particles.rotation[indices[rows]])
        scale = particles.box * particles.pixel_size / (group.image_size * group.pixel_size)
        matrices[rows] = slice_matrix(rotation, scale * _magnification(group))
    return matrices


def _frequencies(group: OpticsGroup, disc: HalfDisc) -> Tensor:
    """Where an undistorted image has what the pixels of an image show: frequencies M k (P, 2) in 1/angstrom."""
    return disc.coordinates.double() @ _magnification(group).T / (group.image_size * group.pixel_size)


def _magnification(group: OpticsGroup) -> Tensor:
    return torch.tensor(group.magnification, dtype=torch.float64).view(2, 2)
