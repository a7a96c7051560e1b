"""The particles of a finished run, as the run itself sees them."""

from napari_sbackprop.data.corrections import aligned
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.group_contrast import stored_contrasts, with_contrasts


def run_particles(run: RunDirectory) -> Particles:
    """The particles that a run was trained on, their images found again, as its newest epoch sees them.

    Poses and CTFs are corrected where it refined them, and optics groups have the contrasts that it measured.

    Raises
    ------
    InputError
        The STAR file or the images are gone or have changed.
    """
    if changed := run.changed_file():
        raise InputError(
            f"{changed} is gone or has changed since {run.path} was trained: put the file back to read its images."
        )
    particles = read_particles(run.star_path, run.source, run.path_map)
    if run.epochs():
        contrasts = stored_contrasts(run.read_description(run.latest_epoch()))
        particles = with_contrasts(particles, contrasts)
    corrections = run.read_corrections()
    return particles if corrections is None else aligned(particles, corrections)
