"""A mask must lie on the particles' grid and be a mask; files that say nothing of their grid are taken at their box."""

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from napari_sbackprop.data.mask import read_mask
from napari_sbackprop.errors import InputError

BOX, PIXEL_SIZE = 8, 3.2


def write_mask(path: Path, values: np.ndarray | None = None, pixel_size: float = PIXEL_SIZE) -> Path:
    with mrcfile.new(path) as file:
        file.set_data(np.ones((BOX, BOX, BOX), np.float32) if values is None else values.astype(np.float32))
        file.voxel_size = pixel_size
    return path


@pytest.mark.parametrize("pixel_size", [PIXEL_SIZE, 1.005 * PIXEL_SIZE, 0.0, 1.0])
def test_a_mask_of_the_particles_grid_or_of_none_is_read(tmp_path: Path, pixel_size: float) -> None:
    values = np.random.default_rng(0).random((BOX, BOX, BOX))
    path = write_mask(tmp_path / "mask.mrc", values, pixel_size)
    np.testing.assert_array_equal(read_mask(path, BOX, PIXEL_SIZE), values.astype(np.float32))


@pytest.mark.parametrize(
    ("values", "pixel_size", "sentence"),
    [
        (np.ones((10, 10, 10)), PIXEL_SIZE, r"has a box of 10, but the particles have 8: resample it"),
        (
            None,
            1.6,
            r"has a pixel size of 1\.6 Å, but the particles have 3\.2 Å: resample it \(relion_image",
        ),
        (
            np.full((BOX, BOX, BOX), 1.5),
            PIXEL_SIZE,
            r"has values from 1\.5 to 1\.5, but a mask lies between 0 and 1",
        ),
        (np.full((BOX, BOX, BOX), -0.2), PIXEL_SIZE, r"has values from -0\.2 to -0\.2, but a mask"),
        (np.zeros((BOX, BOX, BOX)), PIXEL_SIZE, "has no value above 0: give a mask that is 1 where"),
    ],
)
def test_what_does_not_fit_is_named_with_its_remedy(
    tmp_path: Path, values: np.ndarray | None, pixel_size: float, sentence: str
) -> None:
    path = write_mask(tmp_path / "mask.mrc", values, pixel_size)
    with pytest.raises(InputError, match=rf"mask\.mrc {sentence}"):
        read_mask(path, BOX, PIXEL_SIZE)


def test_a_mask_of_another_place_is_refused(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "mask.mrc")
    with mrcfile.open(path, mode="r+") as file:
        file.header.origin = (0.0, 0.0, 12.8)
    with pytest.raises(
        InputError, match=r"has its origin at \(0, 0, 12\.8\) Å, but the particles' map begins at 0"
    ):
        read_mask(path, BOX, PIXEL_SIZE)
    with mrcfile.open(path, mode="r+") as file:
        file.header.origin = (0.0, 0.0, 0.0)
        file.header.nxstart = -4
    with pytest.raises(InputError, match=r"has its origin at \(-12\.8, 0, 0\) Å"):
        read_mask(path, BOX, PIXEL_SIZE)


def test_rounding_beyond_the_range_is_cut(tmp_path: Path) -> None:
    values = np.linspace(-5e-4, 1 + 5e-4, BOX**3).reshape(BOX, BOX, BOX)
    mask = read_mask(write_mask(tmp_path / "mask.mrc", values), BOX, PIXEL_SIZE)
    assert (mask.min(), mask.max()) == (0, 1)


@pytest.mark.parametrize("name", ["relion_golden/vol.mrc", "relion_golden/recon_ctf.mrc"])
def test_relions_maps_have_their_origin_at_zero(shared_data: Path, name: str) -> None:
    with pytest.raises(InputError, match="but a mask lies between 0 and 1"):  # the grid was accepted
        read_mask(shared_data / name, 32, 8.1)
