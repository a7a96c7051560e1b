"""The optics table of particles that another program wrote, from values that it gives for every particle."""

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.optics import MAGNIFICATION
from napari_sbackprop.data.star_table import Table

_Values = npt.NDArray[Any]


def optics_table(
    name: str,
    number: _Values,
    size: tuple[_Values, _Values],
    settings: tuple[_Values, _Values, _Values],
    magnification: _Values | None = None,
) -> tuple[Table, npt.NDArray[np.int64]]:
    """One row for each group and each setting in it, and the row, from 1, of each of N particles.

    Parameters
    ----------
    name, number : of the groups; number is (N,).
    size : box in pixels and Å per pixel, each (N,).
    settings : voltage in kV, spherical aberration in mm and amplitude contrast, each (N,).
    magnification : (N, 4), RELION's M by rows; None for images that are not distorted.
    """
    values = np.stack([column.astype(np.float64) for column in (number, *size, *settings)], axis=1)
    if magnification is not None:
        values = np.concatenate([values, magnification], axis=1)
    groups, index = np.unique(values, axis=0, return_inverse=True)
    numbers, box, pixel_size, voltage, aberration, contrast, *matrix = groups.T
    table: Table = {
        "rlnOpticsGroupName": [f"{name}_{value:.0f}" for value in numbers.tolist()],
        "rlnOpticsGroup": np.arange(1, len(groups) + 1),
        "rlnImagePixelSize": pixel_size,
        "rlnImageSize": box.astype(np.int64),
        "rlnImageDimensionality": np.full(len(groups), 2),
        "rlnVoltage": voltage,
        "rlnSphericalAberration": aberration,
        "rlnAmplitudeContrast": contrast,
        **dict(zip(MAGNIFICATION, matrix, strict=False)),  # there may be none
    }
    return table, index.reshape(-1) + 1
