"""MRC files: stacks of images, memory-mapped, and maps.

Real headers lack the MAP id, carry voxel size 0 or 1, or call a stack a volume, so they are read
permissively: only what decides the shape is checked, against the length of the file.
Arrays are [z, y, x], x fastest, no flip.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.input_file import read_start
from napari_sbackprop.data.output_file import new_file
from napari_sbackprop.errors import InputError

_HEADER_BYTES = 1024
_LONGEST_SIDE = 1 << 20  # a header with a longer side is not a header in this byte order
_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


@dataclass(frozen=True)
class MrcHeader:
    """What of a header is needed to read the values.

    Attributes
    ----------
    shape : (sections, rows, columns), the file's z, y, x.
    dtype : type of the stored values, with byte order.
    offset : bytes before the values.
    pixel_size : Å, along x; 0 where the header says nothing. Often wrong: prefer a STAR file's.
    origin : Å, place (x, y, z) of the first voxel, by ORIGIN or else by NXSTART and its kin; 0 where that is no number.
    is_volume : the header calls the file a volume (ISPG 1 or above), which stacks do as well.
    has_map_id : the file carries the MAP id.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    pixel_size: float
    origin: tuple[float, float, float]
    is_volume: bool
    has_map_id: bool

    @property
    def end(self) -> int:
        """Bytes that the header and the values take in the file."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


def read_header(path: Path) -> MrcHeader:
    """Read the header of a stack or map and check it against the length of the file.

    Raises
    ------
    InputError
        The file is no MRC file, stores a type that is not read, or is shorter than its header says.
    """
    raw = read_start(path, _HEADER_BYTES)
    if len(raw) < _HEADER_BYTES:
        raise InputError(
            f"{path} is not an MRC file, for it is shorter than a header of 1024 bytes: copy it again."
        )
    order = _byte_order(raw)
    if order is None:
        raise InputError(
            f"{path} is not an MRC file, for its first numbers are no image size: give an .mrc or .mrcs file."
        )
    words = np.frombuffer(raw, dtype=f"{order}i4")
    columns, rows, sections, mode = (int(word) for word in words[:4])
    if mode not in _MODES:
        raise InputError(
            f"{path} has values of MRC mode {mode}, but only modes 0, 1, 2, 6 and 12 are read: "
            "convert it to mode 2."
        )
    floats = np.frombuffer(raw, dtype=f"{order}f4")
    intervals, length = int(words[7]), float(floats[10])
    pixel_size = length / intervals if intervals > 0 and np.isfinite(length) and length > 0 else 0.0
    header = MrcHeader(
        shape=(sections, rows, columns),
        dtype=np.dtype(order + _MODES[mode]),
        offset=_HEADER_BYTES + max(int(words[23]), 0),
        pixel_size=pixel_size,
        origin=_origin(floats[49:52], words[4:7] * pixel_size),
        is_volume=int(words[22]) >= 1,
        has_map_id=raw[208:211] == b"MAP",
    )
    if (present := path.stat().st_size) < header.end:
        raise InputError(
            f"{path} is truncated: its header says {sections} x {rows} x {columns} values, {header.end} bytes, "
            f"but it has {present}; copy it again."
        )
    return header


def open_stack(path: Path) -> np.memmap[Any, np.dtype[Any]]:
    """Map a stack of images into memory, read-only.

    Returns
    -------
    (n, rows, columns) array of the stored type; nothing is read before it is indexed.
    """
    header = read_header(path)
    return np.memmap(path, dtype=header.dtype, mode="r", offset=header.offset, shape=header.shape)


def read_volume(path: Path) -> tuple[npt.NDArray[np.float32], float]:
    """Read a cubic map.

    Returns
    -------
    volume : (M, M, M) float32 [z, y, x].
    pixel_size : Å, 0 where the header says nothing.

    Raises
    ------
    InputError
        The file is not a cubic map.
    """
    header = read_header(path)
    sections, rows, columns = header.shape
    if not sections == rows == columns:
        raise InputError(
            f"{path} is {columns} x {rows} x {sections}, not a cubic map: give a map whose sides are equal."
        )
    volume = np.array(open_stack(path), dtype=np.float32)
    if not np.isfinite(volume).all():
        raise InputError(f"{path} holds values that are not finite: make the map again.")
    return volume, header.pixel_size


def write_volume(path: Path, volume: npt.NDArray[Any], pixel_size: float, overwrite: bool = False) -> None:
    """Write a map (M, M, M) [z, y, x] as float32, with its voxel size in Å, voxel (0, 0, 0) at the origin."""
    _write(path, volume, pixel_size, is_volume=True, overwrite=overwrite)


def write_stack(path: Path, images: npt.NDArray[Any], pixel_size: float, overwrite: bool = False) -> None:
    """Write images (n, M, M) as a float32 stack, with their pixel size in Å."""
    _write(path, images, pixel_size, is_volume=False, overwrite=overwrite)


def _write(
    path: Path, values: npt.NDArray[Any], pixel_size: float, *, is_volume: bool, overwrite: bool
) -> None:
    import mrcfile

    if values.ndim != 3:
        raise ValueError(f"an MRC file needs three axes, but the array has the shape {values.shape}")
    with new_file(path, overwrite) as temporary, mrcfile.new(temporary) as file:
        file.set_data(np.ascontiguousarray(values, dtype=np.float32))
        if is_volume:
            file.set_volume()
        else:
            file.set_image_stack()
        file.voxel_size = pixel_size
        file.header.origin = (0.0, 0.0, 0.0)


def _origin(stated: npt.NDArray[Any], started: npt.NDArray[Any]) -> tuple[float, float, float]:
    place = stated if np.isfinite(stated).all() and stated.any() else started
    x, y, z = (float(value) for value in place)
    return x, y, z


def _byte_order(raw: bytes) -> str | None:
    """Byte order in which the sides are sensible; the machine stamp is often missing or wrong."""
    for order in "<>":
        columns, rows, sections, mode = np.frombuffer(raw, dtype=f"{order}i4", count=4).tolist()
        if all(0 < side < _LONGEST_SIDE for side in (columns, rows, sections)) and 0 <= mode < 128:
            return order
    return None
