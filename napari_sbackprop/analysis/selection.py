"""Selections of particles, and how they are made and exported."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.array_pickle import write_arrays
from napari_sbackprop.data.cryosparc import IMAGES
from napari_sbackprop.data.cryosparc_file import find_passthrough, match_uids, read_rows
from napari_sbackprop.data.cryosparc_subset import write_cryosparc_subset
from napari_sbackprop.data.half_sets import describe_imbalance
from napari_sbackprop.data.image_names import IMAGE_NAME, ORIGINAL_NAME
from napari_sbackprop.data.output_file import new_file, require_ending, require_room
from napari_sbackprop.data.star import read_columns
from napari_sbackprop.data.subset import write_subset
from napari_sbackprop.data.subtraction import write_reverted
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

REPLACE, ADD, SUBTRACT, INTERSECT = "replace", "add", "subtract", "intersect"
SELECTION = "selection"
"""Name of particles that nobody has named."""
STEPS = "steps"
ENDINGS = (".star", ".cs", ".pkl")
"""Of files that hold particles, for RELION, cryoSPARC and cryoDRGN."""
_FEW = 20_000  # points that are sooner looked at singly than put into cells
_CELLS = 64  # along a side of the grid that sorts points
_MARGIN = 1e-6  # of a cell

_OPERATIONS: dict[str, Callable[[Mask, Mask], Mask]] = {
    ADD: lambda first, other: first | other,
    SUBTRACT: lambda first, other: first & ~other,
    INTERSECT: lambda first, other: first & other,
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ParticleSelection:
    """A named set of particles.

    Attributes
    ----------
    name : for people and file names.
    indices : (n,) sorted, unique rows of the run's particles.
    provenance : how it was made (polygon, cluster, epoch ...), JSON-able.
    """

    name: str
    indices: Indices
    provenance: dict[str, Any]


def combination(control: bool, alt: bool) -> str:
    """How keys held down join what is found to the selection: Ctrl adds, Alt subtracts, both intersect; "" for none."""
    return {(True, False): ADD, (False, True): SUBTRACT, (True, True): INTERSECT}.get((control, alt), "")


def combined(selection: ParticleSelection | None, other: ParticleSelection, how: str) -> ParticleSelection:
    """Replace a selection by another one, add it, subtract it, or intersect with it; none stands for no particle."""
    if how == REPLACE:
        return other
    first = _indices(selection)
    count = 1 + max(first.max(initial=-1), other.indices.max(initial=-1))
    joined = _OPERATIONS[how](_mask(first, count), _mask(other.indices, count))
    return ParticleSelection(
        SELECTION, np.flatnonzero(joined), {STEPS: [*_steps(selection), {how: _steps(other)}]}
    )


def inverted(selection: ParticleSelection | None, count: int) -> ParticleSelection:
    """The other ones of N = `count` particles."""
    rest = np.flatnonzero(~_mask(_indices(selection), count))
    return ParticleSelection(SELECTION, rest, {STEPS: [*_steps(selection), "invert"]})


def _indices(selection: ParticleSelection | None) -> Indices:
    return np.zeros(0, np.int64) if selection is None else selection.indices


def _mask(indices: Indices, count: int) -> Mask:
    mask = np.zeros(count, dtype=bool)
    mask[indices] = True
    return mask


def _steps(selection: ParticleSelection | None) -> list[Any]:
    return [] if selection is None else list(selection.provenance.get(STEPS, [selection.provenance]))


def checked_indices(values: npt.ArrayLike, count: int, source: str) -> Indices:
    """Sorted unique indices from an array of integers or a boolean mask; refuses what does not fit N particles."""
    array = np.asarray(values)
    if array.dtype == bool and array.shape == (count,):
        array = np.flatnonzero(array)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"{source} must hold one row of particle numbers (from 0) or {count} true/false values."
        )
    if array.size and (array.min() < 0 or array.max() >= count):
        wrong = array[(array < 0) | (array >= count)][0]
        raise InputError(f"{source} names particle {wrong}, but the run has particles 0 to {count - 1}.")
    return np.unique(array).astype(np.int64)


def inside_polygon(points: npt.NDArray[np.floating], vertices: npt.ArrayLike) -> Indices:
    """Rows of points (N, 2) inside the polygon with vertices (V, 2); the outline closes itself."""
    import shapely

    try:
        vertices = np.asarray(vertices, dtype=np.float64)
    except (TypeError, ValueError):
        vertices = np.empty(0)
    if vertices.ndim != 2 or vertices.shape[1] != 2 or len(vertices) < 3 or not np.isfinite(vertices).all():
        raise InputError("A polygon must be a list of at least three vertices [x, y], all finite numbers.")
    region = shapely.make_valid(shapely.Polygon(vertices))  # a hand-drawn outline may cross itself
    return _inside(points, region)


def along_path(
    points: npt.NDArray[np.floating], path: npt.NDArray[np.float64], radii: tuple[float, float]
) -> Indices:
    """Rows of points (N, 2) that a brush passes on its path (V, 2); its tip is an ellipse with radii (x, y)."""
    return _inside(points, _brushed(path, radii))


def brush_outline(path: npt.NDArray[np.float64], radii: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Outline (V, 2) of what a brush passes on its path, without the holes that it leaves."""
    return np.asarray(_brushed(path, radii).exterior.coords)


