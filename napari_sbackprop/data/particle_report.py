"""The report of a particle STAR file."""

import math
from typing import Any

import numpy as np

from napari_sbackprop.config import Config
from napari_sbackprop.data.blocks import StarText
from napari_sbackprop.data.contrast import describe_contrast
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.image_search import find_images
from napari_sbackprop.data.loader import read_images
from napari_sbackprop.data.optics import check_groups
from napari_sbackprop.data.particle_table import ParticleTable, read_particle_table
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.path_map import PathMap
from napari_sbackprop.data.report import Report
from napari_sbackprop.errors import InputError

_SAMPLE = 200  # images read to judge the contrast
_WEAKEST_DEFOCUS = 50.0  # Å; smaller values are µm written by mistake


def report_particles(text: StarText, path_map: PathMap = ()) -> Report:
    """Check the table, the images and what training on them would need."""
    findings = Findings(text.path)
    table = read_particle_table(text, findings)
    particles = find_images(table, text.path.parent, findings, path_map)
    check_groups(particles.optics, findings)
    facts = _facts(table, particles)
    if table.has_poses and particles.count > 1 and (particles.rotation == particles.rotation[0]).all():
        findings.warn(" has the same pose in all rows: give the particles of a finished 3D refinement.")
    _warn_of_unlikely_values(particles, findings)
    _warn_of_repetitions(table, findings)
    if not findings.errors:
        facts["contrast"] = _contrast(particles, findings)
    return Report(text.path, "particles", facts, tuple(findings.warnings), tuple(findings.errors))


def estimate_memory(count: int, box: int, basis_size: int) -> dict[str, int]:
    """Bytes that training takes, by part: half-disc spectra, and basis volumes with gradient and two moments.

    Parameters
    ----------
    count, box, basis_size : N particles of M pixels a side, K basis volumes.
    """
    radius = box // 2 - 1
    pixels = math.pi / 2 * (radius + 0.5) ** 2
    voxels = math.pi * 2 / 3 * (radius + 1.5) ** 3  # the margin closes the sphere under interpolation
    return {
        "spectra_memory_bytes": round(count * pixels * 8),
        "basis_memory_bytes": round((basis_size + 1) * voxels * 8 * 4),
    }


def _facts(table: ParticleTable, particles: Particles) -> dict[str, Any]:
    halves = np.bincount(particles.half_set, minlength=3)
    defocus = particles.defocus[:, :2]
    facts: dict[str, Any] = {
        "particles": particles.count,
        "box": particles.box or None,
        "pixel_size": particles.pixel_size if math.isfinite(particles.pixel_size) else None,
        "optics_groups": [
            {
                "name": group.name,
                "particles": int((particles.optics_index == index).sum()),
                "voltage": group.voltage,
                "spherical_aberration": group.spherical_aberration,
                "amplitude_contrast": group.amplitude_contrast,
                **({"ctf_premultiplied": True} if group.ctf_premultiplied else {}),
                **({"phase_flipped": True} if group.phase_flipped else {}),
            }
            for index, group in enumerate(particles.optics)
        ],
        "poses": table.has_poses,
        "shifts": f"in {table.shift_unit}" if table.shift_unit != "none" else "none",
        "defocus": [round(float(defocus.min())), round(float(defocus.max()))],
        "half_sets": {"first": int(halves[1]), "second": int(halves[2]), "unknown": int(halves[0])},
        "stacks": len(particles.stack_paths),
        "repeated_images": table.images.count_repetitions(),
    }
    if particles.box:
        facts |= estimate_memory(particles.count, particles.box, Config().basis_size)
    return facts


def _warn_of_unlikely_values(particles: Particles, findings: Findings) -> None:
    """Note numbers that are legal but hardly meant."""
    field_of_view = particles.box * particles.pixel_size
    far = np.flatnonzero(np.abs(particles.shift).max(axis=1) > field_of_view / 2)
    if particles.box and len(far):
        findings.warn(
            f", row {far[0] + 1}: the shift of {np.abs(particles.shift[far[0]]).max():.0f} Å leaves the box of "
            f"{field_of_view:.0f} Å ({len(far)} such rows); check the unit."
        )
    typical = float(np.median(particles.defocus[:, 0]))
    if typical < 0:
        findings.warn(" has a negative defocus, but underfocus is positive in RELION: check the sign.")
    elif 0 < typical < _WEAKEST_DEFOCUS:
        findings.warn(f" has a defocus of about {typical:.2g} Å: if these are µm, multiply by 10,000.")
    halves = np.bincount(particles.half_set, minlength=3)
    if (halves[1] == 0) != (halves[2] == 0):
        findings.warn(" has particles in one of the two half sets only: they cannot be compared.")


def _warn_of_repetitions(table: ParticleTable, findings: Findings) -> None:
    if repeated := table.images.count_repetitions():
        findings.warn(
            f" repeats an image in {repeated} rows, as symmetry expansion does: a subset may hold copies of one image."
        )


def _contrast(particles: Particles, findings: Findings) -> str:
    rows = np.unique(np.linspace(0, particles.count - 1, min(_SAMPLE, particles.count)).astype(np.int64))
    try:
        contrast = describe_contrast(read_images(particles, rows))
    except InputError as error:
        findings.errors.append(str(error))
        return "undecided"
    if contrast == "dark on bright":
        findings.warn(
            ": the particles look dark on bright ground, but bright ones are expected, as RELION writes them; "
            "invert them (relion_preprocess --invert_contrast)."
        )
    return contrast
