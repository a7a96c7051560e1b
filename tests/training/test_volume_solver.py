"""Volumes from posteriors: back-projection, gridding, masks."""

import torch

from napari_sbackprop import ops
from napari_sbackprop.imaging.fourier import gridding_correction, sphere_to_volumes, volumes_to_sphere
from napari_sbackprop.imaging.grids import half_disc, half_sphere
from napari_sbackprop.imaging.masks import radius_grid, soft_ball
from napari_sbackprop.imaging.poses import random_rotations
from napari_sbackprop.imaging.shells import fourier_shell_correlation
from napari_sbackprop.training.spectra import Spectra
from napari_sbackprop.training.volume_solver import back_project, mask_solution, solve_volumes

BOX = 24
PLACES = ((12, 12, 12), (12, 12, 18), (6, 12, 12), (12, 16, 8))


def blobs() -> torch.Tensor:
    """Four equal blobs, at the centre and half-way to the edge of the box."""
    axis = torch.arange(BOX)
    squares = [
        (axis[:, None, None] - z) ** 2 + (axis[:, None] - y) ** 2 + (axis - x) ** 2 for z, y, x in PLACES
    ]
    return torch.stack([torch.exp(-square / 4.0) for square in squares]).sum(0)


def noise_free(maps: torch.Tensor, coefficients: torch.Tensor, count: int) -> Spectra:
    """Central slices of combinations of maps, by interpolation at padding 2."""
    disc, sphere = half_disc(BOX // 2 - 1), half_sphere(BOX - 1)
    padded = torch.nn.functional.pad(maps / gridding_correction(BOX, 2), (BOX // 2,) * 6)
    volumes = torch.view_as_real(volumes_to_sphere(padded, sphere)).transpose(0, 1)
    rotation = random_rotations(count, torch.Generator().manual_seed(5)).float()
    data = ops.project(volumes.contiguous(), coefficients, 2 * rotation, disc, sphere)
    return Spectra(disc, data, torch.ones(count, disc.size), rotation)


def test_noise_free_images_give_the_map_back_with_even_heights():
    count = 800
    spectra = noise_free(blobs()[None], torch.ones(count, 1), count)
    sphere = half_sphere(spectra.disc.radius)
    raw = torch.view_as_complex(back_project(spectra, sphere, torch.arange(count))[:, 0].contiguous())
    rebuilt = sphere_to_volumes(raw, sphere, BOX) / gridding_correction(BOX)
    inside = radius_grid(BOX, 3) < BOX // 2 - 1
    assert fourier_shell_correlation(rebuilt * inside, blobs() * inside)[:9].min() > 0.99
    heights = torch.tensor([rebuilt[place] for place in PLACES])
    assert heights.std() / heights.mean() < 0.03
    uncorrected = sphere_to_volumes(raw, sphere, BOX)
    assert torch.tensor([uncorrected[place] for place in PLACES]).std() > 0.1


def test_two_volumes_are_told_apart_by_their_coefficients():
    count = 1500
    first, second = blobs(), blobs().flip(2)
    weights = torch.randn(count, 1, generator=torch.Generator().manual_seed(6))
    coefficients = torch.cat([torch.ones(count, 1), weights], dim=1)
    spectra = noise_free(torch.stack([first, second]), coefficients, count)
    sphere = half_sphere(spectra.disc.radius)
    moments = coefficients[:, :, None] * coefficients[:, None, :]
    solved = solve_volumes(spectra, sphere, torch.arange(count), coefficients, moments)
    for channel, truth in enumerate((first, second)):
        values = torch.view_as_complex(solved[:, channel].contiguous())
        rebuilt = sphere_to_volumes(values, sphere, BOX) / gridding_correction(BOX)
        assert fourier_shell_correlation(rebuilt, truth)[:8].min() > 0.95


def test_masked_solutions_slice_to_the_data():
    count = 800
    spectra = noise_free(blobs()[None], torch.ones(count, 1), count)
    sphere = half_sphere(spectra.disc.radius)
    raw = back_project(spectra, sphere, torch.arange(count))
    masked = mask_solution(raw, sphere, soft_ball(BOX, 9, 2, 3))
    slices = ops.project(masked, torch.ones(20, 1), spectra.rotation[:20], spectra.disc, sphere)
    low = spectra.disc.shell <= 8
    error = (slices - spectra.data[:20])[:, low].norm() / spectra.data[:20, low].norm()
    assert error < 0.2  # of interpolation without padding, with blobs at the edge
    dimmed = ops.project(raw, torch.ones(20, 1), spectra.rotation[:20], spectra.disc, sphere)
    assert (dimmed - spectra.data[:20])[:, low].norm() / spectra.data[:20, low].norm() > 1.5 * error


def test_the_plane_is_hermitian():
    spectra = noise_free(blobs()[None], torch.ones(60, 1), 60)
    sphere = half_sphere(spectra.disc.radius)
    solved = torch.view_as_complex(back_project(spectra, sphere, torch.arange(60))[:, 0].contiguous())
    plane = sphere.coordinates[:, 0] == 0
    assert torch.allclose(
        solved[plane], solved[sphere.conjugate[plane]].conj(), atol=1e-5 * solved.abs().max().item()
    )