def _brushed(path: npt.NDArray[np.float64], radii: tuple[float, float]) -> Any:
    """The region that a brush passes."""
    import shapely

    scaled = np.asarray(path) / radii
    line = shapely.LineString(scaled) if len(scaled) > 1 else shapely.Point(scaled[0])
    return shapely.transform(line.buffer(1.0), lambda vertices: vertices * radii)


def _inside(points: npt.NDArray[np.floating], region: Any) -> Indices:
    """Rows of points (N, 2) in a geometry of shapely; only those in cells that its outline crosses are looked at singly."""
    import shapely

    low, high = np.reshape(region.bounds, (2, 2))
    x, y = points.T
    close = np.flatnonzero((x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1]))
    x, y = x[close], y[close]
    shapely.prepare(region)
    if len(close) <= _FEW:
        return close[shapely.contains_xy(region, x, y)]
    step = np.maximum((high - low) / _CELLS, np.finfo(float).tiny)
    column = np.minimum((x - low[0]) / step[0], _CELLS - 1).astype(np.int64)
    row = np.minimum((y - low[1]) / step[1], _CELLS - 1).astype(np.int64)
    cell = row * _CELLS + column
    covered, crossed = _cells(region, low, step)
    inside = covered[cell]
    unsure = np.flatnonzero(crossed[cell])
    inside[unsure] = shapely.contains_xy(region, x[unsure], y[unsure])
    return close[inside]


def _cells(region: Any, low: npt.NDArray[np.float64], step: npt.NDArray[np.float64]) -> tuple[Mask, Mask]:
    """Which cells of a grid lie in a geometry, and which its outline crosses: (_CELLS * _CELLS,) each, x fastest."""
    import shapely

    row, column = np.divmod(np.arange(_CELLS * _CELLS), _CELLS)
    # a little larger than they are, so that rounding puts no point into a wrong cell
    left, right = (low[0] + (column + shift) * step[0] for shift in (-_MARGIN, 1 + _MARGIN))
    bottom, top = (low[1] + (row + shift) * step[1] for shift in (-_MARGIN, 1 + _MARGIN))
    boxes = shapely.box(left, bottom, right, top)
    covered = shapely.contains_properly(region, boxes)
    return covered, ~covered & shapely.intersects(region, boxes)


def nearest(latents: npt.NDArray[np.floating], place: npt.NDArray[np.floating], count: int) -> Indices:
    """Rows of the `count` latents (N, Z) nearest to a place (Z,), ascending."""
    offset = latents - place
    distance = np.einsum("nz,nz->n", offset, offset)
    count = min(count, len(latents))
    return np.sort(np.argpartition(distance, count - 1)[:count])


