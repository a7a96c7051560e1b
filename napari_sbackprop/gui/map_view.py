"""The map in a napari viewer, alone or beside a pinned one."""

import logging
import textwrap
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_sbackprop.gui.explorer_model import (
    ALONE,
    BLINK,
    CHANGE,
    DIFFERENCE,
    DIFFERENCE_LIMIT,
    OVERLAY,
    SIDE_BY_SIDE,
    SLICE,
    SURFACE,
    VARIABILITY,
    VOLUME,
    ExplorerModel,
    Scene,
)
from napari_sbackprop.gui.map_layer import LOADING, METADATA_KEY, MapLayer, Paint, empty_surface
from napari_sbackprop.gui.mesh_shaders import keep_mesh_shaders
from napari_sbackprop.gui.no_decoder import NO_MAP
from napari_sbackprop.gui.session import State, numbers
from napari_sbackprop.gui.surface import COARSE_ABOVE, SIGN, MapFrame, box_around

logger = logging.getLogger(__name__)

MAP_LAYER = "Map"
PINNED_LAYER = "Pinned map"
PLACEHOLDER = "placeholder"
"""Value under METADATA_KEY of a layer that waits for the first map."""
FIRST_ANGLES = (10.0, -35.0, 20.0)  # degrees; oblique light shows the shape
_NO_MAP = textwrap.fill(NO_MAP, 40)  # napari does not wrap what it writes
BLINK_MILLISECONDS = 700


