"""Rows of STAR and .cs files that show the same image."""

from dataclasses import replace
from itertools import product
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.blocks import read_star
from napari_sbackprop.data.cryosparc import IMAGES, image_names
from napari_sbackprop.data.cryosparc_file import find_passthrough, read_fields
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.image_names import IMAGE_NAME, ORIGINAL_NAME, ImageNames, parse_image_names
from napari_sbackprop.data.star_kind import particle_block
from napari_sbackprop.errors import InputError

Indices = npt.NDArray[np.int64]


def first_of_each_image(star: Path, indices: Indices, label: str = IMAGE_NAME) -> Indices:
    """Keep the first of several rows of one image, as symmetry expansion makes them.

    Parameters
    ----------
    indices : (n,) rows, ascending from 0.
    label : column that names the images; rlnImageName where the file lacks it.
    """
    known = _read_names(star)
    names = known.get(label, known[IMAGE_NAME])
    addresses = np.stack([names.stack_index[indices], names.slice_index[indices]], axis=1)
    _, first = np.unique(addresses, axis=0, return_index=True)
    return indices[np.sort(first)]


def matching_rows(star: Path, indices: Indices, original: Path) -> Indices:
    """Find the rows of another STAR or .cs file that show the chosen images.

    An image is the same if its number and its stack's name are. Where no name agrees, the names before signal was
    subtracted (rlnImageOriginalName) are compared as well, in either file. Where still none does, as between extractions
    with and without binning, the stacks' file names without folder and ending decide, if each is the name of one stack only.

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
    pairs = list(product(_read_names(star).values(), _read_names(original).values()))
    short = [(_with_file_names(ours), _with_file_names(theirs)) for ours, theirs in pairs]
    for ours, theirs in [*pairs, *short, pairs[0]]:  # the last, where nothing agrees, says what is missing
        if set(ours.stacks) & set(theirs.stacks):
            break
    rows, missing = _match(ours, indices, theirs)
    if missing:
        names, row = pairs[0][0], min(missing)
        name = f"{names.slice_index[row] + 1}@{names.stack_of(row)}"
        raise InputError(
            f"{original} lacks {len(missing)} of the chosen images, first {name} of row {row + 1}: "
            "give a file with the same images."
        )
    return rows


def _match(ours: ImageNames, indices: Indices, theirs: ImageNames) -> tuple[Indices, list[int]]:
    """Rows of their images that are chosen ones of ours, and a row of each image of ours that they lack."""
    chosen = zip(indices, ours.stack_index[indices], ours.slice_index[indices], strict=True)
    wanted = {(ours.stacks[stack], number): int(row) for row, stack, number in chosen}
    pairs = zip(theirs.stack_index.tolist(), theirs.slice_index.tolist(), strict=True)
    addresses = [(theirs.stacks[stack], number) for stack, number in pairs]
    missing = [wanted[address] for address in wanted.keys() - set(addresses)]
    rows = [row for row, address in enumerate(addresses) if address in wanted]
    return np.array(rows, dtype=np.int64), missing


def _with_file_names(names: ImageNames) -> ImageNames:
    """Stacks by their names without folder and ending; by none at all where two stacks would share one."""
    short = tuple(PurePosixPath(name).stem for name in names.stacks)
    return replace(names, stacks=short if len(set(short)) == len(short) else ())


def _read_names(path: Path) -> dict[str, ImageNames]:
    """Names of a file's images, and where it has them, of these images before subtraction."""
    findings = Findings(path)
    if path.suffix == ".cs":
        fields = read_fields(path, find_passthrough(path, IMAGES), IMAGES)
        if "blob/path" not in fields or "blob/idx" not in fields:
            raise InputError(
                f"{path} has no blob/path and blob/idx, so it names no images: give another file."
            )
        texts = np.array([name.encode("utf-8", "surrogateescape") for name in image_names(fields)])
        columns = {IMAGE_NAME: texts}
    else:
        columns = particle_block(read_star(path)).columns((IMAGE_NAME, ORIGINAL_NAME)).texts
    names = {label: parse_image_names(texts, findings, label) for label, texts in columns.items()}
    findings.raise_first()
    return names