def export_selection(
    run: RunDirectory,
    selection: ParticleSelection,
    output: Path,
    original: Path | None = None,
    unique_images: bool = False,
    revert: bool = False,
) -> int:
    """Write the selected particles to a file, beside a note that says how they were chosen.

    Rows keep their text or their bytes. Half sets that are uneven are a warning.

    Parameters
    ----------
    output : new file; .star, .cs for cryoSPARC, or .pkl for the rows as cryoDRGN's --ind takes them.
    original : another file of the same images, for example before binning, in the format of `output`; for .pkl, the
        file whose rows are meant.
    unique_images : keep the first of several rows of one image (symmetry expansion).
    revert : name the images before subtraction (`data.subtraction.write_reverted`); for STAR files of the run's rows.

    Returns
    -------
    Number of rows written.
    """
    if selection.indices.size == 0:
        raise InputError(
            f"The selection {selection.name!r} is empty: select at least one particle before exporting."
        )
    indices, output = selection.indices, Path(output)
    require_ending(output, *ENDINGS)
    if revert and (original is not None or output.suffix != ".star"):
        raise InputError(f"{output} cannot hold reverted particles: name it .star, and give no --original.")
    if unique_images:
        from napari_sbackprop.data.image_matching import first_of_each_image

        indices = first_of_each_image(run.star_path, indices, ORIGINAL_NAME if revert else IMAGE_NAME)
    source = _source(run, output, original)
    if original is not None:
        indices = _rows_in(original, run, indices, unique_images)
    origin = str(run.path.resolve())
    record = {"name": selection.name, "run": origin, "source": str(source), "count": len(indices)}
    record |= {"reverted": True} if revert else {}
    document = {**record, **selection.provenance, "indices": selection.indices.tolist()}
    require_room(output)  # neither file is written where one of them cannot be
    with new_file(note_path(output)) as temporary:
        temporary.write_text(json.dumps(document) + "\n")
        if revert:
            write_reverted(source, indices, output, run.source, run.path_map)
        half_set = _half_sets(output) if revert else _write(run, source, indices, output)
    if half_set is not None and (imbalance := describe_imbalance(half_set)):
        logger.warning("%s %s", output, imbalance)
    return len(indices)


def note_path(output: Path) -> Path:
    """The note beside an exported selection."""
    return output.with_name(output.name.removesuffix(".star") + ".json")


def _source(run: RunDirectory, output: Path, original: Path | None) -> Path:
    """The file whose rows are exported; refuses one of another format than the output."""
    if output.suffix == ".cs" and original is None and not run.cryosparc_path.is_file():
        raise InputError(
            f"{run.path} was not trained on a .cs file, so it has no rows for {output}: give the .cs file of the "
            "same images with --original, or name the output .star."
        )
    source = original or (run.cryosparc_path if output.suffix == ".cs" else run.star_path)
    if output.suffix != ".pkl" and (source.suffix == ".cs") != (output.suffix == ".cs"):
        raise InputError(f"{source} cannot be written as {output}: give both the same ending, .star or .cs.")
    return source


def _rows_in(original: Path, run: RunDirectory, indices: Indices, unique: bool) -> Indices:
    """Rows of another file that hold the particles: by uid where both files are cryoSPARC's, else by image."""
    if original.suffix == ".cs" and run.cryosparc_path.is_file():
        ours = read_rows(run.cryosparc_path)[indices]
        return np.sort(match_uids(run.cryosparc_path, ours, original, read_rows(original)))
    from napari_sbackprop.data.image_matching import matching_rows

    return matching_rows(run.star_path, indices, original, unique)


def _write(run: RunDirectory, source: Path, indices: Indices, output: Path) -> npt.NDArray[np.int64] | None:
    """Write the rows; gives their half sets where they are known."""
    if output.suffix == ".pkl":
        write_arrays(output, indices)
        return None
    if output.suffix == ".cs":
        own = source == run.cryosparc_path
        passthrough = run.passthrough_paths if own else find_passthrough(source, IMAGES)
        return write_cryosparc_subset(source, passthrough, indices, output)
    write_subset(source, indices, output)
    return _half_sets(output)


def _half_sets(star: Path) -> npt.NDArray[np.int64] | None:
    """Half sets (n,) of a STAR file's particles, 0 for unknown; None where it has none."""
    label = "rlnRandomSubset"
    half_set = read_columns(star, (label,)).get(label)
    if half_set is None or half_set.dtype.kind != "i":
        return None
    return np.where((half_set == 1) | (half_set == 2), half_set, 0)