class MapView:
    """Keeps the layers of one viewer equal to the model's frames.

    Blue is what the map has more of than the pinned one, orange what it has less of.

    Parameters
    ----------
    viewer : napari viewer; only its public parts are used.

    Attributes
    ----------
    volume_step : voxels of a large map to one of its volume; 2 where the processor draws.
    """

    def __init__(self, viewer: Any, model: ExplorerModel) -> None:
        keep_mesh_shaders()
        self.volume_step = 1
        self._viewer = viewer
        self._model = model
        self._map, self._pinned = MapLayer(viewer, MAP_LAYER), MapLayer(viewer, PINNED_LAYER)
        self._pinned_shown: tuple[Any, ...] = ()
        self._framed = False
        self._camera: State = {}  # of a session, for the first map
        self._grid: tuple[Any, ...] | None = None  # the viewer's own, while ours is in its place
        self._blink = QTimer()
        self._blink.setInterval(BLINK_MILLISECONDS)
        self._blink.timeout.connect(self._on_blink)
        for signal, slot in self._slots():
            signal.connect(slot)

    def update(self) -> None:
        """Show the model's frames."""
        frame, scene = self._model.frame, self._model.scene
        if frame is None or scene is None:
            self._map.remove()
            self._framed = False
            return
        if not self._framed:
            self._clear_placeholders()
        self._show_map(frame, scene)
        self._show_pinned(frame, scene)
        if not self._framed:
            self._frame_the_view()

    def blink(self, seen: bool) -> None:
        """Blink while somebody sees it, if that is how the maps are compared."""
        try:
            if seen and self._model.comparison == BLINK:
                self._blink.start()
            else:
                self._blink.stop()
        except RuntimeError:  # Qt has already deleted it
            logger.debug("the window goes after the end of the program")

    def disconnect(self) -> None:
        """Follow the model no longer; the map stays in the viewer, alone."""
        if self._says_why:
            self._clear_placeholders()
        self._on_comparison_changed(ALONE)
        for signal, slot in self._slots():
            signal.disconnect(slot)

    def state(self) -> State:
        """Where the camera is, for a session."""
        camera = self._viewer.scene.camera
        return {"angles": list(camera.angles), "zoom": camera.zoom, "center": list(camera.center)}

    def restore(self, state: State) -> None:
        """Have the camera there when the first map of the run is on screen."""
        place = numbers([*state["angles"], *state["center"], state["zoom"]], np.float64).tolist()
        if len(place) != 7 or place[-1] <= 0:
            raise ValueError("no camera")
        self._camera = {"angles": tuple(place[:3]), "center": tuple(place[3:6]), "zoom": place[6]}

    def _slots(self) -> tuple[tuple[Any, Any], ...]:
        events = self._model.events
        return (
            (events.scene, self._on_scene_changed),
            (events.frame, self.update),
            (events.pinned, self._on_pinned_changed),
            (events.comparison, self._on_comparison_changed),
            (events.renderer, self._on_renderer_changed),
            (events.contour, self._on_contour_changed),
            (events.slice_axis, self._on_slice_changed),
            (events.slice_offset, self._on_slice_changed),
        )

    def _on_scene_changed(self, scene: Scene | None) -> None:
        """Say in place of the map why there is none."""
        if scene is None:
            self._camera = {}
        lacks_map = scene is not None and not scene.has_decoder and self._model.frame is None
        if lacks_map and not self._says_why:
            data, options, _ = placeholder(1.0)
            with LOADING:
                self._viewer.add_surface(data, **options)  # napari greets people on a canvas without layers
            self._viewer.layers.selection.clear()
            self._text.text, self._text.visible = _NO_MAP, True
        elif self._says_why and not lacks_map:
            self._clear_placeholders()

    @property
    def _text(self) -> Any:
        """What napari writes on its canvas."""
        return self._viewer.canvas.overlays.text

    @property
    def _says_why(self) -> bool:
        return bool(self._text.text == _NO_MAP)

    def _clear_placeholders(self) -> None:
        if self._says_why:
            self._text.text, self._text.visible = "", False
        for layer in list(self._viewer.layers):
            if layer.metadata.get(METADATA_KEY) == PLACEHOLDER:
                self._viewer.layers.remove(layer)

    def _frame_the_view(self) -> None:
        """Look at the first map of a run from where its shape shows."""
        self._framed = True
        self._viewer.layers.selection.clear()  # napari would paint a selected layer's controls anew with each map
        self._viewer.dims.ndisplay = 3
        self._viewer.scene.camera.angles = FIRST_ANGLES
        self._viewer.fit_to_view()
        self._viewer.scene.camera.update(self._camera)
        self._camera = {}
        self._viewer.canvas.overlays.scale_bar.visible = True

    # -- the layers --------------------------------------------------------------------------------------------------

    def _show_map(self, frame: MapFrame, scene: Scene) -> None:
        renderer = self._model.renderer
        if renderer == SLICE and frame.difference is not None:
            paint = Paint("sbackprop slice difference", (-DIFFERENCE_LIMIT, DIFFERENCE_LIMIT), legend=True)
            self._show_slice(self._map, frame.difference, paint, scene)
        elif renderer == SLICE:
            comparison = self._model.comparison
            colours = "sbackprop slice" if comparison == ALONE else "sbackprop slice map"
            paint = _slice_paint(colours, scene.contour_limit, comparison == OVERLAY)
            self._show_slice(self._map, frame.smooth, paint, scene)
        elif renderer == VOLUME and frame.difference is None:
            self._show_volume(self._map, frame, "sbackprop map", scene)
        else:
            self._map.show_surface(frame, _surface_paint(frame), scene.decoder.pixel_size)
        self._map.layer.metadata[METADATA_KEY] = _metadata(frame, scene)

    def _show_pinned(self, frame: MapFrame, scene: Scene) -> None:
        model, pinned = self._model, self._model.pinned
        comparison, renderer = model.comparison, model.renderer
        if pinned is None or comparison == ALONE or (comparison == DIFFERENCE and renderer == SLICE):
            self._pinned.remove()
            return
        wanted = (pinned, comparison, renderer, frame.meaning)
        if wanted == self._pinned_shown and self._pinned.layer is not None:
            return
        self._pinned_shown = wanted
        overlaid = comparison in (OVERLAY, DIFFERENCE)
        if renderer == SLICE:
            paint = _slice_paint("sbackprop slice pinned", scene.contour_limit, overlaid)
            self._show_slice(self._pinned, pinned.smooth, paint, scene)
        elif overlaid:
            colours = "sbackprop ghost" if frame.meaning else "sbackprop pinned"
            paint = Paint(colours, opacity=0.15 if comparison == DIFFERENCE else 0.3)
            self._pinned.show_surface(pinned, paint, scene.decoder.pixel_size)
        elif renderer == VOLUME:
            self._show_volume(self._pinned, pinned, "sbackprop pinned", scene)
        else:
            self._pinned.show_surface(pinned, Paint("sbackprop pinned"), scene.decoder.pixel_size)
        if comparison == SIDE_BY_SIDE:
            self._open_grid()

    def _show_volume(self, layer: MapLayer, frame: MapFrame, colours: str, scene: Scene) -> None:
        """Show the part that is not empty: the time of a volume goes into the steps through it."""
        step = self.volume_step if len(frame.smooth) > COARSE_ABOVE else 1
        pixel_size = scene.decoder.pixel_size
        inside = box_around(frame.smooth != 0, margin=step)
        data = frame.smooth[inside][::step, ::step, ::step] / scene.sigma
        corner = tuple(pixel_size * axis.start for axis in inside)
        layer.show_volume(data, self._model.contour, colours, step * pixel_size, corner)

    def _show_slice(self, layer: MapLayer, data: Any, paint: Paint, scene: Scene) -> None:
        layer.show_slice(
            data / scene.sigma,
            self._model.slice_axis,
            self._slice_place(scene),
            paint,
            scene.decoder.pixel_size,
        )

    def _slice_place(self, scene: Scene) -> float:
        """Place of the slice in voxels."""
        return scene.decoder.box // 2 + self._model.slice_offset / scene.decoder.pixel_size

    # -- from the model ----------------------------------------------------------------------------------------------

    def _on_pinned_changed(self) -> None:
        self._pinned_shown = ()
        self.update()

    def _on_comparison_changed(self, comparison: str) -> None:
        if comparison == ALONE or self._model.renderer != SURFACE:
            self._pinned.remove()  # it comes back after the map, which may get another kind of layer
        self._close_grid()
        if comparison == BLINK:
            self._blink.start()
        else:
            self._blink.stop()
            for layer in (self._map.layer, self._pinned.layer):
                if layer is not None:
                    layer.visible = True

    def _on_renderer_changed(self) -> None:
        self._pinned.remove()  # it comes back after the map, and is drawn above it
        self.update()

    def _on_contour_changed(self, contour: float) -> None:
        for layer in (self._map, self._pinned):
            layer.set_threshold(contour)

    def _on_slice_changed(self) -> None:
        if (scene := self._model.scene) is not None:
            for layer in (self._map, self._pinned):
                layer.move_slice(self._model.slice_axis, self._slice_place(scene))

    def _on_blink(self) -> None:
        """Show the other one of the two maps."""
        ours, pinned = self._map.layer, self._pinned.layer
        if ours is not None and pinned is not None:
            ours.visible = not ours.visible
            pinned.visible = not ours.visible

    # -- side by side ------------------------------------------------------------------------------------------------

    def _open_grid(self) -> None:
        """Give the map a view of its own, and all else that of the pinned one on its left; their cameras move together."""
        if self._grid is not None:
            return
        grid, camera, layers = self._viewer.canvas.grid, self._viewer.scene.camera, self._viewer.layers
        self._grid = (grid.enabled, grid.shape, grid.stride)
        self._divide_grid()
        for event in (layers.events.inserted, layers.events.removed):
            event.connect(self._on_layers_changed)
        camera.zoom = camera.zoom / 2

    def _on_layers_changed(self) -> None:
        if self._viewer.canvas.grid.enabled:  # nobody has closed it by hand
            self._divide_grid()

    def _divide_grid(self) -> None:
        """Put what lies above the lowest layer, which is the map, into one cell: others than ours have none of their own."""
        layers, ours = self._viewer.layers, self._map.layer
        if ours is not None and layers[0] is not ours:
            layers.move(layers.index(ours), 0)
        self._set_grid(True, (1, -1), -max(len(layers) - 1, 1))

    def _close_grid(self) -> None:
        if self._grid is not None:
            for event in (self._viewer.layers.events.inserted, self._viewer.layers.events.removed):
                event.disconnect(self._on_layers_changed)
            camera = self._viewer.scene.camera
            self._set_grid(*self._grid)
            self._grid = None
            camera.zoom = camera.zoom * 2

    def _set_grid(self, enabled: bool, shape: tuple[int, int], stride: int) -> None:
        """Change the grid in one step, where it is opened or closed: napari lays out all anew for each."""
        grid = self._viewer.canvas.grid
        if grid.enabled == enabled:
            grid.shape, grid.stride = shape, stride
            return
        with grid.events.shape.blocker(), grid.events.stride.blocker():
            grid.shape, grid.stride = shape, stride
        grid.enabled = enabled


