"""Addresses of images: `000001@stack.mrcs` counts from 1; `stack.mrc:mrcs` is a stack in a file called like a map."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.blocks import readable
from napari_sbackprop.data.findings import Findings

_MOST_DIGITS = 18  # of a 64-bit number
AS_STACK = ":mrcs"
"""What follows a file's name to tell RELION that it is a stack."""


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
        addresses = (
            self.stack_index.astype(np.int64) * (int(self.slice_index.max()) + 2) + self.slice_index + 1
        )
        return len(addresses) - len(np.unique(addresses))


def parse_image_names(names: npt.NDArray[np.bytes_], findings: Findings) -> ImageNames:
    """Split `number@stack`; the first bad number is an error that names its row."""
    stacks: dict[bytes, int] = {}
    stack_index = np.zeros(len(names), dtype=np.int32)
    slice_index = np.full(len(names), -1, dtype=np.int64)
    bad_row = -1
    for row, name in enumerate(names.tolist()):
        number, separator, stack = name.partition(b"@") if b"@" in name else (b"", b"", name)
        stack_index[row] = stacks.setdefault(stack, len(stacks))
        if separator:
            slice_index[row] = int(number) - 1 if number.isdigit() and len(number) <= _MOST_DIGITS else -1
            if slice_index[row] < 0 and bad_row < 0:
                bad_row = row
    if bad_row >= 0:
        findings.error(
            f", row {bad_row + 1}: rlnImageName is {readable(names[bad_row])!r}, but images count from 1, "
            "as in 000001@stack.mrcs; correct the row."
        )
    files = tuple(readable(name).removesuffix(AS_STACK) for name in stacks)
    return ImageNames(files, stack_index, slice_index)
