"""Figures of a run that was trained, or is being trained, anywhere. Knows no Qt."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory

Series = list[tuple[float, float]]


@dataclass(frozen=True, eq=False)
class RunFigures:
    """What is known of one run.

    Attributes
    ----------
    path : its folder.
    metrics : (epoch, value) of each figure by name, for the epochs that have it.
    fsc : FSC between half sets by shell, of the consensus and then of the directions; empty before there is one.
    finest : resolution of the last shell in angstrom.
    written : when its files changed last, in seconds.
    """

    path: Path
    metrics: dict[str, Series] = field(default_factory=dict)
    fsc: tuple[tuple[float, ...], ...] = ()
    finest: float = 0.0
    written: float = -1.0


def read_figures(path: Path, known: RunFigures | None = None) -> RunFigures:
    """Figures of the run in a folder; `known` is what was read before, and serves while nothing has changed.

    Raises
    ------
    InputError
        It is not a run directory, or damaged.
    """
    run = RunDirectory(path)
    written = run.metrics_path.stat().st_mtime if run.metrics_path.is_file() else 0.0
    if known is not None and known.written == written:
        return known
    fsc, finest = half_set_fsc(run)
    return RunFigures(path, _metrics(run) if written else {}, fsc, finest, written)


def half_set_fsc(run: RunDirectory) -> tuple[tuple[tuple[float, ...], ...], float]:
    """FSC of the newest epoch that has one, with the resolution of its last shell in angstrom.

    The auto-encoder's epochs have none: they train the volumes on all particles together.
    """
    newest = (run.read_description(epoch) for epoch in reversed(run.epochs()))
    description = next((known for known in newest if "half_set_fsc" in known), None)
    if description is None:
        return (), 0.0
    finest = description["box"] * description["pixel_size"] / description["radius"]
    return tuple(tuple(curve) for curve in description["half_set_fsc"]), float(finest)


def _metrics(run: RunDirectory) -> dict[str, Series]:
    found: dict[str, Series] = {}
    try:
        with run.metrics_path.open(newline="") as file:
            for row in csv.DictReader(file):
                epoch = int(row.pop("epoch"))
                if None in row:
                    raise ValueError(f"epoch {row['epoch']} has values without a name")
                for name, text in row.items():
                    if (value := _number(text)) is not None:
                        found.setdefault(name, []).append((epoch, value))
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise InputError(f"{run.metrics_path} cannot be read ({error}): leave that run out.") from error
    return found


def _number(text: str | None) -> float | None:
    """A number, or None for a stage's name and for what an epoch lacks."""
    try:
        return float(text or "")
    except ValueError:
        return None
