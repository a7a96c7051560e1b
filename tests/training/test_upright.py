"""Upright images and averages of views, against projections of the true map."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from prediction import predict, slices

from napari_sbackprop.data.mrc import write_stack
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.imaging.fourier import disc_to_images
from napari_sbackprop.imaging.grids import half_disc
from napari_sbackprop.imaging.poses import euler_to_matrix, matrix_to_euler
from napari_sbackprop.training.progress import finished
from napari_sbackprop.training.upright import upright_images, view_averages

BOX, PIXEL = 48, 6.0
FINEST = 2 * PIXEL


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Particles, torch.Tensor]:
    """Noise-free particles of one state, and its map."""
    folder = tmp_path_factory.mktemp("clean") / "set"
    particles = simulated(folder, 3000, BOX, PIXEL)
    return particles, torch.from_numpy(Truth.open(folder / "truth").states[0])


def simulated(folder: Path, count: int, box: int, pixel_size: float) -> Particles:
    star = simulate(
        folder, states=1, particles=count, box=box, pixel_size=pixel_size, snr=float("inf"), seed=4
    )
    return read_particles(star)


def projections(volume: torch.Tensor, angles: np.ndarray) -> np.ndarray:
    """Images (n, M, M) of a map at angles (n, 3), without shift and CTF."""
    radius = BOX // 2 - 1
    values = slices(volume, euler_to_matrix(torch.from_numpy(angles)), radius, padding=2)
    return disc_to_images(values, half_disc(radius), BOX).numpy()


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation inside the disc where the images are not masked."""
    axis = np.arange(BOX) - BOX // 2
    inside = np.hypot(axis, axis[:, None]) < 0.44 * BOX
    return float(np.corrcoef(first[inside], second[inside])[0, 1])


def test_upright_images_are_projections_without_shift_and_rotation(clean, tmp_path: Path) -> None:
    _, volume = clean
    particles, some = simulated(tmp_path / "four", 4, BOX, PIXEL), np.arange(4)
    group = replace(particles.optics[0], amplitude_contrast=1.0, spherical_aberration=0.0)
    flat = replace(particles, defocus=np.zeros_like(particles.defocus), optics=(group,))  # CTF 1 everywhere
    images = disc_to_images(predict(volume, flat, BOX // 2 - 1, padding=2), half_disc(BOX // 2 - 1), BOX)
    write_stack(tmp_path / "flat.mrcs", images.float().numpy(), PIXEL)
    flat = replace(flat, stack_paths=(tmp_path / "flat.mrcs",))

    angles = matrix_to_euler(torch.from_numpy(flat.rotation)).double().numpy()
    expected = projections(volume, angles * [1, 1, 0])
    for shown, truth in zip(upright_images(flat, some, FINEST), expected, strict=True):
        assert correlation(shown, truth) > 0.999
        np.testing.assert_allclose(1.1 * shown[20:28, 20:28], truth[20:28, 20:28], atol=0.02 * truth.max())
    for shown, wrong in zip(upright_images(flat, some, FINEST), projections(volume, angles), strict=True):
        assert correlation(shown, wrong) < 0.98  # the test would notice a missing rotation


def test_an_average_of_a_view_is_the_projection_of_the_map(clean) -> None:
    particles, volume = clean
    averages = finished(view_averages(particles, np.arange(particles.count), most=3, resolution=FINEST))
    assert len(averages) == 3
    members = [average.members for average in averages]
    assert members == sorted(members, reverse=True)
    assert members[0] > particles.count / 96
    for average in averages:
        truth, opposite = projections(
            volume,
            np.array([(*average.angles, 0.0), (average.angles[0] + 180, 180 - average.angles[1], 0.0)]),
        )
        assert correlation(average.image, truth) > 0.9
        assert correlation(average.image, opposite) < correlation(average.image, truth) - 0.05


def test_an_average_undoes_the_ctf_that_single_images_show(clean) -> None:
    particles, volume = clean
    everything = np.arange(particles.count)
    average = finished(view_averages(particles, everything, most=1, resolution=FINEST))[0]
    truth = projections(volume, np.array([(*average.angles, 0.0)]))[0]
    single = upright_images(particles, everything[:20], FINEST)
    angles = matrix_to_euler(torch.from_numpy(particles.rotation[:20])).double().numpy() * [1, 1, 0]
    scores = [correlation(a, b) for a, b in zip(single, projections(volume, angles), strict=True)]
    assert min(scores) > 0.5
    assert np.mean(scores) < correlation(average.image, truth)


def test_averages_tell_how_many_images_are_done(clean) -> None:
    particles, _ = clean
    done = list(view_averages(particles, np.arange(500), most=2, resolution=FINEST))
    assert done == sorted(done)
    few = finished(view_averages(particles, np.array([7]), most=6, resolution=FINEST))
    assert [average.members for average in few] == [1]


def test_images_of_two_scales_are_shown_at_one(tmp_path: Path) -> None:
    coarse = simulated(tmp_path / "coarse", 2, 48, 8.0)
    fine = simulated(tmp_path / "fine", 2, BOX, PIXEL)
    mixed = replace(
        fine, optics=(coarse.optics[0], fine.optics[0]), optics_index=np.array([0, 1], np.int32),
        stack_paths=(*coarse.stack_paths, *fine.stack_paths), stack_index=np.array([0, 1], np.int32),
    )  # fmt: skip
    assert (mixed.box, mixed.pixel_size) == (64, PIXEL)
    alone, together = (upright_images(some, np.array([1]), 24.0)[0] for some in (fine, mixed))
    assert correlation(together[8:-8, 8:-8], alone) > 0.995
