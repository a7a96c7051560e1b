"""A solvent mask from a file, checked against the particles that it is for."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.mrc import read_header, read_volume
from napari_sbackprop.errors import InputError

_UNKNOWN = (0.0, 1.0)  # pixel sizes that programs write where they know none
_PIXEL_TOLERANCE = 0.01  # relative
_VALUE_TOLERANCE = 1e-3  # rounding of programs that interpolate masks


def read_mask(path: Path, box: int, pixel_size: float) -> npt.NDArray[np.float32]:
    """Read a mask (M, M, M) [z, y, x] with values from 0 to 1.

    Parameters
    ----------
    path : MRC file.
    box, pixel_size : M and Å per pixel of the particles, which must be the mask's.

    Raises
    ------
    InputError
        The mask lies on another grid than the particles' map, or is no mask.
    """
    values, stated = read_volume(path)
    if values.shape[0] != box:
        raise InputError(
            f"{path} has a box of {values.shape[0]}, but the particles have {box}: resample the mask."
        )
    if stated not in _UNKNOWN and abs(stated / pixel_size - 1) > _PIXEL_TOLERANCE:
        raise InputError(
            f"{path} has a pixel size of {stated:.4g} Å, but the particles have {pixel_size:.4g} Å: resample the mask "
            "(relion_image_handler --rescale_angpix), or correct its header if that is wrong."
        )
    origin = read_header(path).origin
    if max(map(abs, origin)) > pixel_size / 2:
        place = ", ".join(f"{value:.4g}" for value in origin)
        raise InputError(
            f"{path} has its origin at ({place}) Å, but the particles' map begins at 0: resample the mask on that map "
            "(ChimeraX: volume resample), or set its origin to 0 if its voxels already agree."
        )
    if values.min() < -_VALUE_TOLERANCE or values.max() > 1 + _VALUE_TOLERANCE:
        raise InputError(
            f"{path} has values from {values.min():.4g} to {values.max():.4g}, but a mask lies between 0 and 1: "
            "make one of the map with relion_mask_create."
        )
    if not values.max() > 0:
        raise InputError(f"{path} has no value above 0: give a mask that is 1 where the particle is.")
    return values.clip(0, 1)
