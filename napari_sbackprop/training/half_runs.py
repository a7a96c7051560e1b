"""Runs on two halves of a run's particles, which share the solvent mask and nothing else.

The FSC of half sets that a training reports is between volumes for the same latents, which both halves have shaped; noise
that was learnt as a motion agrees as well. What two models find that never met is in the particles.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from napari_sbackprop.data.blocks import parse_star
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.source import ParticleSource
from napari_sbackprop.data.subset import write_subset
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.encoding import encode
from napari_sbackprop.training.progress import Progress
from napari_sbackprop.training.run_particles import run_particles
from napari_sbackprop.training.session import Session
from napari_sbackprop.training.trainer import train

HALVES = ("half1", "half2")
"""Names of the two runs in their folder."""


def half_sets(run: RunDirectory) -> list[npt.NDArray[np.int64]]:
    """The run's particles in two halves, by rlnRandomSubset where it parts them about evenly, else by turns.

    Raises
    ------
    InputError
        The STAR file or images that the run was trained on are gone or have changed.
    """
    particles = run_particles(run)
    session = Session.for_reading(run, particles)
    return [rows.numpy() for rows in session.halves(torch.arange(particles.count))]


def train_halves(
    run: RunDirectory,
    sets: Sequence[npt.NDArray[np.int64]],
    mask: Path,
    folder: Path,
    stop: threading.Event | None = None,
) -> Iterator[Progress]:
    """Train the closed-form start on either half, each from noise; yields progress.

    Parameters
    ----------
    sets : of `half_sets`.
    mask : solvent mask (MRC), of either.
    folder : gets the two runs, and a STAR file for each.
    stop : set it to stop after the present step; finished epochs stay.

    Raises
    ------
    InputError
        A half has too few particles for the run's latent size.
    """
    config = replace(run.config, recipe="default", epochs=0, mask=mask)
    for name, rows in zip(HALVES, sets, strict=True):
        star = folder / f"{name}.star"
        write_subset(run.star_path, rows, star)
        yield from train(_source(run, star), folder / name, config, stop, path_map=run.path_map)
        if stop is not None and stop.is_set():
            return


def encode_by_halves(run: RunDirectory, folder: Path) -> list[npt.NDArray[np.float32]]:
    """Latents (N, K) of all particles of the run under the model of either half."""
    return [encode(folder / name, _source(run, run.star_path)).mean for name in HALVES]


def _source(run: RunDirectory, star: Path) -> ParticleSource:
    """Rows of the run's particles, whose images are where the run found its own."""
    text = parse_star(run.source, star.read_bytes())
    return ParticleSource(text, {"particles.star": star}, Findings(run.source))
