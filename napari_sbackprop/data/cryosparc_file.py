"""A .cs file of cryoSPARC: a numpy array with one row per particle and fields such as blob/path.

What a job did not change it leaves in passthrough files, whose rows are found by uid.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.input_file import require_file
from napari_sbackprop.errors import InputError

Rows = npt.NDArray[Any]
"""(N,) structured array."""
Fields = dict[str, npt.NDArray[Any]]
"""Values (N, ...) by name."""

_UID = "uid"
# A result of a .csg file, which is YAML: its name, and maybe in quotes the file beside the .csg file that holds it.
_RESULT = re.compile(r"^  (\w+):\n(?:    .*\n)*?    metafile: (['\"]?)>?(.*?)\2[ \r]*$", re.MULTILINE)


def read_rows(path: Path) -> Rows:
    """Rows of a .cs file, mapped rather than read.

    Raises
    ------
    InputError
        The file is no structured numpy array, or has no rows.
    """
    require_file(path)
    try:
        rows: Rows = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, TypeError, SyntaxError) as error:
        raise InputError(
            f"{path} is damaged or holds Python objects, which are not read: export it again."
        ) from error
    if rows.ndim != 1 or not rows.dtype.names:
        raise InputError(f"{path} has no fields, so it is no cryoSPARC file: export the particles again.")
    if not len(rows):
        raise InputError(f"{path} has no rows: choose a file with particles.")
    return rows


def field_names(rows: Rows) -> tuple[str, ...]:
    """Names of the fields, in their order."""
    return rows.dtype.names or ()


def read_fields(path: Path, passthrough: Sequence[Path], wanted: Collection[str]) -> Fields:
    """Those of the `wanted` fields that a .cs file or, behind it, its passthrough files have."""
    rows = read_rows(path)
    fields: Fields = {name: rows[name] for name in wanted if name in field_names(rows)}
    for other in passthrough:
        theirs = read_rows(other)
        order = match_uids(path, rows, other, theirs)
        fields |= {
            name: theirs[name][order] for name in wanted if name in field_names(theirs) and name not in fields
        }
    return fields


def find_passthrough(path: Path, required: Collection[str]) -> tuple[Path, ...]:
    """Passthrough files beside a .cs file that have every one of its particles and fields that it lacks.

    Raises
    ------
    InputError
        Two of them have the same required field.
    """
    rows = read_rows(path)
    known = dict.fromkeys(field_names(rows), path)
    chosen = []
    for other in sorted(path.parent.glob("*_passthrough_*.cs")):
        theirs = read_rows(other)
        new = set(field_names(theirs)) - set(field_names(rows))
        if not new or _UID not in known or not np.isin(rows[_UID], theirs[_UID]).all():
            continue
        for field in sorted(new & known.keys() & set(required)):
            raise InputError(
                f"{path} lacks {field}, which {known[field].name} and {other.name} both have: "
                "name one of them with --passthrough."
            )
        known |= dict.fromkeys(new, other)
        chosen.append(other)
    return tuple(chosen)


def read_group(path: Path) -> tuple[Path, tuple[Path, ...]]:
    """The .cs file with the poses, and the others, that a .csg file of cryoSPARC lists.

    Raises
    ------
    InputError
        The file lists no alignments3D.
    """
    require_file(path)
    results = _RESULT.findall(path.read_text(errors="replace"))
    files = {
        name: path.parent / (file.replace("''", "'") if quote == "'" else file)
        for name, quote, file in results
    }
    if "alignments3D" not in files:
        raise InputError(f"{path} lists no alignments3D, hence no poses: give the group of a 3D refinement.")
    main = files["alignments3D"]
    return main, tuple(file for file in dict.fromkeys(files.values()) if file != main)


def match_uids(path: Path, rows: Rows, other: Path, theirs: Rows) -> npt.NDArray[np.int64]:
    """Row in another .cs file of each of the `rows` (n,), by uid; the paths are named in messages.

    Raises
    ------
    InputError
        A file has no uid, or the other file has one twice or lacks a particle.
    """
    for name, values in ((path, rows), (other, theirs)):
        if _UID not in field_names(values):
            raise InputError(f"{name} has no field uid, by which particles are found: export it again.")
    order = np.argsort(theirs[_UID], kind="stable")
    sorted_uids = theirs[_UID][order]
    if (sorted_uids[1:] == sorted_uids[:-1]).any():
        raise InputError(f"{other} has a uid in several rows: remove the duplicate particles in cryoSPARC.")
    place = np.searchsorted(sorted_uids, rows[_UID]).clip(max=len(theirs) - 1)
    lost = np.flatnonzero(sorted_uids[place] != rows[_UID])
    if len(lost):
        raise InputError(
            f"{other} lacks {len(lost)} of {len(rows)} particles of {path}, first the one with uid "
            f"{rows[_UID][lost[0]]}: give a file with the same particles."
        )
    return order[place]


def texts(values: npt.NDArray[Any]) -> list[str]:
    """Texts (N,), of which few differ, without the ">" that stands before a path inside the project."""
    unique, index = np.unique(values, return_inverse=True)
    readable = [
        (value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)).removeprefix(
            ">"
        )
        for value in unique.tolist()
    ]
    return [readable[item] for item in index.tolist()]
