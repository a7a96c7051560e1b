"""A subset of cryoSPARC's particles: chosen rows of .cs files, and the .csg file by which cryoSPARC imports them."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.cryosparc_file import Rows, field_names, match_uids, read_rows
from napari_sbackprop.data.output_file import new_file
from napari_sbackprop.errors import InputError

_Indices = npt.NDArray[np.integer]


def write_cryosparc_subset(
    source: Path, passthrough: Sequence[Path], indices: _Indices, output: Path
) -> npt.NDArray[np.int64] | None:
    """Write chosen particles: every field keeps its type and, in the kept rows, its bytes.

    For OUTPUT.cs there are OUTPUT.csg, for cryoSPARC's job Import Result Group, and one OUTPUT_passthrough_1.cs ... for
    each passthrough file. Image paths stay relative to the cryoSPARC project.

    Parameters
    ----------
    source, passthrough : .cs file, and others that hold further fields of its particles.
    indices : (n,) rows of `source` to keep, from 0, ascending.
    output : new .cs file; an existing one is refused.

    Returns
    -------
    (n,) half sets, 1 or 2, of the kept rows; None where no file has them.

    Raises
    ------
    InputError
        Nothing is chosen, a passthrough file lacks a particle, or an output exists already.
    """
    if not len(indices):
        raise InputError(f"{output} would have no particles: choose at least one.")
    rows = read_rows(source)
    kept = {output: rows[indices]}
    for number, path in enumerate(passthrough, 1):
        theirs = read_rows(path)
        place = match_uids(source, kept[output], path, theirs)
        kept[output.with_name(f"{output.stem}_passthrough_{number}.cs")] = theirs[place]
    with ExitStack() as files:
        group = files.enter_context(new_file(output.with_suffix(".csg")))
        temporaries = {path: files.enter_context(new_file(path)) for path in kept}
        group.write_text(_result_group(kept))
        for path, temporary in temporaries.items():
            with temporary.open("wb") as file:
                np.save(file, kept[path])
    splits = (
        part["alignments3D/split"] for part in kept.values() if "alignments3D/split" in field_names(part)
    )
    split = next(splits, None)
    return None if split is None else split.astype(np.int64) + 1


def _result_group(files: Mapping[Path, Rows]) -> str:
    """Text of a .csg file, which is YAML: where each result, such as blob or ctf, of the group is."""
    results: dict[str, Path] = {}
    for path, rows in files.items():
        for field in field_names(rows):
            if "/" in field:
                results.setdefault(field.split("/")[0], path)
    count = len(next(iter(files.values())))
    lines = [f"created: {datetime.now().isoformat(sep=' ')}", "group:"]
    lines += ["  description: Particles selected by napari-sbackprop", "  name: particles"]
    lines += ["  title: Selected particles", "  type: particle", "results:"]
    for name, path in results.items():
        quoted = path.name.replace("'", "''")
        lines += [f"  {name}:", f"    metafile: '>{quoted}'", f"    num_items: {count}"]
        lines += [f"    type: particle.{name}"]
    return "\n".join([*lines, "version: v4.0.0", ""])
