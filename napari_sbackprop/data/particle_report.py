"""The report of particles."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.config import Config
from napari_sbackprop.data.contrast import describe_contrast
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.half_sets import describe_imbalance
from napari_sbackprop.data.image_search import find_images
from napari_sbackprop.data.loader import read_images
from napari_sbackprop.data.optics import check_groups
from napari_sbackprop.data.particle_table import ParticleTable, read_particle_table
from napari_sbackprop.data.particles import OpticsGroup, Particles
from napari_sbackprop.data.path_map import PathMap
from napari_sbackprop.data.report import Report
from napari_sbackprop.data.source import ParticleSource
from napari_sbackprop.errors import InputError

_SAMPLE = 200  # images read to judge the contrast
_WEAKEST_DEFOCUS = 50.0  # Å; smaller values are µm written by mistake


def report_particles(source: ParticleSource, kind: str = "particles", path_map: PathMap = ()) -> Report:
    """Check the table, the images and what training on them would need."""
    findings = source.findings
    table = read_particle_table(source.text, findings)
    particles = find_images(table, source.path, findings, path_map)
    check_groups(particles.optics, findings)
    facts = _facts(table, particles)
    if table.has_poses and particles.count > 1 and (particles.rotation == particles.rotation[0]).all():
        findings.warn(" has the same pose in all rows: give the particles of a finished 3D refinement.")
    _warn_of_unlikely_values(particles, findings)
    _warn_of_repetitions(table, findings)
    if not findings.errors:
        facts["contrast"] = _contrast(particles, findings)
    return Report(source.path, kind, facts, tuple(findings.warnings), tuple(findings.errors))


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
            _group_facts(group, particles.beam_tilt[particles.optics_index == index])
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


def _group_facts(group: OpticsGroup, beam_tilt: npt.NDArray[np.float32]) -> dict[str, Any]:
    optional = ("ctf_premultiplied", "phase_flipped", "odd_zernikes", "even_zernikes", "magnification")
    return {
        "name": group.name,
        "particles": len(beam_tilt),
        "box": group.image_size or None,
        "pixel_size": group.pixel_size if math.isfinite(group.pixel_size) else None,
        "voltage": group.voltage or None,
        "spherical_aberration": group.spherical_aberration,
        "amplitude_contrast": group.amplitude_contrast,
        **({"beam_tilt": beam_tilt.mean(axis=0).tolist()} if beam_tilt.any() else {}),
        **{name: value for name in optional if (value := getattr(group, name)) != getattr(OpticsGroup, name)},
    }


def _warn_of_unlikely_values(particles: Particles, findings: Findings) -> None:
    """Note numbers that are legal but hardly meant."""
    widths = np.array([group.image_size * group.pixel_size for group in particles.optics])
    field_of_view = widths[particles.optics_index]
    far = np.flatnonzero(np.abs(particles.shift).max(axis=1) > field_of_view / 2)
    if particles.box and len(far):
        findings.warn(
            f", row {far[0] + 1}: the shift of {np.abs(particles.shift[far[0]]).max():.0f} Å leaves the box of "
            f"{field_of_view[far[0]]:.0f} Å ({len(far)} such rows); check the unit."
        )
    typical = float(np.median(particles.defocus[:, 0]))
    if typical < 0:
        findings.warn(" has a negative defocus, but underfocus is positive in RELION: check the sign.")
    elif 0 < typical < _WEAKEST_DEFOCUS:
        findings.warn(f" has a defocus of about {typical:.2g} Å: if these are µm, multiply by 10,000.")
    if imbalance := describe_imbalance(particles.half_set):
        findings.warn(f" {imbalance}")


def _warn_of_repetitions(table: ParticleTable, findings: Findings) -> None:
    if repeated := table.images.count_repetitions():
        findings.warn(
            f" repeats an image in {repeated} rows, as symmetry expansion does: a subset may hold copies of one image."
        )


def _contrast(particles: Particles, findings: Findings) -> str:
    alike = np.flatnonzero(particles.optics_index == particles.optics_index[0])  # images of one size
    rows = alike[np.unique(np.linspace(0, len(alike) - 1, min(_SAMPLE, len(alike))).astype(np.int64))]
    try:
        sign = np.where(particles.scale[rows] < 0, -1, 1)[:, None, None].astype(np.float32)
        contrast = describe_contrast(sign * read_images(particles, rows))
    except InputError as error:
        findings.errors.append(str(error))
        return "undecided"
    if contrast == "dark on bright":
        findings.warn(
            ": the particles look dark on bright ground, but bright ones are expected, as RELION writes them; "
            "invert them (relion_preprocess --invert_contrast)."
        )
    return contrast
