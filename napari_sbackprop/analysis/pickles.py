"""A run as the pickles that cryoDRGN's programs read."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_sbackprop.data.array_pickle import write_arrays
from napari_sbackprop.data.blocks import read_star
from napari_sbackprop.data.corrections import aligned
from napari_sbackprop.data.cryodrgn import write_ctf, write_poses
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.output_file import new_folder
from napari_sbackprop.data.particle_table import read_particle_table
from napari_sbackprop.data.particles import OpticsGroup, Particles
from napari_sbackprop.run_directory import RunDirectory

logger = logging.getLogger(__name__)


def write_pickles(path: Path, output: Path, epoch: int | None = None) -> list[Path]:
    """Write poses, CTF parameters, latents and, where there is one, the embedding of an epoch, the newest by default.

    Poses and defocus values are as refined by that epoch, where the run refines them.

    Parameters
    ----------
    path : run directory.
    output : new folder; one with files in it is refused.

    Returns
    -------
    The files.
    """
    run = RunDirectory(path)
    epoch = run.latest_epoch() if epoch is None else epoch
    latents = run.read_latents(epoch)
    with new_folder(output) as folder:
        particles = _particles(run, epoch)
        write_poses(folder / "poses.pkl", particles)
        write_ctf(folder / "ctf.pkl", particles)
        write_arrays(folder / f"z.{epoch}.pkl", latents.mean, latents.log_variance)
        if (embedding := run.read_embedding(epoch)) is not None:
            write_arrays(folder / "umap.pkl", embedding.coordinates)
    return sorted(output.iterdir())


def _particles(run: RunDirectory, epoch: int) -> Particles:
    """The particles of a run as an epoch has them, with the box of its images, which some STAR files do not tell."""
    findings = Findings(run.star_path)
    particles = read_particle_table(read_star(run.star_path), findings).particles
    findings.raise_first()
    box = int(run.read_description(epoch)["box"])
    optics = tuple(replace(group, image_size=group.image_size or box) for group in particles.optics)
    if lost := ", ".join(_unknown_to_cryodrgn(particles)):
        logger.warning("%s has %s, which cryoDRGN does not know: left out.", run.path, lost)
    if (particles.scale < 0).any():
        logger.warning("%s has dark particles on bright ground: run cryoDRGN with --uninvert-data.", run.path)
    particles = replace(particles, optics=optics)
    corrections = run.read_corrections(epoch)
    return particles if corrections is None else aligned(particles, corrections)


def _unknown_to_cryodrgn(particles: Particles) -> list[str]:
    """What of the image model has no place in the pickles."""
    groups = particles.optics
    present = {
        "B-factors": particles.b_factor.any(),
        "scales": not np.allclose(np.abs(particles.scale), 1),
        "beam tilt": particles.beam_tilt.any(),
        "Zernike coefficients": any(any(group.odd_zernikes + group.even_zernikes) for group in groups),
        "anisotropic magnification": any(
            group.magnification != OpticsGroup.magnification for group in groups
        ),
        "phase-flipped or premultiplied images": any(
            group.phase_flipped or group.ctf_premultiplied for group in groups
        ),
    }
    return [name for name, is_present in present.items() if is_present]
