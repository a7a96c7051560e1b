"""Rows of STAR and .cs files that show the same image."""

from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.blocks import read_star
from napari_sbackprop.data.cryosparc import IMAGES, image_names
from napari_sbackprop.data.cryosparc_file import find_passthrough, read_fields
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.image_names import ImageNames, parse_image_names
from napari_sbackprop.data.star_kind import particle_block
from napari_sbackprop.errors import InputError

Indices = npt.NDArray[np.int64]

_LABEL = "rlnImageName"


def first_of_each_image(star: Path, indices: Indices) -> Indices:
    """Keep the first of several rows of one image, as symmetry expansion makes them; `indices` ascend from 0."""
    names = _read_names(star)
    addresses = np.stack([names.stack_index[indices], names.slice_index[indices]], axis=1)
    _, first = np.unique(addresses, axis=0, return_index=True)
    return indices[np.sort(first)]


def matching_rows(star: Path, indices: Indices, original: Path) -> Indices:
    """Find the rows of another STAR or .cs file that show the chosen images.

    An image is the same if its number and its stack's name are. Where no name agrees, as between extractions with and
    without binning, the stacks' file names without folder and ending decide, if each is the name of one stack only.

    Parameters
    ----------
    star, indices : file and rows, from 0, of the chosen images.
    original : the other file; all its rows of an image are taken.

    Returns
    -------
    (n,) ascending rows of `original`, from 0.

    Raises
    ------
    InputError
        `original` lacks a chosen image.
    """
    ours, theirs = _read_names(star), _read_names(original)
    if not set(ours.stacks) & set(theirs.stacks):
        ours_short, theirs_short = _file_names(ours.stacks), _file_names(theirs.stacks)
        if ours_short and theirs_short:
            return _rows(ours, ours_short, indices, theirs, theirs_short, original)
    return _rows(ours, ours.stacks, indices, theirs, theirs.stacks, original)


def _rows(
    ours: ImageNames,
    our_stacks: tuple[str, ...],
    indices: Indices,
    theirs: ImageNames,
    their_stacks: tuple[str, ...],
    original: Path,
) -> Indices:
    wanted = {
        (our_stacks[stack], number): row
        for row, stack, number in zip(
            indices, ours.stack_index[indices], ours.slice_index[indices], strict=True
        )
    }
    pairs = zip(theirs.stack_index.tolist(), theirs.slice_index.tolist(), strict=True)
    addresses = [(their_stacks[stack], number) for stack, number in pairs]
    if missing := wanted.keys() - set(addresses):
        row = min(wanted[address] for address in missing)
        name = f"{ours.slice_index[row] + 1}@{ours.stack_of(row)}"
        raise InputError(
            f"{original} lacks {len(missing)} of the chosen images, first {name} of row {row + 1}: "
            "give a file with the same images."
        )
    return np.array([row for row, address in enumerate(addresses) if address in wanted], dtype=np.int64)


def _file_names(stacks: tuple[str, ...]) -> tuple[str, ...]:
    """Names without folder and ending; none at all where two stacks would share one."""
    short = tuple(PurePosixPath(name).stem for name in stacks)
    return short if len(set(short)) == len(short) else ()


def _read_names(path: Path) -> ImageNames:
    findings = Findings(path)
    if path.suffix == ".cs":
        fields = read_fields(path, find_passthrough(path, IMAGES), IMAGES)
        if "blob/path" not in fields or "blob/idx" not in fields:
            raise InputError(
                f"{path} has no blob/path and blob/idx, so it names no images: give another file."
            )
        texts = np.array([name.encode("utf-8", "surrogateescape") for name in image_names(fields)])
    else:
        texts = particle_block(read_star(path)).columns((_LABEL,)).texts[_LABEL]
    names = parse_image_names(texts, findings)
    findings.raise_first()
    return names
