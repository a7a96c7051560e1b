"""Masks and Fourier shells."""

import pytest
import torch

from napari_sbackprop.imaging.masks import distance_outside, radius_grid, soft_ball, solvent_mask
from napari_sbackprop.imaging.shells import fourier_shell_correlation, shell_mean


def test_soft_ball_is_flat_then_falls_to_zero():
    ball, distance = soft_ball(32, 8, 4, 3), radius_grid(32, 3)
    assert (ball[distance <= 8] == 1).all()
    assert (ball[distance >= 12] < 1e-6).all()
    assert ball[16, 16, 26] == pytest.approx(0.5)


def test_distance_is_euclidean():
    inside = torch.zeros(16, 16, 16, dtype=torch.bool)
    inside[8, 8, 8] = True
    distance = distance_outside(inside, reach=6)
    assert distance[8, 8, 8] == 0
    assert distance[8, 11, 12] == pytest.approx(5)
    assert distance[11, 11, 11] == pytest.approx(27**0.5)
    assert distance[0, 0, 0] == pytest.approx(6)


def test_solvent_mask_holds_the_molecule_and_little_else():
    ball = soft_ball(48, 8, 3, 3)
    noise = torch.randn(48, 48, 48, generator=torch.Generator().manual_seed(0))
    mask = solvent_mask(ball + 0.1 * noise, pixel_size=3.0)
    assert mask[radius_grid(48, 3) < 8].min() > 0.99
    assert mask[radius_grid(48, 3) > 18].max() < 0.01


def test_correlation_with_itself_is_one_and_with_noise_none():
    generator = torch.Generator().manual_seed(4)
    a, b = torch.randn(2, 32, 32, 32, generator=generator)
    assert torch.allclose(fourier_shell_correlation(a, a), torch.ones(16, dtype=torch.float64))
    assert fourier_shell_correlation(a, b)[8:].abs().max() < 0.1
    half = fourier_shell_correlation(a, a + b)
    assert half[8:].mean() == pytest.approx(0.5**0.5, abs=0.03)


def test_shell_mean_ignores_corners():
    values, shell = torch.tensor([1.0, 3.0, 5.0, 100.0]), torch.tensor([0, 1, 1, 7])
    assert shell_mean(values, shell, 3).tolist() == [1.0, 4.0, 0.0]
