"""Euler angles and origins, by RELION's conventions."""

import math

import pytest
import torch

from napari_sbackprop.imaging.fourier import disc_to_images
from napari_sbackprop.imaging.grids import half_disc
from napari_sbackprop.imaging.poses import (
    euler_to_matrix,
    matrix_to_euler,
    random_rotations,
    shift_phase,
    slice_matrix,
)


def test_psi_turns_the_image_axes():
    expected = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    assert torch.allclose(euler_to_matrix(torch.tensor([[0.0, 0.0, 90.0]]))[0], expected, atol=1e-6)


def test_the_viewing_direction_is_the_third_row():
    matrix = euler_to_matrix(torch.tensor([[30.0, 60.0, 10.0]], dtype=torch.float64))[0]
    rot, tilt = math.radians(30), math.radians(60)
    direction = [math.sin(tilt) * math.cos(rot), math.sin(tilt) * math.sin(rot), math.cos(tilt)]
    assert matrix[2].tolist() == pytest.approx(direction)


def test_angles_and_matrices_agree_at_the_poles_too():
    generator = torch.Generator().manual_seed(0)
    matrices = random_rotations(200, generator)
    poles = euler_to_matrix(torch.tensor([[25.0, 0, 40], [25, 180, 40]], dtype=torch.float64))
    for batch in (matrices, poles):
        assert torch.allclose(euler_to_matrix(matrix_to_euler(batch)), batch, atol=1e-9)


def test_random_rotations_are_uniform():
    matrices = random_rotations(20_000, torch.Generator().manual_seed(1))
    assert torch.allclose(
        matrices @ matrices.mT, torch.eye(3, dtype=torch.float64).expand_as(matrices), atol=1e-12
    )
    assert (torch.linalg.det(matrices) > 0).all()
    assert matrices.mean(0).abs().max() < 0.02
    assert (matrices[:, 2, 2] ** 2).mean() == pytest.approx(1 / 3, abs=0.01)  # cosine of tilt is uniform


def test_the_particle_sits_at_centre_minus_origin():
    disc = half_disc(15)
    delta = shift_phase(disc.coordinates, torch.tensor([[3.0, -2.0]]), 32)
    image = disc_to_images(delta, disc, 32)[0]
    assert divmod(int(image.argmax()), 32) == (16 + 2, 16 - 3)


def test_a_slice_matrix_samples_at_the_magnified_frequency():
    rotation = random_rotations(3, torch.Generator().manual_seed(0))
    magnification = torch.tensor([[1.02, 0.03], [-0.01, 0.98]], dtype=torch.float64)
    k = torch.tensor([5.0, -2.0], dtype=torch.float64)
    expected = rotation.mT[:, :, :2] @ (magnification @ k)  # A^T (M k, 0)
    sampled = slice_matrix(rotation, magnification).mT[:, :, :2] @ k
    assert torch.allclose(sampled, expected)
    assert torch.equal(slice_matrix(rotation, torch.eye(2)), rotation)
