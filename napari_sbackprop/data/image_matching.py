"""Rows of STAR and .cs files that show the same image."""

import logging
from collections import defaultdict
from collections.abc import Sequence
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
from napari_sbackprop.data.particle_table import ANGLES
from napari_sbackprop.data.star_kind import particle_block
from napari_sbackprop.errors import InputError

Indices = npt.NDArray[np.int64]

logger = logging.getLogger(__name__)


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


def matching_rows(star: Path, indices: Indices, original: Path, unique: bool = False) -> Indices:
    """Find the rows of another STAR or .cs file that show the chosen images.

    An image is the same if its number and its stack's name are, also by the names before signal was subtracted
    (rlnImageOriginalName), in either file; where several agree, those decide that tell most rows apart. Where none does, as
    between extractions with and without binning, the stacks' file names without folder and ending decide, if each is the
    name of one stack only. Copies of an image that names do not tell apart, as symmetry expansion makes them, are told
    apart by their orientations. More rows than were chosen are a warning.

    Parameters
    ----------
    star, indices : file and rows, from 0, of the chosen images.
    original : the other file; all its rows of an image are taken where nothing tells them apart.
    unique : take the first of its rows of an image instead.

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
    # the last, where nothing agrees, says what is missing
    ours, theirs = _most_telling(pairs) or _most_telling(short) or pairs[0]
    rows, missing = _match(ours, indices, theirs, unique)
    if missing:
        names, row = pairs[0][0], min(missing)
        name = f"{names.slice_index[row] + 1}@{names.stack_of(row)}"
        raise InputError(
            f"{original} lacks {len(missing)} of the chosen images, first {name} of row {row + 1}: "
            "give a file with the same images."
        )
    if len(rows) > len(indices) and ours.count_repetitions():
        rows = _nearest_copies(star, ours, indices, original, theirs, rows)
    if len(rows) > len(indices):
        logger.warning(
            "%s has more rows of the chosen images, %d, than were chosen, %d: all are taken, for nothing tells which are "
            "meant; where one row per image is meant, give --unique-images.",
            *(original, len(rows), len(indices)),
        )
    return rows


def _most_telling(pairs: Sequence[tuple[ImageNames, ImageNames]]) -> tuple[ImageNames, ImageNames] | None:
    """Of the names with stacks in common, the pair with the fewest rows that share an image."""
    common = [pair for pair in pairs if set(pair[0].stacks) & set(pair[1].stacks)]
    return min(common, key=lambda pair: sum(names.count_repetitions() for names in pair), default=None)


def _match(ours: ImageNames, indices: Indices, theirs: ImageNames, unique: bool) -> tuple[Indices, list[int]]:
    """Rows of their images that are chosen ones of ours, and a row of each image of ours that they lack."""
    wanted = dict(zip(_addresses(ours, indices), indices.tolist(), strict=True))
    addresses = _addresses(theirs, np.arange(len(theirs.stack_index)))
    missing = [wanted[address] for address in wanted.keys() - set(addresses)]
    rows = [row for row, address in enumerate(addresses) if address in wanted]
    if unique:
        rows = sorted({addresses[row]: row for row in reversed(rows)}.values())
    return np.array(rows, dtype=np.int64), missing


def _addresses(names: ImageNames, rows: Indices) -> list[tuple[str, int]]:
    """Stack and number of the images of some rows."""
    pairs = zip(names.stack_index[rows].tolist(), names.slice_index[rows].tolist(), strict=True)
    return [(names.stacks[stack], number) for stack, number in pairs]


def _nearest_copies(
    star: Path, ours: ImageNames, indices: Indices, original: Path, theirs: ImageNames, rows: Indices
) -> Indices:
    """Of their `rows` of the chosen images, the ones with the orientations of the chosen rows; all if that is ambiguous."""
    chosen, others = _orientations(star), _orientations(original)
    if chosen is None or others is None:
        return rows
    copies = defaultdict(list)
    for row, address in zip(rows.tolist(), _addresses(theirs, rows), strict=True):
        copies[address].append(row)
    nearest = {
        candidates[
            int(np.einsum("ij,nij->n", chosen[row], others[candidates]).argmax())
        ]  # the least angle between
        for row, address in zip(indices.tolist(), _addresses(ours, indices), strict=True)
        for candidates in [copies[address]]
    }
    if len(nearest) < len(indices):
        return rows
    logger.info("%s: copies of an image are told apart by their orientations.", original)
    return np.array(sorted(nearest), dtype=np.int64)


def _orientations(path: Path) -> npt.NDArray[np.float64] | None:
    """Rotation matrices (N, 3, 3) of the rows of a STAR file; None where it has none."""
    from torch import from_numpy

    from napari_sbackprop.imaging.poses import euler_to_matrix

    if path.suffix == ".cs":
        return None
    columns = particle_block(read_star(path)).columns(ANGLES)
    if any(label not in columns for label in ANGLES):
        return None
    angles = np.stack([columns.numbers(label) for label in ANGLES], axis=-1)
    return euler_to_matrix(from_numpy(angles)).numpy()


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
