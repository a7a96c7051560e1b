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

from napari_sbackprop.config import Config
from napari_sbackprop.data.blocks import parse_star
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.source import ParticleSource
from napari_sbackprop.data.subset import write_subset
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.encoding import encode_particles
from napari_sbackprop.training.progress import Progress
from napari_sbackprop.training.run_particles import run_particles
from napari_sbackprop.training.session import Session
from napari_sbackprop.training.trainer import least_particles, train

HALVES = ("half1", "half2")
"""Names of the two runs in their folder."""
MASK = "mask.mrc"
"""Solvent mask of both, in the same folder."""


def half_sets(run: RunDirectory) -> list[npt.NDArray[np.int64]]:
    """The run's particles in two halves, by rlnRandomSubset where it parts them about evenly, else by turns.

    Raises
    ------
    InputError
        The STAR file or images that the run was trained on are gone or have changed, the particles are too few for
        two halves, or the halves have images of different scales.
    """
    particles = run_particles(run)
    session = Session.for_reading(run, particles)
    sets = [rows.numpy() for rows in session.halves(torch.arange(particles.count))]
    least = least_particles(run.config)
    if (fewest := min(map(len, sets))) < least:
        raise InputError(
            f"{run.path} has {particles.count} particles and a half of {fewest}, but --latent-size "
            f"{run.config.latent_size} needs at least {least} in each: its halves cannot be trained apart."
        )
    if not particles.has_one_scale and len({_groups(particles, rows) for rows in sets}) > 1:
        raise InputError(
            f"{run.path} has optics groups of different scales, not all of them in both half sets: draw new half sets."
        )
    return sets


def train_halves(
    run: RunDirectory,
    sets: Sequence[npt.NDArray[np.int64]],
    folder: Path,
    stop: threading.Event | None = None,
    resume: bool = False,
) -> Iterator[Progress]:
    """Train the closed-form start on either half, each from noise of its own; yields progress.

    Poses and CTFs are those of the run's STAR file; where the run refined them, each half does so by itself.

    Parameters
    ----------
    sets : of `half_sets`.
    folder : has the MASK, and gets the two runs and a STAR file for each.
    stop : set it to stop after the present step; finished epochs stay.
    resume : go on where `stop` was set.
    """
    for number, (name, rows) in enumerate(zip(HALVES, sets, strict=True)):
        star, path = folder / f"{name}.star", folder / name
        begun = resume and path.is_dir()
        if not begun:
            star.unlink(missing_ok=True)
            write_subset(run.star_path, rows, star)
        text = parse_star(run.source, star.read_bytes())  # images are where the run found its own
        source = ParticleSource(text, {"particles.star": star}, Findings(run.source))
        config = _config(run.config, number, folder / MASK)
        yield from train(source, path, config, stop, resume=begun, path_map=run.path_map)
        if stop is not None and stop.is_set():
            return


def encode_by_halves(run: RunDirectory, folder: Path) -> list[npt.NDArray[np.float32]]:
    """Latents (N, K) of all particles, as the run sees them, under the model of either half."""
    particles = run_particles(run)
    return [encode_particles(RunDirectory(folder / name), particles).mean for name in HALVES]


def _config(config: Config, number: int, mask: Path) -> Config:
    """Options of a half: those of the run, but for what would make the halves alike."""
    return replace(
        config,
        recipe="default",
        basis_size=max(config.basis_size, config.latent_size),
        epochs=0,
        mask=mask.absolute(),
        reference=None,
        device="auto",
        seed=(config.seed + number) % 2**63,
    )


def _groups(particles: Particles, rows: npt.NDArray[np.int64]) -> frozenset[int]:
    return frozenset(np.unique(particles.optics_index[rows]).tolist())