def warm_up() -> None:
    """Make layers that nobody sees: the first ones load what takes napari two seconds. For a thread of its own."""
    from napari.layers import Image, Surface

    data, options, _ = placeholder(1.0)
    with LOADING:
        Surface(data, **options)
        Image(np.zeros((2, 2, 2), np.float32), depiction="plane")


def placeholder(pixel_size: float) -> tuple[Any, ...]:
    """Layer data of an empty surface, which the first map replaces."""
    options = {
        "name": MAP_LAYER,
        "metadata": {METADATA_KEY: PLACEHOLDER},
        "scale": (pixel_size,) * 3,
        "units": ("angstrom",) * 3,
    }
    return empty_surface(0.0), options, "surface"


def _surface_paint(frame: MapFrame) -> Paint:
    limit = frame.limit
    paints = {
        "": Paint("sbackprop map"),
        SIGN: Paint("sbackprop less or more", (-limit, limit)),
        CHANGE: Paint("sbackprop less to more", (-limit, limit), legend=True),
        VARIABILITY: Paint("viridis", (0.0, limit), legend=True),
    }
    return paints[frame.meaning]


def _slice_paint(colours: str, limit: float, overlaid: bool) -> Paint:
    """Colours of the density above 0; two slices that lie in each other add up."""
    return Paint(colours, (0.0, 0.9 * limit), blending="additive" if overlaid else "translucent")


def _metadata(frame: MapFrame, scene: Scene) -> dict[str, Any]:
    return {
        "run": str(scene.run.path),
        "epoch": scene.epoch,
        "title": frame.title,
        "threshold": frame.threshold,
    }
