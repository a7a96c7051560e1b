"""The particle table of a STAR file as Particles, checked row by row, before any image is looked for."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.blocks import Columns, StarText
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.image_names import ImageNames, parse_image_names
from napari_sbackprop.data.lookup import Lookup, match_optics
from napari_sbackprop.data.optics import OPTICS_LABELS, pixel_sizes, read_optics
from napari_sbackprop.data.optics_values import read_numbers
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.star_kind import optics_block, particle_block

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_SHIFTS_ANGSTROM = ("rlnOriginXAngst", "rlnOriginYAngst")
_SHIFTS_PX = ("rlnOriginX", "rlnOriginY")
_DEFOCUS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
_CTF_DEFAULTS = {
    "rlnPhaseShift": 0.0,
    "rlnCtfBfactor": 0.0,
    "rlnCtfScalefactor": 1.0,
    "rlnBeamTiltX": 0.0,
    "rlnBeamTiltY": 0.0,
}
_LARGEST_PIXEL = 1000.0  # Å: more is no image of a molecule
_HALF_SET = "rlnRandomSubset"
_IMAGE = "rlnImageName"
_LABELS = (
    _IMAGE,
    _HALF_SET,
    *ANGLES,
    *_SHIFTS_ANGSTROM,
    *_SHIFTS_PX,
    *_DEFOCUS,
    *_CTF_DEFAULTS,
    *OPTICS_LABELS,
)


@dataclass(frozen=True, eq=False)
class ParticleTable:
    """A particle table as it was understood.

    Attributes
    ----------
    particles : without stack paths; a box of 0 stands where the file does not tell.
    images : addresses of the images, as they are written.
    shift_unit : "Å", "px" or "none", as the file has the shifts.
    has_poses : false where angles are missing, which is an error too.
    """

    particles: Particles
    images: ImageNames
    shift_unit: str
    has_poses: bool


def read_particle_table(text: StarText, findings: Findings) -> ParticleTable:
    """Read what a STAR file says about its particles, and note what is wrong.

    Raises
    ------
    InputError
        Nothing can be made of the file: it holds no particles, or a row cannot be split into numbers.
    """
    from torch import from_numpy

    from napari_sbackprop.imaging.poses import euler_to_matrix

    columns = particle_block(text).columns(_LABELS)
    optics = optics_block(text)
    lookup = match_optics(columns, None if optics is None else optics.columns(_LABELS), findings)
    pixel_size = _read_pixel_sizes(lookup, findings)
    groups, optics_index = read_optics(lookup, pixel_size, findings)
    shift, shift_unit = _read_shifts(columns, pixel_size, findings)
    angles = _read_required(
        columns, ANGLES, "take the particles of a 3D refinement, which have poses", findings
    )
    defocus = _read_required(
        columns, _DEFOCUS, "estimate the CTF first, or join its table to this one", findings
    )
    phase_shift, b_factor, scale, *beam_tilt = (
        read_numbers(lookup, label, default, findings) for label, default in _CTF_DEFAULTS.items()
    )
    images = parse_image_names(columns.texts[_IMAGE], findings)
    particles = Particles(
        rotation=euler_to_matrix(from_numpy(angles)).numpy().astype(np.float32),
        shift=shift.astype(np.float32),
        defocus=defocus.astype(np.float32),
        phase_shift=phase_shift.astype(np.float32),
        b_factor=b_factor.astype(np.float32),
        scale=scale.astype(np.float32),
        beam_tilt=np.stack(beam_tilt, axis=-1).astype(np.float32),
        optics_index=optics_index,
        optics=groups,
        half_set=_read_half_sets(columns, findings),
        stack_paths=(),
        stack_index=images.stack_index,
        slice_index=images.slice_index,
        source=text.path,
    )
    return ParticleTable(particles, images, shift_unit, all(label in columns for label in ANGLES))


def _read_pixel_sizes(lookup: Lookup, findings: Findings) -> npt.NDArray[np.float64]:
    values = pixel_sizes(lookup)
    if values is None:
        findings.error(
            " gives no pixel size: add rlnImagePixelSize, or rlnDetectorPixelSize with rlnMagnification."
        )
        return np.full(lookup.count, np.nan)
    bad = np.flatnonzero(~((values > 0) & (values < _LARGEST_PIXEL)))
    if len(bad):
        findings.error(
            f", row {bad[0] + 1}: the pixel size is {values[bad[0]]:g} Å, but must be positive and below "
            f"{_LARGEST_PIXEL:g}; correct the file."
        )
    return values


def _read_required(
    columns: Columns, labels: tuple[str, ...], remedy: str, findings: Findings
) -> npt.NDArray[np.float64]:
    if missing := [label for label in labels if label not in columns]:
        findings.error(f" has no column {', '.join(missing)}: {remedy}.")
    values = [_finite(columns, label, findings) if label in columns else _zeros(columns) for label in labels]
    return np.stack(values, axis=-1)  # (N, labels)


def _read_shifts(
    columns: Columns, pixel_size: npt.NDArray[np.float64], findings: Findings
) -> tuple[npt.NDArray[np.float64], str]:
    """Shifts (N, 2) in Å. The unit follows from the columns' names, never from RELION's version."""
    for labels, factor, unit in ((_SHIFTS_ANGSTROM, 1.0, "Å"), (_SHIFTS_PX, pixel_size[:, None], "px")):
        if any(label in columns for label in labels):
            return _read_required(
                columns, labels, "add it, with zeros where the axis is not shifted", findings
            ) * factor, unit
    findings.warn(f" has no shifts ({_SHIFTS_ANGSTROM[0]} or {_SHIFTS_PX[0]}): zero is assumed.")
    return np.zeros((columns.block.count, 2)), "none"


def _read_half_sets(columns: Columns, findings: Findings) -> npt.NDArray[np.int8]:
    if _HALF_SET not in columns:
        return np.zeros(columns.block.count, dtype=np.int8)
    values = columns.numbers(_HALF_SET)
    known = (values == 1) | (values == 2)
    if not known.all():
        findings.warn(
            f" has {np.count_nonzero(~known)} rows where {_HALF_SET} is neither 1 nor 2: half unknown."
        )
    return np.where(known, values, 0).astype(np.int8)


def _finite(columns: Columns, label: str, findings: Findings) -> npt.NDArray[np.float64]:
    values = columns.numbers(label)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        findings.error(
            f", row {bad[0] + 1}: {label} is {values[bad[0]]}, but must be a finite number; "
            f"correct or remove the row ({len(bad)} such rows)."
        )
    return values


def _zeros(columns: Columns) -> npt.NDArray[np.float64]:
    return np.zeros(columns.block.count)
