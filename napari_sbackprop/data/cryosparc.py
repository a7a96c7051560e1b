"""Particles of cryoSPARC as the tables of a STAR file.

The pose is a rotation vector whose matrix is RELION's A transposed. The shift has RELION's sign, in pixels of
alignments3D/psize_A. Angles are in radians, the rest in RELION's units. An image is scaled by alignments3D/alpha, and
blob/sign is -1 where protein is dark: their product is the factor on the CTF. ctf/anisomag is RELION's magnification
matrix, by rows, less the identity (answers of its developers at discuss.cryosparc.com/t/11402 and /t/12204).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.cryosparc_file import Fields, read_fields, texts
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.image_names import AS_STACK
from napari_sbackprop.data.optics_table import optics_table
from napari_sbackprop.data.star_table import Table

IMAGES = ("blob/path", "blob/idx", "blob/shape", "blob/psize_A")
_POSES = ("alignments3D/pose", "alignments3D/shift")
_CTF = ("ctf/df1_A", "ctf/df2_A", "ctf/df_angle_rad", "ctf/accel_kv", "ctf/cs_mm", "ctf/amp_contrast")
_REQUIRED = {"images": IMAGES, "poses": _POSES, "CTF parameters": _CTF}
REQUIRED = (*IMAGES, *_POSES, *_CTF)
# Where a file may lack them, with the value that changes nothing.
_NEUTRAL = {"ctf/exp_group_id": 0, "ctf/phase_shift_rad": 0.0, "ctf/bfactor": 0.0, "blob/sign": 1.0}
_NEUTRAL |= {"alignments3D/alpha": 1.0}
# What is not applied, unless it has this value: the signs are not documented, and other programs' disagree.
_IGNORED = {f"ctf/{name}": 0.0 for name in ("shift_A", "tilt_A", "trefoil_A", "tetra_A")}
_IGNORED |= {"ctf/scale": 1.0}
_OTHERS = ("alignments3D/psize_A", "alignments3D/split", "location/micrograph_path", "ctf/anisomag")
_WIDTHS = {"blob/shape": 2, "alignments3D/pose": 3, "alignments3D/shift": 2, "ctf/anisomag": 4}


def cryosparc_tables(path: Path, passthrough: Sequence[Path], findings: Findings) -> dict[str, Table]:
    """Optics and particle tables of a .cs file and its passthrough files; row i is its row i.

    Raises
    ------
    InputError
        The files cannot be joined, or the first of the findings where they cannot be used.
    """
    fields = read_fields(path, passthrough, (*REQUIRED, *_NEUTRAL, *_IGNORED, *_OTHERS))
    for meaning, names in _REQUIRED.items():
        if missing := [name for name in names if name not in fields]:
            findings.error(
                f" has no {meaning} ({', '.join(missing)}): take the particles of a 3D refinement, and give "
                "the file of the same job that has these fields with --passthrough."
            )
    _check_values(fields, findings)
    findings.raise_first()
    count = len(fields["blob/idx"])
    fields = {name: np.full(count, value) for name, value in _NEUTRAL.items()} | fields
    ignored = [name for name, value in _IGNORED.items() if name in fields and (fields[name] != value).any()]
    if ignored:
        findings.warn(f" has {', '.join(ignored)}, not applied: the finest shells lose signal.")
    optics, group = optics_table(
        "exposure_group",
        fields["ctf/exp_group_id"],
        (fields["blob/shape"][:, 0], fields["blob/psize_A"]),
        (fields["ctf/accel_kv"], fields["ctf/cs_mm"], fields["ctf/amp_contrast"]),
        _magnification(fields),
    )
    return {"optics": optics, "particles": {**_particles(fields, findings), "rlnOpticsGroup": group}}


def image_names(fields: Fields) -> list[str]:
    """Addresses (N,) of the images, as RELION reads them: it takes x.mrc for a map, but x.mrc:mrcs for a stack."""
    numbers = (fields["blob/idx"].astype(np.int64) + 1).tolist()
    stacks = (f"{path}{AS_STACK}" if path.endswith(".mrc") else path for path in texts(fields["blob/path"]))
    return [f"{number:06d}@{stack}" for number, stack in zip(numbers, stacks, strict=True)]


def _check_values(fields: Fields, findings: Findings) -> None:
    for name, values in fields.items():
        if values.shape[1:] != ((_WIDTHS[name],) if name in _WIDTHS else ()) and name not in _IGNORED:
            findings.error(
                f": {name} has the shape {values.shape}, which is not understood; export it again."
            )
        elif values.dtype.kind == "f":
            bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
            if len(bad):
                findings.error(
                    f", row {bad[0] + 1}: {name} is {values[bad[0]]}, but must be finite; remove the particle "
                    f"({len(bad)} such rows)."
                )
    shape = fields.get("blob/shape", np.zeros((1, 2)))
    if shape.ndim == 2 and len(oblong := np.flatnonzero(shape[:, 0] != shape[:, 1])):
        rows, columns = shape[oblong[0]]
        findings.error(
            f", row {oblong[0] + 1}: the image has {columns} x {rows} px, but must be square; extract it again."
        )


def _particles(fields: Fields, findings: Findings) -> dict[str, Any]:
    columns: dict[str, Any] = {"rlnImageName": image_names(fields)}
    if "location/micrograph_path" in fields:
        columns["rlnMicrographName"] = texts(fields["location/micrograph_path"])
    angles = _euler_angles(fields["alignments3D/pose"])
    shift = fields["alignments3D/shift"] * _shift_unit(fields, findings)[:, None]
    columns |= zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), angles.T, strict=True)
    columns |= zip(("rlnOriginXAngst", "rlnOriginYAngst"), shift.T, strict=True)
    columns |= {
        "rlnDefocusU": fields["ctf/df1_A"],
        "rlnDefocusV": fields["ctf/df2_A"],
        "rlnDefocusAngle": np.rad2deg(fields["ctf/df_angle_rad"]),
        "rlnPhaseShift": np.rad2deg(fields["ctf/phase_shift_rad"]),
        "rlnCtfBfactor": fields["ctf/bfactor"],
        "rlnCtfScalefactor": _scale(fields, findings),
    }
    if (half_set := _half_set(fields, findings)) is not None:
        columns["rlnRandomSubset"] = half_set
    return columns


def _euler_angles(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    from torch import from_numpy

    from napari_sbackprop.imaging.poses import matrix_to_euler, rotation_vectors_to_matrix

    matrix = rotation_vectors_to_matrix(from_numpy(vectors.astype(np.float64))).mT
    return matrix_to_euler(matrix).numpy()


def _magnification(fields: Fields) -> npt.NDArray[Any] | None:
    """Magnification matrices (N, 4) by rows, or None where no image is distorted."""
    excess = fields.get("ctf/anisomag")
    return None if excess is None or not excess.any() else excess.astype(np.float64) + np.eye(2).ravel()


def _shift_unit(fields: Fields, findings: Findings) -> npt.NDArray[Any]:
    """Å (N,) that a shift of 1 stands for."""
    if "alignments3D/psize_A" in fields:
        return fields["alignments3D/psize_A"]
    findings.warn(" has no alignments3D/psize_A: shifts are taken to be in pixels of the images.")
    return fields["blob/psize_A"]


def _scale(fields: Fields, findings: Findings) -> npt.NDArray[Any]:
    """Factor (N,) on the CTF: how strong the image is, negative where protein is dark."""
    alpha, sign = fields["alignments3D/alpha"], fields["blob/sign"]
    weak = np.flatnonzero(~(alpha > 0))
    if len(weak):
        findings.warn(
            f", row {weak[0] + 1}: alignments3D/alpha is {alpha[weak[0]]:g}, which is no scale: 1 is taken "
            f"({len(weak)} such rows)."
        )
    return np.where(alpha > 0, alpha, 1.0) * np.where(sign < 0, -1.0, 1.0)


def _half_set(fields: Fields, findings: Findings) -> npt.NDArray[np.int64] | None:
    if "alignments3D/split" not in fields:
        findings.warn(" has no alignments3D/split: the half sets are unknown.")
        return None
    return fields["alignments3D/split"].astype(np.int64) + 1
