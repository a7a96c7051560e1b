"""The STAR file of a run with the poses and defocus values that the run has refined."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from napari_sbackprop.data.blocks import read_star
from napari_sbackprop.data.corrections import aligned
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.output_file import require_ending
from napari_sbackprop.data.particle_table import read_particle_table
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.replacement import write_replaced
from napari_sbackprop.data.star_kind import particle_block
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.poses import matrix_to_euler
from napari_sbackprop.run_directory import RunDirectory

_Columns = dict[str, npt.NDArray[np.floating]]


def write_refined(path: Path, output: Path) -> list[str]:
    """Write the particles of a run as its newest epoch has refined them; all else stays byte for byte.

    Parameters
    ----------
    path : run directory.
    output : new STAR file; an existing one is refused.

    Returns
    -------
    Labels of the columns with new values.

    Raises
    ------
    InputError
        The run has refined nothing, or its STAR file has no columns for refined shifts.
    """
    require_ending(output, ".star")
    run = RunDirectory(path)
    corrections = run.read_corrections()
    if corrections is None:
        raise InputError(
            f"{path} has refined no particles: train with --refine-poses or --refine-ctf, or take its particles.star."
        )
    text = read_star(run.star_path)
    findings = Findings(run.star_path)
    particles = aligned(read_particle_table(text, findings).particles, corrections)
    findings.raise_first()
    block = particle_block(text)
    columns = _pose_columns(particles) if run.config.refine_poses else {}
    columns = {label: values for label, values in columns.items() if label in block}
    if run.config.refine_poses and not any("Origin" in label for label in columns):
        raise InputError(
            f"{run.source} has no shifts to correct: add rlnOriginXAngst and rlnOriginYAngst, with zeros, and train again."
        )
    if run.config.refine_ctf:
        columns |= zip(("rlnDefocusU", "rlnDefocusV"), particles.defocus[:, :2].T, strict=True)
    texts = {label: [b"%.6f" % value for value in values] for label, values in columns.items()}
    write_replaced(text, texts, output)
    return list(columns)


def _pose_columns(particles: Particles) -> _Columns:
    """Angles in degrees, and shifts in Å and, as RELION 3.0 has them, in pixels."""
    angles = matrix_to_euler(torch.from_numpy(particles.rotation).double()).numpy()
    columns: _Columns = dict(zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), angles.T, strict=True))
    columns |= zip(("rlnOriginXAngst", "rlnOriginYAngst"), particles.shift.T, strict=True)
    pixel_size = np.array([group.pixel_size for group in particles.optics])[particles.optics_index]
    columns |= zip(("rlnOriginX", "rlnOriginY"), particles.shift.T / pixel_size, strict=True)
    return columns
