"""Contrast of particle images: bright on dark, as RELION writes them and the model expects, or the reverse."""

from typing import Any

import numpy as np
import numpy.typing as npt

_CENTRE = 0.25  # radii in boxes: the particle is inside, the background outside
_BACKGROUND = 0.45
_SIGNIFICANT = 3.0  # standard errors
_FEWEST_IMAGES = 5


def describe_contrast(images: npt.NDArray[Any]) -> str:
    """Tell the contrast of images (n, M, M) [y, x]: "bright on dark", "dark on bright" or "undecided".

    Compares the mean of the centre with that of the corners, image by image; most of the contrast at zero frequency
    is lost to the CTF, so it takes several images to decide.
    """
    box = images.shape[-1]
    axis = (np.arange(box) - box // 2) / box
    radius = np.hypot(axis[:, None], axis)
    with np.errstate(invalid="ignore"):  # images that are not finite tell nothing
        centre = images[:, radius <= _CENTRE].mean(axis=1, dtype=np.float64)
        background = images[:, radius > _BACKGROUND].mean(axis=1, dtype=np.float64)
        difference = centre - background  # (n,)
    difference = difference[np.isfinite(difference)]
    if len(difference) < _FEWEST_IMAGES:
        return "undecided"
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    if abs(difference.mean()) <= _SIGNIFICANT * error:
        return "undecided"
    return "bright on dark" if difference.mean() > 0 else "dark on bright"
