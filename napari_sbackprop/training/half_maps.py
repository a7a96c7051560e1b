"""Half maps of some particles of a run: back-projected from their images alone, with nothing of the model in them.

What a decoder shows may be its invention; what two halves of the particles show independently is not.
"""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.fourier import gridding_correction, sphere_to_volumes
from napari_sbackprop.imaging.grids import half_sphere
from napari_sbackprop.imaging.masks import soft_ball
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.run_particles import run_particles
from napari_sbackprop.training.session import Session
from napari_sbackprop.training.spectra import noise_amplitude, spectra_of
from napari_sbackprop.training.volume_solver import BackProjection

Map = npt.NDArray[np.float32]
_CHUNK = 512  # particles read and inserted at once
LEAST_SELECTION = 20
"""Particles: fewer leave most voxels of a half empty."""


@dataclass(frozen=True, eq=False)
class HalfMaps:
    """CTF-weighted back-projections of two half sets.

    Attributes
    ----------
    first, second : (M, M, M), inside the ball `mask`.
    mask : (M, M, M), soft ball around the particle.
    counts : particles in each.
    """

    first: Map
    second: Map
    mask: Map
    counts: tuple[int, int]


def half_maps(
    run: RunDirectory, indices: npt.NDArray[np.integer], epoch: int | None = None
) -> Generator[int, None, HalfMaps]:
    """Back-project the two half sets (rlnRandomSubset, else by turns) of some particles.

    Poses and CTFs are the run's own, corrected where it has refined them. Yields how many of the particles are done.

    Parameters
    ----------
    indices : (n,) rows of the run's particles.
    epoch : whose corrections count; the newest by default.

    Raises
    ------
    InputError
        Too few particles, or the STAR file or images that the run was trained on are gone or have changed.
    """
    if len(indices) < LEAST_SELECTION:
        raise InputError(
            f"Half maps need at least {LEAST_SELECTION} particles, but {len(indices)} are selected."
        )
    particles = run_particles(run, epoch)
    session = Session.for_reading(run, particles)
    disc = session.disc
    sphere = half_sphere(disc.radius)
    amplitude = noise_amplitude(particles, disc, session.mask_radius)
    done, maps = 0, []
    ball = soft_ball(particles.box, session.mask_radius, edge=0.05 * particles.box, dimensions=3)
    halves = session.halves(torch.from_numpy(np.asarray(indices, dtype=np.int64)))
    for half in halves:
        accumulated = BackProjection(sphere)
        for rows in half.split(_CHUNK):
            accumulated.add(spectra_of(particles, rows.numpy(), disc, amplitude))
            done += len(rows)
            yield done
        values = torch.view_as_complex(accumulated.volume()[:, 0].contiguous())
        volume = sphere_to_volumes(values, sphere, particles.box) / gridding_correction(particles.box) * ball
        maps.append(volume.numpy())
    return HalfMaps(maps[0], maps[1], ball.numpy(), (len(halves[0]), len(halves[1])))
