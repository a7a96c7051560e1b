"""Colours of the particles in the scatter, and the density raster that stands for very many of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from vispy.color import get_colormap

from napari_sbackprop.analysis.clustering import NO_CLUSTER, Clustering
from napari_sbackprop.analysis.particle_set import SET_COLOURS, ParticleSet

RGBA = npt.NDArray[np.float32]

NUMBER_MAP = "viridis"
MISSING = (0.45, 0.45, 0.45, 1.0)
MISSING_COLOUR = "#737373"
PALETTE = SET_COLOURS[::-1]  # from the other end: a few classes and a few sets share no colour
MOST_CLASSES = len(PALETTE)
DENSITY_BINS = 480
DENSITY_BLUR = 6.0  # bins
FEW_IN_BIN = 0.01
"""Blurred count below which crowding makes no difference to the colour."""


@dataclass(frozen=True, eq=False)
class PointColours:
    """Colours of N particles with what a legend needs.

    Attributes
    ----------
    rgba : (N, 4) float32, 0 ... 1.
    label : what is shown.
    low, high : ends of the colour map as text, for numbers; empty for classes.
    classes : (name, colour) of each class, and last without a colour how many have no line; empty for numbers.
    """

    rgba: RGBA
    label: str
    low: str = ""
    high: str = ""
    classes: Sequence[tuple[str, str]] = ()


def density_colours(coordinates: npt.NDArray[np.float32]) -> PointColours:
    """Colour points (N, 2) by the logarithm of how crowded their place is."""
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    column, row = ((coordinates - low) * ((DENSITY_BINS - 1) / np.maximum(high - low, 1e-9))).T.astype(
        np.intp
    )
    cell = row * DENSITY_BINS + column
    histogram = np.bincount(cell, minlength=DENSITY_BINS**2).reshape(DENSITY_BINS, DENSITY_BINS)
    density = np.log1p(gaussian_filter(histogram.astype(np.float32), DENSITY_BLUR) / FEW_IN_BIN)
    return PointColours(_mapped(density.ravel()[cell]), "density", "sparse", "crowded")


def column_colours(name: str, column: npt.NDArray[Any]) -> PointColours:
    """Colour by a column (N,): few different values, or text, as classes; other numbers on a colour map."""
    if column.dtype.kind not in "iuf":
        return _class_colours(name, *_classes(column))
    if column.dtype.kind in "iu" and len(known := np.unique(column)) <= MOST_CLASSES:
        return _class_colours(name, np.searchsorted(known, column), [str(value) for value in known])
    values = column.astype(np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        grey = np.full((len(column), 4), MISSING, np.float32)
        return PointColours(grey, name, classes=[("not known in this run", MISSING_COLOUR)])
    low, high = np.percentile(values[finite], [1, 99])
    rgba = _mapped(np.clip(np.where(finite, values, low), low, high))
    rgba[~finite] = MISSING
    return PointColours(rgba, name, f"{low:,.5g}", f"{high:,.5g}")


def cluster_colours(clustering: Clustering) -> PointColours:
    """Colour by cluster; the legend counts the particles, and noise is grey."""
    names = [f"{number}: {size:,}" for number, size in enumerate(clustering.sizes)]
    colours = _class_colours("cluster", np.maximum(clustering.labels, 0), names)
    noise = clustering.labels == NO_CLUSTER
    colours.rgba[noise] = MISSING
    stray = [(f"none: {noise.sum():,}", MISSING_COLOUR)] if noise.any() else []
    return replace(colours, classes=[*stray, *colours.classes])


def with_sets(rgba: RGBA, sets: Sequence[ParticleSet]) -> RGBA:
    """Colours (N, 4) with the visible sets in their own; a particle in several has that of the last."""
    painted = rgba.copy()
    for kept in sets:
        if kept.visible:
            painted[kept.indices, :3] = _rgb(kept.colour)
    return painted


def raster(
    coordinates: npt.NDArray[np.float32],
    rgba: RGBA,
    rectangle: tuple[float, float, float, float],
    shape: tuple[int, int],
) -> npt.NDArray[np.uint8]:
    """Paint points as an image: mean colour per cell, more opaque where there are more points.

    Parameters
    ----------
    coordinates : (N, 2).
    rgba : (N, 4).
    rectangle : left, bottom, width, height of the view in the units of `coordinates`.
    shape : rows (upwards) and columns of the image.

    Returns
    -------
    (rows, columns, 4) uint8; row 0 is the bottom.
    """
    left, bottom, width, height = rectangle
    rows, columns = shape
    x, y = coordinates.T
    column, row = (x - left) * (columns / width), (y - bottom) * (rows / height)
    seen = np.flatnonzero((column >= 0) & (column < columns) & (row >= 0) & (row < rows))
    cell = row[seen].astype(np.intp) * columns + column[seen].astype(np.intp)
    count = np.bincount(cell, minlength=rows * columns)
    image = np.zeros((rows * columns, 4), np.float64)
    for channel in range(3):
        image[:, channel] = np.bincount(cell, weights=rgba[seen, channel], minlength=rows * columns)
    image[:, :3] /= np.maximum(count, 1)[:, None]
    filled = count[count > 0]
    full = max(float(np.percentile(filled, 95)) if len(filled) else 1.0, 1.0)
    image[:, 3] = np.where(count > 0, 0.45 + 0.55 * np.minimum(np.log1p(count) / np.log1p(full), 1.0), 0.0)
    return (image.reshape(rows, columns, 4) * 255).round().astype(np.uint8)


def colour_map_steps(count: int) -> list[str]:
    """`count` hexadecimal colours along the map for numbers, for a legend."""
    return [str(colour) for colour in get_colormap(NUMBER_MAP)[np.linspace(0, 1, count)].hex]


def _classes(column: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Numbers (N,) of the different values of a column, and their names; sorting a million texts would take seconds."""
    values = column.tolist()
    names = sorted(set(values))
    number = {name: i for i, name in enumerate(names)}
    return np.fromiter(map(number.__getitem__, values), np.int64, len(values)), list(map(str, names))


def _class_colours(label: str, code: npt.NDArray[np.integer[Any]], names: Sequence[str]) -> PointColours:
    """Colours of classes numbered by `code` (N,) from 0; after MOST_CLASSES they come again."""
    wheel = np.array([_rgb(colour) for colour in PALETTE], dtype=np.float32)
    rgba = np.ones((len(code), 4), np.float32)
    rgba[:, :3] = wheel[code % MOST_CLASSES]
    classes = [(name, PALETTE[i % MOST_CLASSES]) for i, name in enumerate(names[:MOST_CLASSES])]
    if len(names) > MOST_CLASSES:
        classes.append((f"and {len(names) - MOST_CLASSES} more in the same colours again", ""))
    return PointColours(rgba, label, classes=classes)


def _mapped(values: npt.NDArray[Any]) -> RGBA:
    span = float(np.ptp(values)) if len(values) else 0.0
    share = (values - values.min()) / span if span > 0 else np.full(len(values), 0.5)
    # the darkest end of the map would vanish on the dark canvas
    table = get_colormap(NUMBER_MAP)[np.linspace(0.12, 1.0, 256)].rgba.astype(np.float32)
    return np.asarray(table[(share * 255).round().astype(np.int64)])


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue
