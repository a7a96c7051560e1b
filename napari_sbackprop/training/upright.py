"""Upright images: particles moved to the centre, turned back in the plane and freed of their CTF, to be looked at.

One image is noise with a hint of a particle; the average of those of one view shows what they have in common. Both are
the same sum: images times their CTF, over the squares of the CTF and a constant (a Wiener filter).
"""

import math
from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_sbackprop.data.particles import Particles
from napari_sbackprop.imaging.fourier import disc_to_images, images_to_disc
from napari_sbackprop.imaging.grids import HalfDisc, half_disc
from napari_sbackprop.imaging.masks import soft_ball
from napari_sbackprop.imaging.poses import euler_to_matrix, matrix_to_euler
from napari_sbackprop.imaging.views import in_plane_angles, spiral_directions, view_angles
from napari_sbackprop.training.image_model import transfer_function
from napari_sbackprop.training.spectra import CHUNK, spectra_of

Images = npt.NDArray[np.float32]

_LARGEST = 128  # pixels of an upright image: more would not be seen
_OVERSAMPLING = 2  # of the image that is turned: linear interpolation then loses little
_VIEWS = 96  # 20 degrees apart
_NOISE = 0.1  # power over that of the signal, in the Wiener filter: as at low resolution, where one looks
_PER_VIEW = 200  # particles: more cost time and change little that can be seen


@dataclass(frozen=True, eq=False)
class ViewAverage:
    """Average (S, S) of images of one view.

    Attributes
    ----------
    image : the average, the particle bright.
    angles : rot and tilt of the view in degrees.
    members : number of particles of the view.
    """

    image: Images
    angles: tuple[float, float]
    members: int


def upright_images(particles: Particles, indices: npt.NDArray[np.integer], resolution: float) -> Images:
    """Images (n, S, S) of some particles with psi = 0, the particle at the centre and bright.

    Parameters
    ----------
    indices : (n,) rows of the particles.
    resolution : angstrom; finer detail is left out.

    Raises
    ------
    InputError
        The images cannot be read.
    """
    disc, size = _grid(particles, resolution)
    psi = matrix_to_euler(torch.from_numpy(particles.rotation[indices]))[:, 2]
    images, power = _weighted(particles, indices, psi, disc, size)
    return _filtered(images, power, disc).numpy()


def view_averages(
    particles: Particles, indices: npt.NDArray[np.integer], most: int, resolution: float, seed: int = 0
) -> Generator[int, None, list[ViewAverage]]:
    """Average the images of some particles view by view.

    Every particle belongs to the nearest of 96 directions; of a crowded one some particles, drawn at random, stand for all.
    Yields how many images are done.

    Parameters
    ----------
    indices : (n,) rows of the particles.
    most : number of averages, of the most populated views.
    resolution : angstrom; finer detail is left out.
    seed : of the draw.

    Returns
    -------
    The averages, the most populated view first.
    """
    disc, size = _grid(particles, resolution)
    angles = view_angles(spiral_directions(_VIEWS))
    poses = euler_to_matrix(angles).float()
    rotation = torch.from_numpy(particles.rotation[indices])
    view = (rotation[:, 2] @ poses[:, 2].T).argmax(dim=-1)
    population = torch.bincount(view, minlength=_VIEWS)
    random = np.random.default_rng(seed)
    averages, done = [], 0
    for number in population.argsort(descending=True, stable=True)[:most].tolist():
        rows = random.permutation(np.flatnonzero(view.numpy() == number))[:_PER_VIEW]
        if not len(rows):
            break
        psi = in_plane_angles(rotation[rows], poses[number])
        total, weight = torch.zeros(size, size), torch.zeros(disc.size)
        for start in range(0, len(rows), CHUNK):
            chunk = slice(start, start + CHUNK)
            images, power = _weighted(particles, indices[rows[chunk]], psi[chunk], disc, size)
            total, weight = total + images.sum(0), weight + power.sum(0)
            done += len(images)
            yield done
        image = _filtered(total, weight, disc).numpy()
        averages.append(
            ViewAverage(image, (float(angles[number, 0]), float(angles[number, 1])), int(population[number]))
        )
    return averages


def _grid(particles: Particles, resolution: float) -> tuple[HalfDisc, int]:
    """Pixels of the half disc down to a resolution, and the side S of the images they make."""
    size = min(particles.box, _LARGEST)
    radius = min(math.ceil(particles.box * particles.pixel_size / resolution), size // 2 - 1)
    return half_disc(radius), size


def _weighted(
    particles: Particles, indices: npt.NDArray[np.integer], psi: Tensor, disc: HalfDisc, size: int
) -> tuple[Tensor, Tensor]:
    """Upright images times their CTF (n, S, S), and the squares of the CTF (n, P), turned back by psi (n,) degrees."""
    spectra = spectra_of(particles, indices, disc, torch.ones(len(particles.optics), disc.size))
    fine = disc_to_images(spectra.data * spectra.transfer, disc, _OVERSAMPLING * size) * _OVERSAMPLING**2
    turn = euler_to_matrix(torch.stack([torch.zeros_like(psi), torch.zeros_like(psi), psi], dim=-1))
    # What slices the map in place of A, after the upright A was taken out: how the image is turned and stretched.
    upright = turn.transpose(-1, -2) @ torch.from_numpy(particles.rotation[indices])
    plane = spectra.rotation[:, :2] @ upright[:, :2].transpose(-1, -2)  # (n, 2, 2)
    return _resampled(fine, plane, size), _turned_transfer(particles, indices, psi, disc) ** 2


def _resampled(images: Tensor, plane: Tensor, size: int) -> Tensor:
    """Images (n, S, S) whose point y shows what the given ones (n, F, F) have at plane y, both about their centres."""
    axis = (torch.arange(size) - size // 2) / size
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([x, y], dim=-1) @ plane.transpose(-1, -2)[:, None]  # (n, S, S, 2), in box widths
    # Of torch's grid, -1 and 1 are the outer edges of the image, half a pixel beyond the centres of the last ones.
    turned = torch.nn.functional.grid_sample(
        images[:, None], 2 * points + 1 / images.shape[-1], mode="bicubic", align_corners=False
    )[:, 0]
    return turned * torch.linalg.det(plane).abs()[:, None, None]


def _turned_transfer(
    particles: Particles, indices: npt.NDArray[np.integer], psi: Tensor, disc: HalfDisc
) -> Tensor:
    """Transfer (n, P) of images that were turned back by psi (n,) degrees and scaled to the map's box.

    Astigmatism turns along; what else has no circular symmetry (even Zernikes, magnification) is taken as it is.
    """
    defocus = particles.defocus.copy()
    defocus[indices, 2] += psi.numpy()
    turned = replace(particles, defocus=defocus)
    transfer = torch.empty(len(indices), disc.size)
    for group, rows in particles.by_group(indices):
        scale = group.image_size * group.pixel_size / (particles.box * particles.pixel_size)
        scaled = replace(
            disc, coordinates=disc.coordinates * scale, shell=(disc.shell * scale).round().long()
        )
        transfer[rows] = transfer_function(turned, indices[rows], scaled)
    return transfer


def _filtered(images: Tensor, power: Tensor, disc: HalfDisc) -> Tensor:
    """Wiener-filtered images (..., S, S) of sums of weighted ones and the sums (..., P) of their squared CTFs."""
    size = images.shape[-1]
    values = images_to_disc(images, disc) / (power + _NOISE)
    return disc_to_images(values, disc, size) * soft_ball(size, 0.45 * size, 0.05 * size, dimensions=2)
