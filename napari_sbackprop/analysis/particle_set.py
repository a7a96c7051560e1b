"""Sets of particles that are kept in the run directory, with names and colours."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_sbackprop.analysis.selection import ParticleSelection, checked_indices
from napari_sbackprop.data.output_file import new_file
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory

SET_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#d55e00", "#cc79a7", "#0072b2", "#f0e442")
"""Told apart by colour-blind people too: Okabe and Ito 2008, without the black that a dark canvas hides."""


@dataclass(frozen=True, eq=False)
class ParticleSet(ParticleSelection):
    """A selection that is kept.

    Attributes
    ----------
    colour : "#rrggbb".
    visible : whether its particles are shown in that colour.
    """

    colour: str
    visible: bool = True


def read_sets(run: RunDirectory, count: int) -> tuple[ParticleSet, ...]:
    """The sets that `write_sets` stored; none where there is no file.

    Raises
    ------
    InputError
        The file is damaged, or names particles beyond the N = `count` of the run.
    """
    path = run.sets_path
    if not path.is_file():
        return ()
    try:
        with np.load(path, allow_pickle=False) as file:
            return tuple(
                ParticleSet(
                    str(entry["name"]),
                    checked_indices(file[f"indices_{number}"], count, str(path)),
                    dict(entry["provenance"]),
                    str(entry["colour"]),
                    bool(entry["visible"]),
                )
                for number, entry in enumerate(json.loads(str(file["sets"])))
            )
    except (InputError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} cannot be read ({error}), so that new sets are not stored: move the file away and open the "
            "run again."
        ) from error


def replace_sets(
    run: RunDirectory, count: int, known: Sequence[ParticleSet], sets: Sequence[ParticleSet]
) -> None:
    """Store sets in place of those that are `known` to be stored, in a run of N = `count` particles.

    Raises
    ------
    InputError
        Others are stored, or the file is damaged or cannot be written.
    """
    path = run.sets_path
    if path.is_file() and [*map(_contents, read_sets(run, count))] != [*map(_contents, known)]:
        raise InputError(
            f"{path} was changed by another window, so that the sets of this one are not stored: export them, or open the "
            "run again to have those of the other."
        )
    write_sets(run, sets)


def _contents(kept: ParticleSet) -> tuple[str, str, bool, bytes]:
    return kept.name, kept.colour, kept.visible, kept.indices.tobytes()


def write_sets(run: RunDirectory, sets: Sequence[ParticleSet]) -> None:
    """Store all sets in one file, which replaces that of before when it is complete."""
    entries = [
        {
            "name": kept.name,
            "colour": kept.colour,
            "visible": kept.visible,
            "provenance": kept.provenance,
        }
        for kept in sets
    ]
    arrays: dict[str, Any] = {f"indices_{number}": kept.indices for number, kept in enumerate(sets)}
    path = run.sets_path
    try:
        path.parent.mkdir(exist_ok=True)
        with new_file(path, overwrite=True) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, sets=json.dumps(entries), **arrays)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}), so that the sets last as long as the window: make the "
            "run's folder writable."
        ) from error
