"""The image model against projections that RELION made of a known map: poses, shifts, CTF, two optics groups."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_sbackprop.data.loader import read_images
from napari_sbackprop.data.mrc import read_volume
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.imaging.ctf import contrast_transfer
from napari_sbackprop.imaging.fourier import gridding_correction, images_to_disc, volumes_to_sphere
from napari_sbackprop.imaging.grids import half_disc, half_sphere
from napari_sbackprop.imaging.poses import shift_phase
from napari_sbackprop.ops import reference

FOLDERS = ("relion_golden", "relion_golden_toy")


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


def transfer(particles: Particles, radius: int) -> Tensor:
    """Contrast transfer (B, P) of each image, by its optics group."""
    frequencies = half_disc(radius).coordinates.double() / (particles.box * particles.pixel_size)
    values = torch.empty(particles.count, len(frequencies), dtype=torch.float64)
    for index, group in enumerate(particles.optics):
        rows = torch.from_numpy(particles.optics_index == index)
        values[rows] = contrast_transfer(
            frequencies,
            torch.from_numpy(particles.defocus).double()[rows],
            voltage=group.voltage,
            spherical_aberration=group.spherical_aberration,
            amplitude_contrast=group.amplitude_contrast,
            phase_shift=torch.from_numpy(particles.phase_shift).double()[rows],
            b_factor=torch.from_numpy(particles.b_factor).double()[rows],
            scale=torch.from_numpy(particles.scale).double()[rows],
        )
    return values


def predict(volume: Tensor, particles: Particles, radius: int, padding: int, with_ctf: bool = True) -> Tensor:
    """Transforms (B, P) of the images that the model expects."""
    values = slices(volume, torch.from_numpy(particles.rotation), radius, padding)
    origin_px = torch.from_numpy(particles.shift).double() / particles.pixel_size
    values = values * shift_phase(half_disc(radius).coordinates, origin_px, particles.box)
    return values * transfer(particles, radius) if with_ctf else values


def relative_error(images: Tensor, prediction: Tensor, radius: int) -> float:
    """Error of the transforms, zero frequency left out, over that of the images."""
    disc = half_disc(radius)
    inside = disc.shell > 0
    truth = images_to_disc(images.double(), disc)[:, inside]
    return float((prediction[:, inside] - truth).norm() / truth.norm())


def load(folder: Path, name: str) -> tuple[Tensor, Particles, Tensor]:
    """Map, particles and images of one golden set."""
    particles = read_particles(folder / f"{name}.star")
    images = torch.from_numpy(read_images(particles, np.arange(particles.count)))
    return torch.from_numpy(read_volume(folder / "vol.mrc")[0]), particles, images


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", ["proj_noctf", "proj_ctf"])
def test_padded_slices_agree_with_relion(shared_data: Path, folder: str, name: str) -> None:
    volume, particles, images = load(shared_data / folder, name)
    radius = particles.box // 2 - 2
    prediction = predict(volume, particles, radius, padding=2, with_ctf=name == "proj_ctf")
    assert relative_error(images, prediction, radius) < 1e-4


@pytest.mark.parametrize("folder", FOLDERS)
def test_slices_without_padding_are_an_approximation(shared_data: Path, folder: str) -> None:
    volume, particles, images = load(shared_data / folder, "proj_ctf")
    radius = particles.box // 2 - 2
    assert relative_error(images, predict(volume, particles, radius, padding=1), radius) < 0.07


@pytest.mark.parametrize("folder", FOLDERS)
def test_ctf_alone_turns_relions_plain_images_into_its_ctf_images(shared_data: Path, folder: str) -> None:
    _, _, plain = load(shared_data / folder, "proj_noctf")
    _, particles, images = load(shared_data / folder, "proj_ctf")
    radius = particles.box // 2 - 2
    filtered = images_to_disc(plain.double(), half_disc(radius)) * transfer(particles, radius)
    assert relative_error(images, filtered, radius) < 1e-5


WRONG = {
    "transposed pose": lambda p: replace(p, rotation=p.rotation.swapaxes(1, 2).copy()),
    "flipped shift": lambda p: replace(p, shift=-p.shift),
    "x and y of the shift swapped": lambda p: replace(p, shift=p.shift[:, ::-1].copy()),
    "half a pixel off the centre": lambda p: replace(p, shift=p.shift + np.float32(p.pixel_size / 2)),
    "astigmatism measured from y": lambda p: replace(
        p, defocus=(p.defocus * [1, 1, -1] + [0, 0, 90]).astype(np.float32)
    ),
    "astigmatism negated": lambda p: replace(p, defocus=(p.defocus * [1, 1, -1]).astype(np.float32)),
    "no phase shift": lambda p: replace(p, phase_shift=np.zeros_like(p.phase_shift)),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_wrong_conventions_are_loud(shared_data: Path, wrong) -> None:
    volume, particles, images = load(shared_data / "relion_golden", "proj_ctf")
    radius = particles.box // 2 - 2
    assert relative_error(images, predict(volume, wrong(particles), radius, padding=2), radius) > 0.02


def test_negated_ctf_is_the_negated_image(shared_data: Path) -> None:
    volume, particles, images = load(shared_data / "relion_golden", "proj_ctf")
    radius = particles.box // 2 - 2
    error = relative_error(images, -predict(volume, particles, radius, padding=2), radius)
    assert math.isclose(error, 2, rel_tol=1e-3)
