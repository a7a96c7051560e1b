"""A solvent mask from a file, checked against the particles that it is for."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.grid_map import read_on_grid
from napari_sbackprop.errors import InputError

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
    values = read_on_grid(path, box, pixel_size)
    if values.min() < -_VALUE_TOLERANCE or values.max() > 1 + _VALUE_TOLERANCE:
        raise InputError(
            f"{path} has values from {values.min():.4g} to {values.max():.4g}, but a mask lies between 0 and 1: "
            "make one of the map with relion_mask_create."
        )
    if not values.max() > 0:
        raise InputError(f"{path} has no value above 0: give a mask that is 1 where the particle is.")
    return values.clip(0, 1)
