"""Figures of a run that was trained, or is being trained, anywhere. Knows no Qt."""

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory

Series = list[tuple[float, float]]


class HalfSetFsc(NamedTuple):
    """Agreement of half sets: FSC by shell, of the consensus and then of the directions, and the last shell in angstrom."""

    curves: tuple[tuple[float, ...], ...] = ()
    finest: float = 0.0


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
    return RunFigures(path, _metrics(run) if written else {}, *half_set_fsc(run), written)


def half_set_fsc(run: RunDirectory) -> HalfSetFsc:
    """FSC of the newest epoch that has one; InputError where an epoch is damaged."""
    found = (_epoch_fsc(run, epoch) for epoch in reversed(run.epochs()))
    return next((fsc for fsc in found if fsc.curves), HalfSetFsc())


def readable_fsc(run: Path, epoch: int | None = None) -> HalfSetFsc:
    """That of one epoch, or the newest of a run; none where it cannot be read, which is no reason to end a training."""
    try:
        directory = RunDirectory(run)
        return half_set_fsc(directory) if epoch is None else _epoch_fsc(directory, epoch)
    except (InputError, OSError):
        return HalfSetFsc()


def _epoch_fsc(run: RunDirectory, epoch: int) -> HalfSetFsc:
    """The auto-encoder's epochs have none: they train the volumes on all particles together."""
    description = run.read_description(epoch)
    if "half_set_fsc" not in description:
        return HalfSetFsc()
    try:
        finest = description["box"] * description["pixel_size"] / description["radius"]
        curves = tuple(tuple(map(float, curve)) for curve in description["half_set_fsc"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        path = run.epoch_path(epoch)
        raise InputError(f"{path} cannot be read ({error!r}): leave that run out.") from error
    return HalfSetFsc(curves, float(finest))


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
    """A finite number, or None for a stage's name and for what an epoch lacks."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
