"""Selected particles as a Points layer of napari, for its own tools and for other plugins."""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.analysis.axes import principal_directions
from napari_sbackprop.analysis.query import Values
from napari_sbackprop.analysis.selection import ParticleSelection
from napari_sbackprop.gui.explorer import Explorer
from napari_sbackprop.gui.explorer_model import ExplorerModel, Scene
from napari_sbackprop.gui.file_worker import FileWorker
from napari_sbackprop.gui.latest import Deliver
from napari_sbackprop.gui.map_layer import METADATA_KEY
from napari_sbackprop.gui.map_view import warm_up

Array = npt.NDArray[np.float32]

PARTICLE = "particle"
"""Feature: row in the run's STAR file, from 0."""
COMPONENTS = ("pc1", "pc2", "pc3")
"""Features: scores along the principal components of all latents."""
EVERY_PARTICLE = "all particles"
NOT_KEPT = "#ffffff"  # as the scatter shows what is selected
_SIZE = 0.01  # of a point, as a part of the box


class ParticleLayers:
    """Adds layers to one viewer.

    Parameters
    ----------
    viewer : napari viewer; only its public parts are used.
    deliver : runs a function on the main thread.
    """

    def __init__(self, viewer: Any, explorer: Explorer, deliver: Deliver) -> None:
        self._viewer = viewer
        self._explorer = explorer
        self._worker = FileWorker(deliver, explorer.model.complain)

    def add(self) -> None:
        """Add a layer of the selected particles; without a selection, of all."""
        model = self._explorer.model
        if (scene := model.scene) is None:
            return
        selection = model.selection or ParticleSelection(EVERY_PARTICLE, model.chosen, {})
        values, colour = self._explorer.queries.values, _colour(model)
        self._worker.submit(partial(points_layer, scene, selection, values, colour), self._on_made)

    def close(self) -> None:
        """End the thread."""
        self._worker.close()

    def _on_made(self, layer: Any) -> None:
        self._viewer.add_layer(layer)
        self._explorer.model.say(
            f"The layer {layer.name} has {len(layer.data):,} particles with their columns as features, at their first "
            "three principal components. Click its eye to see them around the map."
        )


def points_layer(scene: Scene, selection: ParticleSelection, values: Values, colour: str) -> Any:
    """A layer of particles at the first three principal components of all latents, with what is known of each.

    It is not seen at first, lest it hide the map. The cloud of all particles is as wide as the map's box, around the same
    centre, so that layers of one epoch share a space; the components themselves are features.

    Parameters
    ----------
    values : (N,) by name, which become features beside PARTICLE and COMPONENTS.
    colour : of the points, "#rrggbb".
    """
    from napari.layers import Points

    warm_up()
    scores = _principal_components(scene.latents)
    known = {PARTICLE: np.arange(scene.count), **dict(zip(COMPONENTS, scores.T, strict=True))}
    columns = {**known, **values, **known}  # in this order, and ours whatever the file calls its own
    side = scene.decoder.box * scene.decoder.pixel_size
    places = side * (0.5 + 0.5 * scores[:, ::-1] / (np.abs(scores).max() or 1.0))
    chosen = selection.indices
    return Points(
        places[chosen],
        name=selection.name,
        features={name: column[chosen] for name, column in columns.items()},
        face_color=colour,
        border_width=0,
        size=_SIZE * side,
        units=("angstrom",) * 3,
        axis_labels=COMPONENTS[::-1],
        metadata={
            METADATA_KEY: {
                "run": str(scene.run.path),
                "epoch": scene.epoch,
                "selection": selection.provenance,
            }
        },
        visible=False,
    )


def _principal_components(latents: Array) -> Array:
    """Scores (N, 3) of latents (N, Z) along COMPONENTS; 0 beyond Z."""
    scores = (latents - latents.mean(0)) @ principal_directions(latents)[:3].T
    return np.pad(scores, ((0, 0), (0, 3 - scores.shape[1])))


def _colour(model: ExplorerModel) -> str:
    """That of the set that is selected."""
    selected = model.selection
    known = {kept.name: kept.colour for kept in model.sets}
    return NOT_KEPT if selected is None else known.get(selected.name, NOT_KEPT)
