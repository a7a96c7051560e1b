"""Surfaces of maps: light low-pass, contour, marching cubes."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from skimage.measure import marching_cubes

SMOOTHING = 0.8  # voxels; noise makes a surface rough long before it changes its shape
COARSE_ABOVE = 56  # boxes beyond this are contoured on every second voxel while the cursor moves
SIGN = "sign"
"""Meaning of values that tell what has more density (1) from what has less (-1)."""
OTSU_SHARE = 0.65  # of Otsu's threshold, see default_contour


@dataclass(frozen=True, eq=False)
class MapFrame:
    """A decoded map with its surface, ready to show.

    Attributes
    ----------
    volume : (M, M, M) float32 [z, y, x], as decoded.
    smooth : the same, low-passed for display.
    vertices : (V, 3) float32 [z, y, x] in voxels.
    faces : (F, 3) int64, rows of `vertices`; both empty where the contour lies outside the map's range.
    threshold : contour in map units.
    coarse : whether the surface was made on every second voxel.
    title : what the map shows, for people.
    smoothing : width in voxels of the low-pass.
    values : (V,) float32, what colours the vertices; None for one colour.
    meaning : what `values` are, for whoever chooses the colours; empty without any.
    limit : value that gets the last colour.
    difference : (M, M, M) float32, `smooth` less another map; the surface is then its own, at +threshold where `values`
        are 1, and at -threshold where they are -1.
    """

    volume: npt.NDArray[np.float32]
    smooth: npt.NDArray[np.float32]
    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int64]
    threshold: float
    coarse: bool
    title: str
    smoothing: float = 0.0
    values: npt.NDArray[np.float32] | None = None
    meaning: str = ""
    limit: float = 1.0
    difference: npt.NDArray[np.float32] | None = None


def low_pass(volume: npt.NDArray[np.float32], sigma: float = SMOOTHING) -> npt.NDArray[np.float32]:
    """Gaussian filter with a width of `sigma` voxels; 0 returns the map itself."""
    if sigma <= 0:
        return volume
    inside = box_around(volume != 0, margin=int(np.ceil(2.5 * sigma)))
    result = np.zeros_like(volume)
    gaussian_filter(volume[inside], sigma, output=result[inside], mode="constant", truncate=2.5)
    return result


def make_frame(
    volume: npt.NDArray[np.float32],
    threshold: float,
    *,
    title: str,
    smoothing: float = SMOOTHING,
    coarse: bool = False,
    known: MapFrame | None = None,
) -> MapFrame:
    """Low-pass a map by `smoothing` voxels and contour it at `threshold` (map units).

    `known` is a frame of maybe the same volume, whose low-pass may serve.
    """
    coarse = coarse and len(volume) > COARSE_ABOVE
    same = known is not None and known.volume is volume and known.smoothing == smoothing
    smooth = known.smooth if known is not None and same else low_pass(volume, smoothing)
    vertices, faces = contour_surface(smooth, threshold, 2 if coarse else 1)
    return MapFrame(volume, smooth, vertices, faces, threshold, coarse, title, smoothing)


def plain(frame: MapFrame) -> MapFrame:
    """The frame of the map alone: in one colour, and without a surface where that is coarse or of a difference."""
    bare = replace(frame, values=None, meaning="", limit=1.0, difference=None, coarse=False)
    if frame.difference is None and not frame.coarse:
        return bare
    vertices, faces = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64)
    return replace(bare, vertices=vertices, faces=faces, threshold=np.nan)


def coloured(frame: MapFrame, volume: npt.NDArray[np.float32], meaning: str, limit: float) -> MapFrame:
    """The frame, its vertices coloured by a volume (M, M, M) at the nearest voxel; `limit` gets the last colour."""
    z, y, x = frame.vertices.round().astype(np.int64).T
    return replace(frame, values=np.asarray(volume[z, y, x], dtype=np.float32), meaning=meaning, limit=limit)


def compared(frame: MapFrame, other: MapFrame, threshold: float) -> MapFrame:
    """The frame, with the surfaces where it has `threshold` (map units) more, and less, density than another."""
    difference = frame.smooth - other.smooth
    step = 2 if frame.coarse else 1
    more, more_faces = contour_surface(difference, threshold, step)
    less, less_faces = contour_surface(-difference, threshold, step)
    return replace(
        frame,
        vertices=np.concatenate([more, less]),
        faces=np.concatenate([more_faces, less_faces + len(more)]),
        values=np.repeat(np.array([1, -1], np.float32), [len(more), len(less)]),
        meaning=SIGN,
        threshold=threshold,
        difference=difference,
    )


def contour_surface(
    volume: npt.NDArray[np.float32], threshold: float, step: int = 1
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Surface of `volume` (M, M, M) at `threshold`: vertices (V, 3) in voxels [z, y, x] and faces (F, 3)."""
    inside = box_around(volume >= threshold, margin=step)
    try:
        vertices, faces, _, _ = marching_cubes(volume[inside], threshold, step_size=step)
    except (ValueError, RuntimeError):  # the level is outside the range of the map, or crosses no cell
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64)
    vertices += np.array([axis.start for axis in inside], np.float32)
    return vertices.astype(np.float32, copy=False), faces.astype(np.int64, copy=False)


def box_around(filled: npt.NDArray[np.bool_], margin: int) -> tuple[slice, slice, slice]:
    """The part of a map that holds all `filled` voxels, and `margin` voxels around it: most of a map is empty."""
    slices = []
    for others in ((1, 2), (0, 2), (0, 1)):
        profile = np.logical_or.reduce(filled, axis=others)
        places = np.flatnonzero(profile)
        first, last = (places[0], places[-1]) if len(places) else (0, len(profile) - 1)
        slices.append(slice(max(int(first) - margin, 0), int(last) + 1 + margin))
    return slices[0], slices[1], slices[2]


def default_contour(consensus: npt.NDArray[np.float32], sigma: float) -> float:
    """A first contour, in sigma.

    Otsu's threshold of what is above one sigma parts the rigid core from the rest; the surface that holds the moving
    parts as well lies lower.
    """
    from skimage.filters import threshold_otsu

    bright = consensus[consensus > sigma]
    if bright.size < 2 or not sigma > 0:
        return 3.0
    return float(np.clip(OTSU_SHARE * threshold_otsu(bright) / sigma, 1.0, 10.0))
