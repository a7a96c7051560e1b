"""MRC files: permissive headers, sizes checked against the file."""

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from napari_sbackprop.data.mrc import open_stack, read_header, read_volume, write_stack, write_volume
from napari_sbackprop.errors import InputError

RANDOM = np.random.default_rng(1)


def test_a_volume_comes_back_with_its_voxel_size(tmp_path: Path) -> None:
    volume = RANDOM.normal(size=(6, 6, 6)).astype(np.float32)
    write_volume(tmp_path / "map.mrc", volume, 1.35)
    values, pixel_size = read_volume(tmp_path / "map.mrc")
    np.testing.assert_array_equal(values, volume)
    assert pixel_size == pytest.approx(1.35)


def test_written_maps_and_stacks_satisfy_mrcfile(tmp_path: Path) -> None:
    write_volume(tmp_path / "map.mrc", np.ones((4, 4, 4)), 2.0)
    write_stack(tmp_path / "stack.mrcs", np.ones((3, 4, 4)), 2.0)
    for name, is_volume in (("map.mrc", True), ("stack.mrcs", False)):
        assert mrcfile.validate(tmp_path / name)
        with mrcfile.open(tmp_path / name) as file:
            assert file.is_volume() == is_volume
            assert file.voxel_size.x == pytest.approx(2.0)
            assert file.header.origin.x == 0.0


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float32, np.float16])
def test_every_mode_is_read_as_mrcfile_reads_it(tmp_path: Path, dtype: type) -> None:
    values = (RANDOM.normal(size=(3, 4, 4)) * 20).clip(0).astype(dtype)
    with mrcfile.new(tmp_path / "stack.mrcs") as file:
        file.set_data(values)
    np.testing.assert_array_equal(open_stack(tmp_path / "stack.mrcs"), values)


def test_a_big_endian_file_with_an_extended_header(tmp_path: Path) -> None:
    values = RANDOM.normal(size=(3, 4, 4)).astype(np.float32)
    header = np.zeros(256, dtype=">i4")
    header[:4], header[23] = (4, 4, 3, 2), 80
    (tmp_path / "big.mrcs").write_bytes(header.tobytes() + bytes(80) + values.astype(">f4").tobytes())
    np.testing.assert_array_equal(open_stack(tmp_path / "big.mrcs"), values)


def test_a_stack_is_mapped_not_read(shared_data: Path) -> None:
    stack = open_stack(shared_data / "cryodrgn" / "relion31.mrcs")
    assert isinstance(stack, np.memmap)
    assert stack.shape == (5, 256, 256)


@pytest.mark.parametrize(
    ("name", "shape", "has_map_id", "is_volume", "pixel_size"),
    [
        ("cryodrgn/relion31.mrcs", (5, 256, 256), False, False, 1.0),
        ("cryodrgn/toy_projections.mrcs", (1000, 30, 30), False, False, 1.0),
        ("cryodrgn/empiar_10076_7.mrc", (7, 320, 320), True, True, 0.0),
        ("relion_golden/proj96_ctf.mrcs", (24, 96, 96), True, False, 2.7),
        ("relion_golden/vol.mrc", (32, 32, 32), True, True, 8.1),
    ],
)
def test_headers_as_they_are_found(
    shared_data: Path, name: str, shape: tuple[int, ...], has_map_id: bool, is_volume: bool, pixel_size: float
) -> None:
    header = read_header(shared_data / name)
    assert (header.shape, header.has_map_id, header.is_volume) == (shape, has_map_id, is_volume)
    assert header.pixel_size == pytest.approx(pixel_size)


def test_values_equal_mrcfiles(shared_data: Path) -> None:
    path = shared_data / "relion_golden" / "vol.mrc"
    with mrcfile.open(path) as file:
        np.testing.assert_array_equal(read_volume(path)[0], file.data)


def test_an_existing_map_is_kept_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "map.mrc"
    write_volume(path, np.zeros((4, 4, 4)), 1.0)
    with pytest.raises(InputError, match=r"map\.mrc exists already: choose another name"):
        write_volume(path, np.ones((4, 4, 4)), 1.0)
    assert read_volume(path)[0].max() == 0
    write_volume(path, np.ones((4, 4, 4)), 1.0, overwrite=True)
    assert read_volume(path)[0].max() == 1
    assert [file.name for file in tmp_path.iterdir()] == ["map.mrc"]


def _mrc_bytes(shape: tuple[int, int, int], mode: int = 2, values: bytes | None = None) -> bytes:
    header = np.zeros(256, dtype="<i4")
    header[:4] = (*shape[::-1], mode)
    return header.tobytes() + (bytes(4 * int(np.prod(shape))) if values is None else values)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", r"bad\.mrc is empty \(0 bytes\): write or copy it again"),
        (b"MAP ", "shorter than a header of 1024 bytes: copy it again"),
        (bytes(2000), "its first numbers are no image size: give an .mrc or .mrcs file"),
        (b"garbage!" * 400, "its first numbers are no image size"),
        (_mrc_bytes((2, 4, 4), values=bytes(100)), "truncated: its header says 2 x 4 x 4 values, 1152 bytes"),
        (_mrc_bytes((2, 4, 4), mode=4), "values of MRC mode 4, but only modes 0, 1, 2, 6 and 12 are read"),
    ],
)
def test_a_bad_file_gives_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "bad.mrc"
    path.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        read_header(path)


def test_only_cubes_of_finite_values_are_maps(tmp_path: Path) -> None:
    write_stack(tmp_path / "stack.mrcs", np.zeros((3, 4, 4)), 1.0)
    with pytest.raises(InputError, match="is 4 x 4 x 3, not a cubic map: give a map whose sides are equal"):
        read_volume(tmp_path / "stack.mrcs")
    path = tmp_path / "nan.mrc"
    path.write_bytes(_mrc_bytes((2, 2, 2), values=np.full(8, np.nan, "<f4").tobytes()))
    with pytest.raises(InputError, match="values that are not finite: make the map again"):
        read_volume(path)
