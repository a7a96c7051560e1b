"""Addresses of images: `000001@stack.mrcs` counts from 1; `stack.mrc:mrcs` is a stack in a file called like a map."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.blocks import readable
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.values import MOST_DIGITS, characters

IMAGE_NAME = "rlnImageName"
ORIGINAL_NAME = "rlnImageOriginalName"
"""Column of the images before RELION subtracted signal from them."""
AS_STACK = ":mrcs"
"""What follows a file's name to tell RELION that it is a stack."""

_CHUNK = 1 << 13  # names at a time: they stay in the cache
_NONE, _BAD = -1, -2


@dataclass(frozen=True, eq=False)
class ImageNames:
    """Addresses of N images as they are written.

    Attributes
    ----------
    stacks : names of the stacks' files, in order of appearance.
    stack_index : (N,) int32 into `stacks`.
    slice_index : (N,) int64 from 0; -1 where the name has no `@`, so that the file must hold one image.
    """

    stacks: tuple[str, ...]
    stack_index: npt.NDArray[np.int32]
    slice_index: npt.NDArray[np.int64]

    def first_row(self, stack: int) -> int:
        """Row, from 1, that names a stack first."""
        return int(np.argmax(self.stack_index == stack)) + 1

    def stack_of(self, row: int) -> str:
        """Name of the stack of a row, from 0."""
        return self.stacks[int(self.stack_index[row])]

    def count_repetitions(self) -> int:
        """Rows whose image an earlier row names already, as symmetry expansion makes them."""
        return len(self.stack_index) - len(np.unique(image_numbers(self.stack_index, self.slice_index)))


def image_numbers(
    stack_index: npt.NDArray[np.integer], slice_index: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """A number (N,) for each address, the same for copies of one image; a slice of -1 is one like any other."""
    return stack_index.astype(np.int64) * (int(slice_index.max()) + 2) + slice_index + 1


def parse_image_names(
    names: npt.NDArray[np.bytes_], findings: Findings, label: str = IMAGE_NAME
) -> ImageNames:
    """Split `number@stack`; the first bad number in the column `label` is an error that names its row."""
    files, slice_index = np.empty_like(names), np.empty(len(names), dtype=np.int64)
    for start in range(0, len(names), _CHUNK):
        part = slice(start, start + _CHUNK)
        files[part], slice_index[part] = _split_names(names[part])
    bad = np.flatnonzero(slice_index == _BAD)
    if len(bad):
        findings.error(
            f", row {bad[0] + 1}: {label} is {readable(names[bad[0]])!r}, but images count from 1, "
            "as in 000001@stack.mrcs; correct the row."
        )
    stacks, stack_index = _number_stacks(files)
    return ImageNames(stacks, stack_index, np.maximum(slice_index, _NONE))


def _split_names(
    names: npt.NDArray[np.bytes_],
) -> tuple[npt.NDArray[np.bytes_], npt.NDArray[np.int64]]:
    """Files (n,) of addresses, and which image of them, from 0: _NONE where no `@` tells it, _BAD where it cannot be."""
    files = names.astype(f"S{names.dtype.itemsize + 1}")  # so that something follows every @
    text = characters(files)
    is_at = text == ord("@")
    at = np.where(is_at.any(axis=1), is_at.argmax(axis=1), -1)
    index = np.where(at >= 0, _BAD, _NONE)
    for position in np.unique(at[at >= 0]).tolist():  # few: numbers have a handful of lengths
        rows = np.flatnonzero(at == position)
        number, tail = text[rows, :position] - np.uint8(ord("0")), text[rows, position + 1 :]
        if 0 < position <= MOST_DIGITS:
            values = (number.astype(np.float64) @ 10.0 ** np.arange(position - 1, -1, -1)).astype(np.int64)
            index[rows] = np.where((number < 10).all(axis=1) & (values > 0), values - 1, _BAD)
        files[rows] = np.ascontiguousarray(tail).view(f"S{tail.shape[1]}")[:, 0]
    return files, index


def _number_stacks(names: npt.NDArray[np.bytes_]) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """Different names in order of appearance, and the index (N,) of each row's among them."""
    begins = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]]))  # a stack's rows mostly adjoin
    stacks: dict[bytes, int] = {}
    index = [stacks.setdefault(name, len(stacks)) for name in names[begins].tolist()]
    lengths = np.diff(begins, append=len(names))
    files = tuple(readable(name).removesuffix(AS_STACK) for name in stacks)
    return files, np.repeat(np.array(index, dtype=np.int32), lengths)
