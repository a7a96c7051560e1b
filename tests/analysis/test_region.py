"""Density in a region of the map."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sbackprop.analysis.reconstruction import Decoder
from napari_sbackprop.analysis.region import Sphere, region_densities, seen_place
from napari_sbackprop.errors import InputError
from napari_sbackprop.models.coefficients import CoefficientHead
from napari_sbackprop.run_directory import Latents

BOX, PIXEL = 24, 2.5


@pytest.fixture(params=[False, True], ids=["linear", "curved"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    """Random volumes in a mask that leaves out a third of the box."""
    random, count = np.random.default_rng(0), 40
    mean = random.normal(size=(count, 3)).astype(np.float32)
    unit = np.tile(np.eye(3, dtype=np.float32), (count, 1, 1))
    support = np.sort(random.choice(BOX**3, 2 * BOX**3 // 3, replace=False))
    torch.manual_seed(0)
    return Decoder(
        box=BOX,
        pixel_size=PIXEL,
        latents=Latents(mean, np.zeros_like(mean), unit, np.ones(count, np.float32), 1),
        basis=random.normal(size=(4, len(support))).astype(np.float32),
        support=support,
        support_mask=np.ones(len(support), np.float32),
        _head=CoefficientHead(3, 3, linear_start=False) if request.param else None,
    )


@pytest.mark.parametrize(
    "sphere",
    [Sphere((30.0, 22.5, 41.0), 9.2), Sphere((1.0, 57.0, 30.0), 14.0), Sphere((30.0, 30.0, 30.0), 500.0)],
    ids=["inside", "over the edge", "all"],
)
def test_densities_are_those_of_each_decoded_map(decoder: Decoder, sphere: Sphere) -> None:
    latents = decoder.latents.mean
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] * PIXEL
    offset = np.stack([x, y, z], axis=-1) - sphere.centre
    inside = np.linalg.norm(offset, axis=-1) <= sphere.radius
    expected = [decoder.volume(latent)[inside].mean(dtype=np.float64) for latent in latents]
    found = region_densities(decoder, decoder.coefficients(latents), sphere)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_spheres_without_density_are_refused(decoder: Decoder) -> None:
    coefficients = decoder.coefficients(decoder.latents.mean)
    with pytest.raises(InputError, match="holds no voxel"):
        region_densities(decoder, coefficients, Sphere((-50.0, 0.0, 0.0), 10.0))
    with pytest.raises(InputError, match="holds no voxel"):
        region_densities(decoder, coefficients, Sphere((1.2, 1.2, 1.2), 1.0))
    corner = replace(decoder, basis=decoder.basis[:, :1], support=np.array([0]))
    with pytest.raises(InputError, match="outside the mask"):
        region_densities(corner, coefficients, Sphere((30.0, 30.0, 30.0), 10.0))


def test_a_line_of_sight_ends_at_the_surface_that_is_seen() -> None:
    volume = np.zeros((32, 32, 32), np.float32)
    volume[16, 16, 8:12], volume[16, 16, 20:24] = 1.0, 3.0
    z, y, x = seen_place(volume, 0.5, (16, 16, -40), (0, 0, 2))
    assert (z, y) == (16, 16)
    assert x == pytest.approx(7.5, abs=0.6)
    assert seen_place(volume, 0.5, (16, 16, -40), (0, 0, -2))[2] == pytest.approx(23.5, abs=0.6)
    assert 20 <= seen_place(volume, 9.0, (16, 16, 500), (0, 0, 1))[2] <= 23  # no surface: the densest place
    assert seen_place(volume, 0.5, (99, 16, 0), (0, 0, 1)) is None
