"""Spectra of images with aberrations, and of images at different scales."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from two_scales import simulate_two_scales

from napari_sbackprop.data.loader import read_images
from napari_sbackprop.data.mrc import write_stack
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.fourier import disc_to_images, images_to_disc, sphere_to_volumes
from napari_sbackprop.imaging.grids import half_disc, half_sphere
from napari_sbackprop.imaging.shells import fourier_shell_correlation
from napari_sbackprop.training.group_contrast import (
    apply_contrasts,
    measured_contrasts,
    normalised,
    with_contrasts,
)
from napari_sbackprop.training.image_model import image_phase
from napari_sbackprop.training.paper import masked_spectra
from napari_sbackprop.training.progress import finished
from napari_sbackprop.training.spectra import noise_spectra, spectra_of, whitened_spectra
from napari_sbackprop.training.volume_solver import back_project


def test_phases_of_aberrations_are_undone(small_set: Path, tmp_path: Path) -> None:
    plain = read_particles(small_set / "particles.star")
    everything, disc = np.arange(plain.count), half_disc(plain.box // 2 - 1)
    tilt = np.random.default_rng(0).normal(scale=100, size=(plain.count, 2)).astype(np.float32)
    group = replace(plain.optics[0], odd_zernikes=(1.0, 2.0, 2000.0, 0.0, 0.0, -3000.0))
    aberrated = replace(plain, beam_tilt=tilt, optics=(group,))
    phase = image_phase(aberrated, everything, disc) * image_phase(plain, everything, disc).conj()
    images = images_to_disc(torch.from_numpy(read_images(plain, everything)), disc) * phase
    write_stack(tmp_path / "images.mrcs", disc_to_images(images, disc, plain.box).numpy(), plain.pixel_size)
    aberrated = replace(aberrated, stack_paths=(tmp_path / "images.mrcs",))

    flat = torch.ones(1, disc.size)
    truth, result = (spectra_of(particles, everything, disc, flat).data for particles in (plain, aberrated))
    torch.testing.assert_close(result, truth, rtol=1e-3, atol=1e-3 * truth.abs().max().item())
    # The mask of the paper's recipe lies on the images as they are, so that a little is lost.
    truth, result = (
        finished(masked_spectra(particles, disc, 260.0)).data for particles in (plain, aberrated)
    )
    assert (result - truth).norm() < 0.5 * (result / phase.conj() - truth).norm()


@pytest.fixture(scope="module")
def two_scales(tmp_path_factory: pytest.TempPathFactory) -> Particles:
    """Particles of one state at 6 and at 8 angstrom per pixel, in images that are not equally wide."""
    folder = tmp_path_factory.mktemp("scales")
    return read_particles(simulate_two_scales(folder, states=1, snr=(1, 1)))


def map_of(particles: Particles, rows: Tensor) -> Tensor:
    disc, sphere = half_disc(particles.box // 2 - 1), half_sphere(particles.box // 2 - 1)
    spectra = finished(whitened_spectra(particles, disc, 0.425 * particles.box))
    values = back_project(spectra, sphere, rows)[:, 0].contiguous()
    return sphere_to_volumes(torch.view_as_complex(values), sphere, particles.box)


def test_images_of_both_scales_back_project_to_one_map(two_scales: Particles) -> None:
    assert (two_scales.box, two_scales.pixel_size) == (48, 6.0)
    first, second = (map_of(two_scales, torch.arange(300) + start) for start in (0, 300))
    correlation = fourier_shell_correlation(first, second)
    assert correlation[1:16].min() > 0.8
    assert correlation[20:].abs().max() < 0.5  # beyond the coarser group's band
    # The signal-to-noise ratio is of whole images, whose noise has the variance 1: wider images have more signal by 9 %.
    assert (first * second).sum() / first.square().sum() == pytest.approx(1.09, abs=0.1)


def test_contrasts_of_groups_are_found(two_scales: Particles) -> None:
    disc, sphere = half_disc(two_scales.box // 2 - 1), half_sphere(two_scales.box // 2 - 1)
    spectra = finished(whitened_spectra(two_scales, disc, 0.425 * two_scales.box))
    spectra.data[300:] *= 0.7
    before = spectra.transfer.clone()
    consensus = back_project(spectra, sphere, torch.arange(600))
    contrasts = normalised(measured_contrasts(two_scales, spectra, consensus, sphere), two_scales)
    apply_contrasts(contrasts, two_scales, spectra)
    first, second = (spectra.transfer[rows] / before[rows] for rows in (0, 300))
    seen = disc.shell < 18
    assert (second[seen] / first[seen]).nanmean().item() == pytest.approx(1.09 * 0.7, rel=0.05)
    assert (first[seen] + second[seen]).nanmean().item() == pytest.approx(2)
    known = with_contrasts(two_scales, contrasts)
    flat = torch.ones(2, disc.size)
    again, plain = (spectra_of(item, np.array([0, 300]), disc, flat) for item in (known, two_scales))
    torch.testing.assert_close(again.data, plain.data)
    for row, ratio in ((0, first), (1, second)):
        torch.testing.assert_close(again.transfer[row], plain.transfer[row] * ratio[seen].nanmean())


def test_what_lies_beyond_a_groups_band_is_empty_and_has_no_weight(two_scales: Particles) -> None:
    disc = half_disc(two_scales.box // 2 - 1)
    noise = noise_spectra(two_scales, disc, 0.425 * two_scales.box)
    assert (noise > 0).all()
    spectra = spectra_of(two_scales, np.array([0, 300]), disc, noise.sqrt()[:, disc.shell])
    beyond = disc.shell > 17  # of 36 px
    assert not spectra.data[1, beyond].any()
    assert not spectra.transfer[1, beyond].any()
    assert spectra.data[1, ~beyond].all()
    assert spectra.data[0, disc.shell < 22].all()


def test_the_papers_recipe_refuses_two_scales(two_scales: Particles) -> None:
    with pytest.raises(InputError, match="several boxes or pixel sizes, but the recipe 'paper' needs one"):
        finished(masked_spectra(two_scales, half_disc(10), 200.0))
