"""A subset of a particle STAR file: the same text without the rows that were not chosen."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.blocks import read_star
from napari_sbackprop.data.output_file import new_file
from napari_sbackprop.data.star_kind import particle_block
from napari_sbackprop.errors import InputError


def write_subset(source: Path, indices: npt.NDArray[np.integer], output: Path) -> None:
    """Write chosen particles: every block, comment, column and line end stays as it is, byte for byte.

    Image names stay relative to the project's root. Optics groups keep their numbers, used or not.

    Parameters
    ----------
    source : STAR file with particles.
    indices : (n,) rows to keep, from 0, ascending and unique.
    output : new file; an existing one is refused.

    Raises
    ------
    InputError
        Nothing is chosen, a row does not exist, or the output cannot be written.
    """
    source, output = Path(source), Path(output)
    indices = np.asarray(indices, dtype=np.int64)
    if indices.ndim != 1 or (np.diff(indices) <= 0).any():
        raise ValueError(
            f"indices must be one-dimensional, ascending and unique, not of shape {indices.shape}"
        )
    text = read_star(source)
    block = particle_block(text)
    if not len(indices):
        raise InputError(f"{output} would have no particles: choose at least one.")
    if indices[0] < 0 or indices[-1] >= block.count:
        wrong = indices[0] if indices[0] < 0 else indices[-1]
        raise InputError(
            f"{source} has {block.count} particles, but index {wrong} (from 0) was chosen: "
            "choose from this file."
        )
    kept = np.ones(len(text.lines), dtype=bool)
    if block.is_loop:
        kept[block.line_numbers] = False
        kept[block.line_numbers[indices]] = True
    with new_file(output) as temporary:
        text.lines.write(temporary, kept)
