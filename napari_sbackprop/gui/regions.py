"""The controller of a region of the map, by which particles are ranked. Knows no Qt."""

import operator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from psygnal import SignalGroupDescriptor

from napari_sbackprop.analysis.region import Sphere, Vector, region_densities, seen_place
from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.explorer_model import REGION_DENSITY, ExplorerModel, Scene
from napari_sbackprop.gui.latest import Deliver, LatestWorker
from napari_sbackprop.gui.no_decoder import NO_MAP
from napari_sbackprop.gui.selections import Selections

Array = npt.NDArray[np.float32]

_FIRST_RADIUS = 0.06  # of the box


@dataclass
class RegionModel:
    """A sphere in the map.

    Attributes
    ----------
    sphere : None before one was placed.
    radius : Å, of the next sphere; 0 before a run with maps is open.
    side : Å, of the map.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        equality_operators={"sphere": operator.is_}
    )

    sphere: Sphere | None = None
    radius: float = 0.0
    side: float = 0.0


class Regions:
    """Ranks the particles of the scene by the density in one sphere.

    Parameters
    ----------
    scenes : model of the explorer; gets `region_density`.
    selections : get what is to be selected.
    deliver : runs a function on the thread that owns the models.
    """

    def __init__(self, scenes: ExplorerModel, selections: Selections, deliver: Deliver) -> None:
        self.model = RegionModel()
        self._scenes = scenes
        self._selections = selections
        self._worker = LatestWorker(deliver, "sbackprop-regions")
        self._known: tuple[Scene, Array] | None = None  # coefficients, of the worker's thread
        scenes.events.scene.connect(self._on_scene_changed)

    def place(self, centre: Vector) -> None:
        """Put the sphere at (x, y, z) in Å."""
        if self._scenes.scene is not None:
            self._put(Sphere(centre, self.model.radius))

    def place_seen(self, origin: Vector, direction: Vector) -> None:
        """Put the sphere where a line of sight meets the map on screen: a point and a direction [z, y, x] in Å."""
        scene, frame = self._scenes.scene, self._scenes.frame
        if scene is None or frame is None:
            return
        pixel = scene.decoder.pixel_size
        z, y, x = (value / pixel for value in origin)
        if (found := seen_place(frame.smooth, frame.threshold, (z, y, x), direction)) is not None:
            z, y, x = (value * pixel for value in found)
            self.place((x, y, z))

    def resize(self, radius: float) -> None:
        """Give the sphere another radius in Å."""
        self.model.radius = radius
        if self.model.sphere is not None:
            self._put(Sphere(self.model.sphere.centre, radius))

    def select(self, least: float) -> None:
        """Select the particles whose maps have at least this mean density in the sphere, in sigma."""
        scene, sphere, density = self._scenes.scene, self.model.sphere, self._scenes.region_density
        if scene is not None and sphere is not None and density is not None:
            made = {"region": [*sphere.centre, sphere.radius], "min_density": least * scene.sigma}
            self._selections.select(np.flatnonzero(density >= least), made)

    def clear(self) -> None:
        """Forget the sphere, and the map that it was in."""
        self._worker.invalidate()
        self.model.sphere = self._scenes.region_density = None
        self.model.radius = self.model.side = 0.0

    def close(self) -> None:
        """End the thread and follow the scenes no longer."""
        self._scenes.events.scene.disconnect(self._on_scene_changed)
        self._worker.close()

    def _put(self, sphere: Sphere) -> None:
        self.model.sphere = sphere
        self._scenes.colour = REGION_DENSITY
        self._rank()

    def _on_scene_changed(self, scene: Scene | None) -> None:
        from napari_sbackprop.analysis.reconstruction import Decoder

        if scene is None or not isinstance(scene.decoder, Decoder):
            return
        self.model.side = scene.decoder.box * scene.decoder.pixel_size
        if not self.model.radius:
            self.model.radius = round(_FIRST_RADIUS * self.model.side)
        if self.model.sphere is not None:
            self._rank()

    def _rank(self) -> None:
        scene, sphere = self._scenes.scene, self.model.sphere
        if scene is not None and sphere is not None:
            self._worker.submit(partial(self._densities, scene, sphere), self._on_ranked, self._on_error)

    def _densities(self, scene: Scene, sphere: Sphere) -> Array:
        from napari_sbackprop.analysis.reconstruction import Decoder

        if not isinstance(scene.decoder, Decoder):
            raise InputError(NO_MAP)
        if self._known is None or self._known[0] is not scene:
            self._known = (scene, scene.decoder.coefficients(scene.latents))
        return region_densities(scene.decoder, self._known[1], sphere) / np.float32(scene.sigma)

    def _on_ranked(self, densities: Array) -> None:
        self._scenes.region_density = densities
        share = densities.mean()
        self._scenes.say(f"Mean density in the sphere: {share:.2f} σ over all particles.")

    def _on_error(self, error: Exception) -> None:
        self._scenes.region_density = None
        self._scenes.complain(error)
