"""Files of other programs, made from a STAR file without our own code."""

from pathlib import Path
from typing import Any

import numpy as np
import starfile
from scipy.spatial.transform import Rotation

Rows = np.ndarray


def cryosparc_rows(star: Path, **fields: Any) -> Rows:
    """Rows of a .cs file for the particles of a RELION 3.1 file; `fields`, with _ for /, replace or add values."""
    tables = starfile.read(star)
    optics, particles = tables["optics"].iloc[0], tables["particles"]
    count = len(particles)
    names = particles["rlnImageName"].str.split("@")
    rotation = Rotation.from_euler(
        "ZYZ", particles[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]], degrees=True
    )
    pixel_size = float(optics["rlnImagePixelSize"])
    box = int(optics["rlnImageSize"])
    values = {
        "uid": np.random.default_rng(5).permutation(np.arange(10**18, 10**18 + count, dtype=np.uint64)),
        "blob/path": np.array([f">{path}" for _, path in names], "S"),
        "blob/idx": np.array([int(number) - 1 for number, _ in names], np.uint32),
        "blob/shape": np.full((count, 2), box, np.uint32),
        "blob/psize_A": np.full(count, pixel_size, np.float32),
        "ctf/exp_group_id": np.full(count, 7, np.uint32),
        "ctf/accel_kv": np.full(count, optics["rlnVoltage"], np.float32),
        "ctf/cs_mm": np.full(count, optics["rlnSphericalAberration"], np.float32),
        "ctf/amp_contrast": np.full(count, optics["rlnAmplitudeContrast"], np.float32),
        "ctf/df1_A": particles["rlnDefocusU"].to_numpy(np.float32),
        "ctf/df2_A": particles["rlnDefocusV"].to_numpy(np.float32),
        "ctf/df_angle_rad": np.deg2rad(particles["rlnDefocusAngle"].to_numpy()).astype(np.float32),
        "alignments3D/split": particles.get("rlnRandomSubset", np.ones(count)).astype(np.uint32) - 1,
        "alignments3D/shift": particles[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy(np.float32)
        / (2 * pixel_size),
        "alignments3D/psize_A": np.full(count, 2 * pixel_size, np.float32),
        "alignments3D/pose": rotation.as_rotvec().astype(np.float32),
    }
    values |= {name.replace("_", "/", 1): np.asarray(value) for name, value in fields.items()}
    return structured({name: value for name, value in values.items() if value.ndim})


def structured(values: dict[str, np.ndarray]) -> Rows:
    """Arrays (N, ...) as the fields of one structured array."""
    count = len(next(iter(values.values())))
    rows = np.empty(count, [(name, value.dtype, value.shape[1:]) for name, value in values.items()])
    for name, value in values.items():
        rows[name] = value
    return rows


def without(rows: Rows, *fields: str) -> Rows:
    """The rows without some fields."""
    return structured({name: rows[name] for name in rows.dtype.names if name not in fields})


def only(rows: Rows, *fields: str) -> Rows:
    """The rows with some fields alone."""
    return structured({name: rows[name] for name in fields})


def save_rows(path: Path, rows: Rows) -> Path:
    """Write a .cs file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.save(file, rows)
    return path
