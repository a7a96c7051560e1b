"""The search for the images of a particle table, and the check that they fit it.

Image names are relative to the root of the project, not to the STAR file: the folders above the file are tried.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.image_names import ImageNames
from napari_sbackprop.data.mrc import MrcHeader, read_header
from napari_sbackprop.data.particle_table import ParticleTable
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.path_map import PathMap, moved
from napari_sbackprop.errors import InputError

_PART = 16  # headers that a thread reads at a time: a task of one costs more than the header


def find_images(table: ParticleTable, start: Path, findings: Findings, path_map: PathMap = ()) -> Particles:
    """Find the stacks, read their headers, and note whatever does not fit the table.

    Parameters
    ----------
    table : particles without stack paths.
    start : folder that image names are relative to, or a file or folder below it.
    path_map : folders that moved since the table was written.

    Returns
    -------
    The particles with stack paths, final slice indices, and boxes taken from the stacks where the file has
    none. A stack that was not found keeps its name as it is written.
    """
    names = table.images
    places = [moved(name, path_map) for name in names.stacks]
    paths = locate_stacks(places, start)
    _report_missing(names, places, paths, start, findings)
    headers = _read_headers(paths, findings)
    _check_slices(names, headers, findings)
    particles = replace(
        table.particles,
        stack_paths=tuple(path or Path(name) for path, name in zip(paths, names.stacks, strict=True)),
        slice_index=np.maximum(names.slice_index, 0),
    )
    return _check_boxes(particles, names, headers, findings)


def locate_stacks(names: Sequence[str], start: Path) -> list[Path | None]:
    """Find stacks whose names are relative to a folder, `start` or one above it; None where there is no file."""
    folders = _folders_above(start)
    found: list[Path | None] = []
    for name in names:
        folder = next((folder for folder in folders if _is_file(folder / name)), None)
        if folder is not None:
            folders.remove(folder)
            folders.insert(0, folder)  # one project root serves most stacks
        found.append(None if folder is None else folder / name)
    return found


def _folders_above(start: Path) -> list[Path]:
    """`start` and the folders above it, with and without links followed."""
    ends = (start.absolute(), start.resolve())
    return list(dict.fromkeys(folder for end in ends for folder in (end, *end.parents)))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no permission, or a name that no file can have
        return False


def _report_missing(
    names: ImageNames, places: Sequence[str], paths: Sequence[Path | None], start: Path, findings: Findings
) -> None:
    missing = [index for index, path in enumerate(paths) if path is None]
    if not missing:
        return
    name, place = names.stacks[missing[0]], places[missing[0]]
    by_map = "" if place == name else f", by --path-map {place}"
    folder = start.parent if start.is_file() else start
    failed = "does not exist" if place.startswith("/") else f"is neither in {folder} nor in a folder above"
    findings.error(
        f", row {names.first_row(missing[0])} names {name}{by_map}, which {failed} "
        f"({len(missing)} of {len(paths)} stacks missing): {_question(name, start)}"
    )


def _question(name: str, start: Path) -> str:
    """Ask where a missing file is, and offer what bears the end of its name."""
    parts = Path(name).parts
    for cut in range(1, len(parts)):
        old, tail = Path(*parts[:cut]), Path(*parts[cut:])
        for folder in _folders_above(start):
            if _is_file(folder / tail):
                return f"{folder / tail} exists; if that is it, add --path-map {old}={folder}, else copy the right one."
    old = Path(name).parent
    return f"where is it? Add --path-map {old}=FOLDER with the folder it is in now, or copy it there."


def _read_headers(paths: Sequence[Path | None], findings: Findings) -> list[MrcHeader | None]:
    """Headers of the stacks; None where one is missing or, with an error, cannot be read."""

    def attempt(path: Path | None) -> MrcHeader | str | None:
        try:
            return None if path is None else read_header(path)
        except InputError as error:
            return str(error)

    parts = [paths[start : start + _PART] for start in range(0, len(paths), _PART)]
    with ThreadPoolExecutor(max_workers=8) as pool:  # a project has thousands of stacks, often on a slow disk
        answers = list(chain.from_iterable(pool.map(lambda part: list(map(attempt, part)), parts)))
    findings.errors.extend(answer for answer in answers if isinstance(answer, str))
    return [None if isinstance(answer, str) else answer for answer in answers]


def _check_slices(names: ImageNames, headers: Sequence[MrcHeader | None], findings: Findings) -> None:
    counts = np.array([0 if header is None else header.shape[0] for header in headers], dtype=np.int64)
    available = counts[names.stack_index]  # 0: unknown
    beyond = np.flatnonzero((available > 0) & (names.slice_index >= available))
    if len(beyond):
        row = int(beyond[0])
        findings.error(
            f", row {row + 1} asks for image {names.slice_index[row] + 1} of {names.stack_of(row)}, "
            f"which has {available[row]} ({len(beyond)} such rows): copy the whole stack, "
            "or the one this file was made with."
        )
    unnumbered = np.flatnonzero((available > 1) & (names.slice_index < 0))
    if len(unnumbered):
        row = int(unnumbered[0])
        findings.error(
            f", row {row + 1} names {names.stack_of(row)} without the number of an image, "
            f"but the file holds {available[row]}: write it as in 000001@stack.mrcs."
        )


def _check_boxes(
    particles: Particles, names: ImageNames, headers: Sequence[MrcHeader | None], findings: Findings
) -> Particles:
    """Compare boxes with the stacks', and take them from the stacks where the file has none."""
    for name, header in zip(names.stacks, headers, strict=True):
        if header is not None and header.is_volume and len(set(header.shape)) == 1:
            findings.warn(
                f": {name} is a cube that its header calls a volume, perhaps a map instead of images."
            )
        if header is not None and header.shape[1] != header.shape[2]:
            findings.error(
                f": {name} has images of {header.shape[2]} x {header.shape[1]} px, but they must be square; "
                "extract them again."
            )
            return particles
    sides = np.array([0 if header is None else header.shape[2] for header in headers], dtype=np.int64)
    side = sides[particles.stack_index]  # 0: unknown
    groups = []
    for index, group in enumerate(particles.optics):
        known = side[(particles.optics_index == index) & (side > 0)]
        if group.image_size == 0 and len(known):
            group = replace(group, image_size=int(known[0]))
        groups.append(group)
    box = np.array([group.image_size for group in groups], dtype=np.int64)[particles.optics_index]
    wrong = np.flatnonzero((side > 0) & (side != box))
    if len(wrong):
        row = int(wrong[0])
        findings.error(
            f", row {row + 1}: {names.stack_of(row)} has images of {side[row]} px, but optics group "
            f"{groups[particles.optics_index[row]].name} has a box of {box[row]} px; take the stack this "
            "file was made with, or correct rlnImageSize."
        )
    return replace(particles, optics=tuple(groups))
