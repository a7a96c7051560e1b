"""How much density the map of each particle has in a region.

A map is linear in the coefficients, and so is its mean over a region: one product of two matrices gives that of all
particles, without decoding a map.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from napari_sbackprop.errors import InputError

if TYPE_CHECKING:
    from napari_sbackprop.analysis.reconstruction import Decoder

Array = npt.NDArray[np.float32]
Vector = tuple[float, float, float]
_RAY_STEP = 0.5  # voxels


@dataclass(frozen=True)
class Sphere:
    """A ball: centre (x, y, z) and radius in Å; the first voxel of a map lies at (0, 0, 0), as ChimeraX shows our maps."""

    centre: Vector
    radius: float


def region_densities(decoder: "Decoder", coefficients: Array, sphere: Sphere) -> Array:
    """Mean over a sphere's voxels of the map of each particle: (N,), in map units.

    Parameters
    ----------
    coefficients : (N, K + 1), `decoder.coefficients` of the particles.

    Raises
    ------
    InputError
        No voxel of the map, or none inside the solvent mask, lies in the sphere.
    """
    place, radius = np.array(sphere.centre[::-1]) / decoder.pixel_size, sphere.radius / decoder.pixel_size
    axes = [np.square(np.arange(decoder.box) - at) for at in place]
    inside = axes[0][:, None, None] + axes[1][:, None] + axes[2] <= radius**2
    if not (voxels := np.count_nonzero(inside)):
        where = f"({', '.join(f'{value:g}' for value in sphere.centre)})"
        side = decoder.box * decoder.pixel_size
        raise InputError(
            f"The sphere of {sphere.radius:g} Å at {where} Å holds no voxel: the map reaches from 0 to {side:g} Å in "
            f"steps of {decoder.pixel_size:g} Å; move or enlarge it."
        )
    supported = inside.ravel()[decoder.support]
    if not supported.any():
        raise InputError("The sphere lies outside the mask, where no map has density: move or enlarge it.")
    mean = decoder.basis[:, supported].sum(axis=1, dtype=np.float64) / voxels
    return np.asarray(coefficients @ mean.astype(np.float32))


def seen_place(volume: Array, threshold: float, origin: Vector, direction: Vector) -> Vector | None:
    """Where a line of sight meets the surface of a map, or has the highest density if it misses the surface.

    Parameters
    ----------
    volume : (M, M, M) [z, y, x].
    threshold : contour of the surface.
    origin, direction : any point of the line and its direction away from the eye, [z, y, x] in voxels.

    Returns
    -------
    [z, y, x] in voxels, None where the line misses the map.
    """
    start, step = np.asarray(origin), np.asarray(direction) / np.linalg.norm(direction)
    middle = (np.array(volume.shape) - 1) / 2
    half = np.sqrt(3) * middle[0] + 1
    along = np.arange(-half, half, _RAY_STEP) + (middle - start) @ step
    places = start + along[:, None] * step
    places = places[((places >= 0) & (places <= len(volume) - 1)).all(axis=1)]
    if not len(places):
        return None
    density = map_coordinates(volume, places.T, order=1)
    above = density >= threshold
    z, y, x = places[above.argmax() if above.any() else density.argmax()].tolist()
    return z, y, x
