"""Latents of particles that a finished run was never trained on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.path_map import PathMap
from napari_sbackprop.data.source import ParticleSource
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.grids import half_disc, half_sphere
from napari_sbackprop.models.coefficients import stored_head
from napari_sbackprop.models.encoder import ImageEncoder, PosteriorEncoder
from napari_sbackprop.run_directory import Latents, RunDirectory
from napari_sbackprop.training.group_contrast import (
    GroupContrast,
    apply_contrasts,
    measured_contrasts,
    stored_contrasts,
)
from napari_sbackprop.training.paper import diagonal_posterior, encoder_input, masked_spectra
from napari_sbackprop.training.posterior import (
    SCALE_SPREAD,
    Posterior,
    image_statistics,
    linear_posterior,
    refined_posterior,
)
from napari_sbackprop.training.progress import finished
from napari_sbackprop.training.session import Session, latents_of, nested
from napari_sbackprop.training.spectra import Spectra, whitened_spectra


def encode(
    run: Path,
    star: Path | ParticleSource,
    exact: bool = True,
    epoch: int | None = None,
    path_map: PathMap = (),
) -> Latents:
    """Encode particles with an epoch of a run, the newest by default.

    Parameters
    ----------
    star : particles; optics groups of other boxes and pixel sizes than the run's are compared with its map at their own
        scale, in the default recipe.
    exact : refine the encoder's answer to the exact posterior (default recipe only); False gives the amortised one.
    path_map : folders of the particles' images that moved; by default those of the run.

    Raises
    ------
    InputError
        The images are wider than the run's map, or, in the paper's recipe, do not fit it in box or pixel size.
    """
    directory = RunDirectory(run)
    particles = read_particles(star, path_map=path_map or directory.path_map)
    return encode_particles(directory, particles, exact, epoch)


def encode_particles(
    run: RunDirectory, particles: Particles, exact: bool = True, epoch: int | None = None
) -> Latents:
    """`encode` for particles that are open already."""
    epoch = run.latest_epoch() if epoch is None else epoch
    description, tensors = run.read_description(epoch), run.read_model(epoch)
    box, pixel_size = description["box"], description["pixel_size"]
    if description["recipe"] == "paper":
        _refuse_other_scale(particles, box, pixel_size, run.path)
    particles = particles.on_grid(box, pixel_size)
    session = Session.for_reading(run, particles)
    disc = half_disc(int(description["radius"]))
    if description["recipe"] == "paper":
        spectra = finished(masked_spectra(particles, disc, session.flat_mask_diameter))
        posterior = _paper_posterior(tensors, spectra)
    else:
        spectra = finished(whitened_spectra(particles, disc, session.mask_radius))
        # The volumes of the linear start fit the images; those of the VAE are shrunk a little.
        volumes = tensors.get("encoder.volumes", tensors["basis.volumes"])
        contrasts = _contrasts(particles, spectra, description, volumes[:, :1].contiguous())
        apply_contrasts(contrasts, particles, spectra)
        posterior = _posterior(tensors, spectra, description["metrics"].get(SCALE_SPREAD, 0.0), exact)
    return latents_of(posterior, epoch)


def _refuse_other_scale(particles: Particles, box: int, pixel_size: float, run: Path) -> None:
    if particles.box != box or abs(particles.pixel_size / pixel_size - 1) > 0.01:
        raise InputError(
            f"{particles.source} has images of {particles.box} px at {particles.pixel_size:g} Å, but {run} was trained on "
            f"{box} px at {pixel_size:g} Å, by a recipe that knows one scale: rescale the images to match."
        )


def _contrasts(
    particles: Particles, spectra: Spectra, description: dict[str, Any], consensus: Tensor
) -> list[GroupContrast]:
    """Contrasts of the run's scales as training found them, and of others by its consensus (W, 1, 2)."""
    known = stored_contrasts(description)
    own = GroupContrast(description["box"], description["pixel_size"], 1.0)
    if not known and all(own.is_of(group) for group in particles.optics):
        return [own]
    unknown = [group for group in particles.optics if not any(item.is_of(group) for item in known)]
    if unknown:
        sphere = half_sphere(spectra.disc.radius)
        measured = measured_contrasts(particles, spectra, consensus, sphere)
        known += [item for item in measured if any(item.is_of(group) for group in unknown)]
    return known


@torch.no_grad()
def _posterior(tensors: dict[str, Tensor], spectra: Spectra, scale_spread: float, exact: bool) -> Posterior:
    sphere = half_sphere(spectra.disc.radius)
    statistics = image_statistics(spectra, tensors["basis.volumes"], sphere)
    # The bank was published with the head, and has the size of the latent.
    latent_size = tensors.get("encoder.volumes", tensors["basis.volumes"]).shape[1] - 1
    basis_size = tensors["basis.volumes"].shape[1] - 1
    head = stored_head(tensors, latent_size, basis_size, linear_start=True)
    if head is None:  # an epoch of the closed-form start is linear, and its posterior exact
        return linear_posterior(*statistics, scale_spread)
    bank = linear_posterior(*image_statistics(spectra, tensors["encoder.volumes"], sphere), scale_spread)
    network = nested(tensors, "encoder.")
    del network["volumes"]
    encoder = PosteriorEncoder(latent_size, len(network["enter.bias"]))
    encoder.load_state_dict(network)
    mean, log_variance = encoder(bank.mean, bank.covariance, bank.information)
    if not exact:
        amortised = diagonal_posterior(mean, log_variance)
        return replace(amortised, contrast=bank.contrast, scale=bank.scale)
    return refined_posterior(statistics, bank, head, mean)


@torch.no_grad()
def _paper_posterior(tensors: dict[str, Tensor], spectra: Spectra) -> Posterior:
    network = nested(tensors, "encoder.")
    width, pixels = network["enter.weight"].shape
    depth = sum(name.startswith("blocks.") and name.endswith("bias") for name in network)
    encoder = ImageEncoder(pixels, len(network["leave.bias"]) // 2, width, depth)
    encoder.load_state_dict(network)
    # The data are not normalised here, so the whole amplitude is divided out at once.
    images = (
        encoder_input(part, 1 / tensors["amplitude"])
        for _, part in spectra.parts(torch.arange(spectra.count), 512)
    )
    parts = [encoder(image) for image in images]
    return diagonal_posterior(
        torch.cat([mean for mean, _ in parts]), torch.cat([spread for _, spread in parts])
    )
