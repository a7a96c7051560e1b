"""Reading an epoch of a run for the explorer; runs off the main thread."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_sbackprop.gui.explorer_model import PCA, UMAP, Columns, Scene
from napari_sbackprop.gui.no_decoder import NoDecoder
from napari_sbackprop.gui.projection import Projection, aligned
from napari_sbackprop.gui.thread_pools import one_thread
from napari_sbackprop.run_directory import RunDirectory


@dataclass(frozen=True, eq=False)
class BrokenEpoch:
    """An epoch that could not be loaded, and why."""

    run: RunDirectory
    epoch: int
    error: Exception


def load_scene(run: RunDirectory, epoch: int, previous: Scene | None) -> Scene:
    """Load one epoch. With the `previous` scene of the same run, orientation of the plot and contour unit carry over."""
    from napari_sbackprop.analysis.embedding import pca
    from napari_sbackprop.analysis.reconstruction import Decoder  # imports torch, hence here

    one_thread()
    encoded = run.read_latents(epoch)
    latents = encoded.mean
    coordinates = pca(latents)
    if previous is not None and previous.count == len(latents):
        coordinates = aligned(coordinates, previous.projections[PCA].coordinates)
    projections = {PCA: Projection.build(PCA, coordinates)}
    if (stored := run.read_embedding(epoch, UMAP)) is not None:
        projections[UMAP] = Projection.build(UMAP, stored.coordinates)
    if not run.has_model(epoch):
        description = run.read_description(epoch)
        none = NoDecoder(int(description["box"]), float(description["pixel_size"]))
        return Scene(run, epoch, latents, encoded.contrast, projections, none)
    decoder = Decoder.open(run, epoch)
    scene = Scene(run, epoch, latents, encoded.contrast, projections, decoder)
    return scene.contoured_by(decoder.consensus())


def newer_scene(run: RunDirectory, present: Scene | None, broken: int | None) -> Scene | BrokenEpoch | None:
    """Load the newest epoch, or return None if it is the one on screen, known to be broken, or not there yet."""
    epochs = run.epochs()
    if not epochs or epochs[-1] == broken or (present is not None and present.epoch >= epochs[-1]):
        return None
    try:
        return load_scene(run, epochs[-1], present)
    except Exception as error:  # whatever a damaged file makes torch or numpy raise
        return BrokenEpoch(run, epochs[-1], error)


def load_columns(run: RunDirectory, count: int) -> Columns:
    """Columns of the run's STAR file."""
    from napari_sbackprop.data.star import read_columns

    values = {name: column for name, column in read_columns(run.star_path).items() if len(column) == count}
    return Columns(values, tuple(sorted(name for name, column in values.items() if _tells(column))))


def _tells(column: npt.NDArray[np.generic]) -> bool:
    """Whether colouring by a column says something: it is neither constant, nor different text in every row."""
    if column.dtype.kind in "iufb":
        return bool((column != column[0]).any())
    return 1 < len(np.unique(column)) <= max(50, len(column) // 20)
