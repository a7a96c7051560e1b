"""Particles of cryoDRGN, a stack with pickles of poses and CTF parameters, as the tables of a STAR file, and back.

Poses are RELION's A, and shifts with RELION's sign as a fraction of the box. A row of CTF parameters is: box of the
images they were estimated for, its pixel size in Å, defocus U and V in Å, their angle in degrees, kV, mm, amplitude
contrast, phase shift in degrees. The two programs' CTFs differ in sign, and so do the images they are multiplied with.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.array_pickle import read_arrays, write_arrays
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.image_search import locate_stacks
from napari_sbackprop.data.mrc import read_header
from napari_sbackprop.data.optics_table import optics_table
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.path_map import PathMap, moved
from napari_sbackprop.data.star_table import Table
from napari_sbackprop.errors import InputError

_CTF_COLUMNS = 9
_TOLERANCE = 1e-2  # of a rotation matrix that was rounded


def cryodrgn_tables(
    stack: Path, poses: Path, ctf: Path, findings: Findings, path_map: PathMap = ()
) -> dict[str, Table]:
    """Optics and particle tables of cryoDRGN's inputs; row i is image i.

    Parameters
    ----------
    stack : MRC stack, or a text that lists stacks, one a line.
    poses : pickle of rotations (N, 3, 3), or of rotations and shifts (N, 2).
    ctf : pickle of CTF parameters (N, 9).
    path_map : folders of stacks that moved.

    Raises
    ------
    InputError
        A file cannot be read, or the files do not belong together.
    """
    names, box = _images(stack, path_map)
    rotation, shift = _read_poses(poses, len(names), findings)
    values = _read_ctf(ctf, len(names))
    pixel_size = (
        values[:, 0] * values[:, 1] / box
    )  # of the stack, which may be smaller than what the CTF was found on
    settings = (values[:, 5], values[:, 6], values[:, 7])
    optics, group = optics_table("stack", np.ones(len(names)), (box, pixel_size), settings)
    columns: dict[str, Any] = {"rlnImageName": names, "rlnOpticsGroup": group}
    angles = _euler_angles(rotation)
    columns |= zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), angles.T, strict=True)
    origins = shift * (box * pixel_size)[:, None]
    columns |= zip(("rlnOriginXAngst", "rlnOriginYAngst"), origins.T, strict=True)
    columns |= zip(("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"), values[:, 2:5].T, strict=True)
    columns["rlnPhaseShift"] = values[:, 8]
    return {"optics": optics, "particles": columns}


def write_poses(path: Path, particles: Particles) -> None:
    """Write a new pickle of poses."""
    width = np.array([group.image_size * group.pixel_size for group in particles.optics])
    shift = particles.shift / width[particles.optics_index][:, None]
    write_arrays(path, (particles.rotation, shift.astype(np.float32)))


def write_ctf(path: Path, particles: Particles) -> None:
    """Write a new pickle of CTF parameters; B-factors and scales have no place in it."""
    settings = [
        (group.voltage, group.spherical_aberration, group.amplitude_contrast) for group in particles.optics
    ]
    sizes = [(group.image_size, group.pixel_size) for group in particles.optics]
    index = particles.optics_index
    parts = [
        np.array(sizes)[index],
        particles.defocus,
        np.array(settings)[index],
        particles.phase_shift[:, None],
    ]
    write_arrays(path, np.concatenate(parts, axis=1).astype(np.float32))


def _images(stack: Path, path_map: PathMap) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Addresses (N,) of all images, and their boxes (N,)."""
    if stack.suffix == ".txt":
        lines = stack.read_text(errors="replace").splitlines()
        stacks = [line.strip() for line in lines if line.strip()]
        paths = locate_stacks([moved(name, path_map) for name in stacks], stack)
    else:
        stacks, paths = [stack.name], [stack]
    names: list[str] = []
    boxes = [np.empty(0)]
    for name, path in zip(stacks, paths, strict=True):
        if path is None:
            raise InputError(
                f"{stack} lists {name}, which is not there: write its path from {stack.parent.absolute()}, or add "
                "--path-map OLD=NEW with the folder it was in and the one it is in now."
            )
        count, box, _ = read_header(path).shape
        names += [f"{number:06d}@{name}" for number in range(1, count + 1)]
        boxes.append(np.full(count, float(box)))
    return names, np.concatenate(boxes)


def _read_poses(
    path: Path, count: int, findings: Findings
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    arrays = [array.astype(np.float64) for array in read_arrays(path)]
    if [array.shape[1:] for array in arrays] == [(3, 3)]:
        findings.warn(f": {path} has rotations alone, without shifts: zero is assumed.")
        arrays.append(np.zeros((len(arrays[0]), 2)))
    if len(arrays) != 2 or arrays[0].shape[1:] != (3, 3) or arrays[1].shape != (len(arrays[0]), 2):
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise InputError(f"{path} holds arrays of shape {shapes}, but poses are (N, 3, 3) and (N, 2).")
    rotation, shift = arrays
    _refuse_other_count(path, len(rotation), count)
    error = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    for wrong, meaning in (
        (~(error < _TOLERANCE) | (np.linalg.det(rotation) < 0), "the matrix is no rotation"),
        (~(np.abs(shift).max(axis=1) <= 1), "the shift is no fraction of the box"),
    ):
        if wrong.any():
            raise InputError(
                f"{path}, row {np.argmax(wrong) + 1}: {meaning} ({np.count_nonzero(wrong)} such rows); "
                "parse the poses again with cryoDRGN."
            )
    return rotation, shift


def _read_ctf(path: Path, count: int) -> npt.NDArray[np.float64]:
    arrays = read_arrays(path)
    if len(arrays) != 1 or arrays[0].ndim != 2 or arrays[0].shape[1] != _CTF_COLUMNS:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise InputError(
            f"{path} holds arrays of shape {shapes}, but CTF parameters are (N, {_CTF_COLUMNS})."
        )
    _refuse_other_count(path, len(arrays[0]), count)
    return arrays[0].astype(np.float64)


def _refuse_other_count(path: Path, rows: int, count: int) -> None:
    if rows != count:
        raise InputError(
            f"{path} has {rows} rows, but there are {count} images: give the file of these images."
        )


def _euler_angles(rotation: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from torch import from_numpy

    from napari_sbackprop.imaging.poses import matrix_to_euler

    return matrix_to_euler(from_numpy(rotation)).numpy()
