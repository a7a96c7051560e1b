"""The image model against projections that RELION made of a known map: poses, shifts, CTF, two optics groups."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from prediction import predict, relative_error
from torch import Tensor

from napari_sbackprop.data.loader import read_images
from napari_sbackprop.data.mrc import read_volume
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.imaging.fourier import images_to_disc
from napari_sbackprop.imaging.grids import half_disc
from napari_sbackprop.training.image_model import transfer_function

FOLDERS = ("relion_golden", "relion_golden_toy")


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
    disc = half_disc(radius)
    filtered = images_to_disc(plain.double(), disc) * transfer_function(
        particles, np.arange(len(plain)), disc
    )
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
