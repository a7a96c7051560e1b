"""The particles of a finished run, as the run itself sees them."""

from napari_sbackprop.data.corrections import aligned, with_contrast
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.group_contrast import stored_contrasts, with_contrasts


def run_particles(run: RunDirectory, epoch: int | None = None, *, scaled: bool = False) -> Particles:
    """The particles that a run was trained on, their images found again, as an epoch sees them, by default the newest.

    Poses and CTFs are corrected where it refined them, and optics groups have the contrasts that it measured.

    Parameters
    ----------
    scaled : images have the scales that the model fitted, too. Not where they are to say something by themselves: weighed by
        how well they fit the model, images of noise alone average to its map.

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
    if not run.epochs():
        return particles
    epoch = run.latest_epoch() if epoch is None else epoch
    particles = with_contrasts(particles, stored_contrasts(run.read_description(epoch)))
    if scaled and (scale := run.read_latents(epoch).scale) is not None:
        particles = with_contrast(particles, scale)
    corrections = run.read_corrections(epoch)
    return particles if corrections is None else aligned(particles, corrections)
