"""A map from a file, checked to lie on the grid of the particles' map."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.mrc import read_header, read_volume
from napari_sbackprop.errors import InputError

_UNKNOWN = (0.0, 1.0)  # pixel sizes that programs write where they know none
_PIXEL_TOLERANCE = 0.01  # relative


def read_on_grid(path: Path, box: int, pixel_size: float) -> npt.NDArray[np.float32]:
    """Read a map (M, M, M) [z, y, x].

    Parameters
    ----------
    path : MRC file.
    box, pixel_size : M and Å per pixel of the particles' map, which must be the file's.

    Raises
    ------
    InputError
        The file has another box, pixel size or origin.
    """
    values, stated = read_volume(path)
    if values.shape[0] != box:
        raise InputError(f"{path} has a box of {values.shape[0]}, but the particles have {box}: resample it.")
    if stated not in _UNKNOWN and abs(stated / pixel_size - 1) > _PIXEL_TOLERANCE:
        raise InputError(
            f"{path} has a pixel size of {stated:.4g} Å, but the particles have {pixel_size:.4g} Å: resample it "
            "(relion_image_handler --rescale_angpix), or correct its header if that is wrong."
        )
    origin = read_header(path).origin
    if max(map(abs, origin)) > pixel_size / 2:
        place = ", ".join(f"{value:.4g}" for value in origin)
        raise InputError(
            f"{path} has its origin at ({place}) Å, but the particles' map begins at 0: resample it on that map "
            "(ChimeraX: volume resample), or set its origin to 0 if its voxels already agree."
        )
    return values
