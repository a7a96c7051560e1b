"""The half disc and half sphere, and transforms between them and real space."""

import pytest
import torch

from napari_sbackprop.imaging.fourier import (
    disc_to_images,
    gaussian_filter,
    gridding_correction,
    images_to_disc,
    resample_volumes,
    sphere_to_volumes,
    volumes_to_sphere,
)
from napari_sbackprop.imaging.grids import TILE, half_disc, half_sphere


@pytest.mark.parametrize("radius", [4, 7, 15, 31])
def test_disc_weights_count_every_pixel_of_the_full_plane_once(radius):
    disc = half_disc(radius)
    axis = torch.arange(-radius - 1, radius + 2).double()
    full = (torch.hypot(axis[:, None], axis).round() <= radius).sum()
    assert 2 * disc.weight.sum() == full
    assert len(torch.unique(disc.coordinates, dim=0)) == disc.size


@pytest.mark.parametrize("radius", [7, 12, 31])
def test_tiles_are_full_squares_cut_by_the_disc(radius):
    disc = half_disc(radius)
    for start, end, centre in zip(disc.tile_starts, disc.tile_starts[1:], disc.tile_centres, strict=False):
        assert 0 < end - start <= TILE**2
        assert ((disc.coordinates[start:end] - centre).abs() <= (TILE - 1) / 2).all()
    assert disc.tile_starts[-1] == disc.size


@pytest.mark.parametrize("radius", [3, 12, 20])
def test_every_corner_of_every_point_is_stored(radius):
    sphere = half_sphere(radius)
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(20_000, 3, generator=generator, dtype=torch.float64)
    points *= (radius + 0.5) / points.norm(dim=-1, keepdim=True)
    points[:, 0].abs_()
    for dx in (0, 1):
        for dy in (0, 1):
            for dz in (0, 1):
                x, y, z = (points.floor().long() + torch.tensor([dx, dy, dz])).unbind(-1)
                assert (x < sphere.length[z + sphere.offset, y + sphere.offset]).all()
                index = sphere.row[z + sphere.offset, y + sphere.offset] + x
                assert (sphere.coordinates[index] == torch.stack([x, y, z], -1)).all()


def test_conjugates_of_the_plane_are_opposite_voxels():
    sphere = half_sphere(9)
    plane = sphere.coordinates[:, 0] == 0
    assert (sphere.coordinates[sphere.conjugate][plane] == -sphere.coordinates[plane]).all()
    assert (sphere.conjugate[~plane] == torch.nonzero(~plane).squeeze(-1)).all()


def test_transforms_invert_each_other_inside_the_band():
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(3, 32, 32, generator=generator, dtype=torch.float64)
    volumes = torch.randn(2, 16, 16, 16, generator=generator, dtype=torch.float64)
    disc, sphere = half_disc(15), half_sphere(7)
    values = images_to_disc(images, disc)
    assert torch.allclose(images_to_disc(disc_to_images(values, disc, 32), disc), values)
    values = volumes_to_sphere(volumes, sphere)
    assert torch.allclose(volumes_to_sphere(sphere_to_volumes(values, sphere, 16), sphere), values)


def test_a_projection_is_the_central_slice():
    volume = torch.randn(16, 16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    disc, sphere = half_disc(7), half_sphere(7)
    along_z = images_to_disc(volume.sum(0), disc)
    x, y = disc.coordinates.unbind(-1)
    index = sphere.row[sphere.offset, y + sphere.offset] + x
    assert torch.allclose(volumes_to_sphere(volume, sphere)[index], along_z)


def test_the_origin_is_the_centre_pixel():
    image = torch.zeros(12, 12)
    image[6, 6] = 1
    assert torch.allclose(images_to_disc(image, half_disc(5)), torch.ones(1, dtype=torch.complex64))


def test_gridding_correction_is_the_transform_of_the_trilinear_kernel():
    correction = gridding_correction(32)
    assert correction[16, 16, 16] == 1
    assert correction[16, 16, 28] == pytest.approx(0.6150, abs=1e-3)  # sinc^2(12 / 32): 1.63 times too bright
    assert torch.allclose(correction, correction.permute(2, 1, 0))


def test_resampling_keeps_densities():
    axis = torch.arange(32) - 16
    square = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    blob = torch.exp(-square / 20.0)
    small = resample_volumes(blob, 16)
    assert small.shape == (16, 16, 16)
    assert torch.allclose(small, blob[::2, ::2, ::2], atol=2e-3)
    assert torch.allclose(resample_volumes(small, 32), blob, atol=2e-3)


def test_low_pass_damps_by_the_width():
    wave = torch.cos(2 * torch.pi * torch.arange(16) / 8).expand(16, 16, 16)
    assert torch.allclose(gaussian_filter(wave, 8.0), wave * torch.exp(torch.tensor(-1.0)), atol=1e-5)


@pytest.mark.parametrize(("box", "message"), [(15, "even"), (16, "Nyquist")])
def test_impossible_boxes_are_refused(box, message):
    with pytest.raises(ValueError, match=message):
        images_to_disc(torch.zeros(box, box), half_disc(8))
