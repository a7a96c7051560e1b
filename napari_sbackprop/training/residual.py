"""Where images vary more than a model says: the variance of what it leaves of them, place by place.

An image minus its prediction is noise if the model is right. Back-projected particle by particle, the variance of such
residuals over the particles, relative to that of white noise sent the same way, is 1 where all motion is explained. What is
beyond is motion that the basis lacks, wrong poses, or particles that fall apart.
"""

from collections.abc import Generator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_sbackprop import ops
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.fourier import (
    gaussian_filter,
    images_to_disc,
    resample_volumes,
    sphere_to_volumes,
)
from napari_sbackprop.imaging.grids import HalfSphere, half_disc, half_sphere
from napari_sbackprop.models.coefficients import stored_head
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.linear_model import resized_volumes
from napari_sbackprop.training.run_particles import run_particles
from napari_sbackprop.training.session import Session
from napari_sbackprop.training.spectra import Spectra, noise_amplitude, spectra_of

_CHUNK = 32  # particles whose own maps are in memory at once
_MOST = 10_000  # particles: the relative error of the variance is then 1.4 %
_LEAST = 50  # particles: of fewer, the variance says nothing
_FEWEST_SHELLS = 4
_WIDTH = 0.5  # of the window that variances are averaged in, in units of the resolution


def residual_variance(
    run: RunDirectory,
    indices: npt.NDArray[np.integer],
    resolution: float,
    *,
    epoch: int | None = None,
    seed: int = 0,
) -> Generator[float, None, npt.NDArray[np.float32]]:
    """Excess of the residuals' variance over that of noise, as a map; yields the share that is done.

    Predictions are decoded at latents drawn from each particle's posterior: with the right model the residuals are then
    exactly noise, while those of the posterior means would be less.

    Parameters
    ----------
    indices : (n,) rows of the run's particles; of more than 10,000, a random subset stands for all.
    resolution : angstrom; coarse, since a single image says nothing about a small voxel.
    epoch : the newest by default.

    Returns
    -------
    (M, M, M) float32, 0 where the model explains all, 1 where as much variance as that of the noise is left.

    Raises
    ------
    InputError
        The run has the paper's recipe, or the STAR file or images that it was trained on are gone or have changed.
    """
    if run.config.recipe == "paper":
        raise InputError(
            f"{run.path} has the paper's recipe, whose maps have no absolute scale: train with --recipe default."
        )
    if len(indices) < _LEAST:
        raise InputError(
            f"A residual map needs at least {_LEAST} particles, but {len(indices)} are selected."
        )
    particles = run_particles(run, epoch, scaled=True)
    session = Session.for_reading(run, particles)
    disc = half_disc(_shells(resolution, session))
    sphere = half_sphere(disc.radius)
    box = 2 * disc.radius + 2
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(indices), generator=generator)[:_MOST].sort().values
    chosen = torch.from_numpy(np.asarray(indices, dtype=np.int64))[order]
    volumes, coefficients = _drawn_model(run, epoch, chosen, disc.radius, generator)
    amplitude = noise_amplitude(particles, disc, session.mask_radius)
    left, expected = torch.zeros(box, box, box), torch.zeros(box, box, box)
    for rows in torch.arange(len(chosen)).split(_CHUNK):
        spectra = spectra_of(particles, chosen[rows].numpy(), disc, amplitude)
        predicted = ops.project(volumes, coefficients[rows], spectra.rotation, disc, sphere)
        noise = images_to_disc(torch.randn(len(rows), box, box, generator=generator), disc) / box
        left += _power(spectra, spectra.data - spectra.transfer * predicted, sphere, box)
        expected += _power(spectra, noise, sphere, box)
        yield (int(rows[-1]) + 1) / len(chosen)
    width = _WIDTH * resolution / (particles.box * particles.pixel_size / box)
    excess = gaussian_filter(left, width) / gaussian_filter(expected, width) - 1
    return resample_volumes(excess, particles.box).numpy()


def _shells(resolution: float, session: Session) -> int:
    """Shells up to a resolution in angstrom, which the run's band must have."""
    coarsest, finest = (session.resolution(radius) for radius in (_FEWEST_SHELLS, session.disc.radius))
    if not finest <= resolution <= coarsest:  # not a number is neither
        raise InputError(
            f"--resolution is {resolution:g} Å, but {session.run.path} has maps for {finest:.3g} to {coarsest:.3g} Å."
        )
    return int(session.particles.box * session.particles.pixel_size / resolution)


def _drawn_model(
    run: RunDirectory, epoch: int | None, chosen: Tensor, radius: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Volumes (W, C, 2) to a radius, and coefficients (n, C) at latents drawn from the chosen particles' posteriors."""
    epoch = run.latest_epoch() if epoch is None else epoch
    description, tensors, latents = (
        run.read_description(epoch),
        run.read_model(epoch),
        run.read_latents(epoch),
    )
    mean = torch.from_numpy(latents.mean)[chosen]
    precision = torch.from_numpy(latents.information)[chosen] + torch.eye(mean.shape[1])
    spread = torch.linalg.cholesky(torch.linalg.inv(precision))
    drawn = mean + (spread @ torch.randn(*mean.shape, 1, generator=generator))[..., 0]
    volumes = tensors["basis.volumes"]
    linear_start = description["recipe"] == "default"
    head = stored_head(tensors, mean.shape[1], volumes.shape[1] - 1, linear_start=linear_start)
    with torch.no_grad():
        weights = drawn if head is None else head(drawn)
    volumes = resized_volumes(volumes, half_sphere(int(description["radius"])), half_sphere(radius))
    return volumes, torch.cat([torch.ones_like(weights[:, :1]), weights], dim=1)


def _power(spectra: Spectra, values: Tensor, sphere: HalfSphere, box: int) -> Tensor:
    """Sum over images of the square of each one's own back-projection (box, box, box)."""
    count = len(values)
    volumes = torch.zeros(sphere.size, count, 2, requires_grad=True)
    slices = ops.project(volumes, torch.eye(count), spectra.rotation, spectra.disc, sphere)
    weighted = spectra.disc.weight * spectra.transfer * values
    (inserted,) = torch.autograd.grad(slices, volumes, weighted)
    inserted[sphere.coordinates[:, 0] == 0] *= (
        2  # the half sphere holds that plane twice, and the transform halves it
    )
    maps = sphere_to_volumes(torch.view_as_complex(inserted.transpose(0, 1).contiguous()), sphere, box)
    return maps.square().sum(0)
