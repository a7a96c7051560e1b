"""The map as napari layers: a surface, or on a GPU a volume with a live threshold."""

import textwrap
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.gui.explorer_model import VOLUME, ExplorerModel, Scene
from napari_sbackprop.gui.no_decoder import NO_MAP
from napari_sbackprop.gui.surface import MapFrame

MAP_LAYER = "Map"
PINNED_LAYER = "Pinned map"
METADATA_KEY = "napari_sbackprop"
PLACEHOLDER = "placeholder"
"""Value under METADATA_KEY of a layer that waits for the first map."""
DIFFERENCE_LIMIT = 2.0  # sigma, ends of the colour scale beside a pinned map
FIRST_ANGLES = (10.0, -35.0, 20.0)  # degrees; oblique light shows the shape

_LOADING = threading.Lock()
"""Held while a layer is made: the first one loads napari's units, which two threads at a time would break."""
_NO_MAP = textwrap.fill(NO_MAP, 40)  # napari does not wrap what it writes
_PLAIN = [[0.10, 0.16, 0.24, 1.0], [0.53, 0.72, 0.93, 1.0]]
_LESS_TO_MORE = [[0.86, 0.36, 0.25, 1.0], [0.86, 0.86, 0.84, 1.0], [0.24, 0.47, 0.90, 1.0]]
_GREY = [[0.2, 0.2, 0.2, 1.0], [0.75, 0.75, 0.75, 1.0]]


class MapView:
    """Keeps the layers of one viewer equal to the model's frame.

    Beside a pinned map, the surface is coloured by what has more (blue) or less (red) density than the pinned one.

    Parameters
    ----------
    viewer : napari viewer; only its public parts are used.
    """

    def __init__(self, viewer: Any, model: ExplorerModel) -> None:
        self._viewer = viewer
        self._model = model
        self._layers: dict[str, Any] = {}
        self._framed = False
        model.events.scene.connect(self._on_scene_changed)
        model.events.frame.connect(self.update)
        model.events.pinned.connect(self._on_pinned_changed)
        model.events.contour.connect(self._on_contour_changed)
        model.events.renderer.connect(self._on_renderer_changed)

    def update(self) -> None:
        """Show the model's frame."""
        frame, scene = self._model.frame, self._model.scene
        if frame is None or scene is None:
            self._remove(MAP_LAYER)
            self._framed = False
            return
        if not self._framed:
            self._clear_placeholders()
        if self._model.renderer == VOLUME:
            self._show_volume(frame, scene)
        else:
            self._show_surface(frame, scene)
        if not self._framed:
            self._frame_the_view()

    def disconnect(self) -> None:
        """Follow the model no longer."""
        if self._says_why:
            self._clear_placeholders()
        events = self._model.events
        events.scene.disconnect(self._on_scene_changed)
        events.frame.disconnect(self.update)
        events.pinned.disconnect(self._on_pinned_changed)
        events.contour.disconnect(self._on_contour_changed)
        events.renderer.disconnect(self._on_renderer_changed)

    def _on_scene_changed(self, scene: Scene | None) -> None:
        """Say in place of the map why there is none."""
        lacks_map = scene is not None and not scene.has_decoder and self._model.frame is None
        if lacks_map and not self._says_why:
            data, options, _ = placeholder(1.0)
            with _LOADING:
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
        self._viewer.camera.angles = FIRST_ANGLES
        self._viewer.fit_to_view()
        self._viewer.scale_bar.visible = True

    def _show_surface(self, frame: MapFrame, scene: Scene) -> None:
        pinned = self._model.pinned
        if pinned is None:
            values, limits, name = np.ones(len(frame.vertices), np.float32), (0.0, 1.0), "sbackprop map"
        else:
            values = _difference_at(frame, pinned) / scene.sigma
            limits, name = (-DIFFERENCE_LIMIT, DIFFERENCE_LIMIT), "sbackprop difference"
        data = _surface_data(frame, values)
        layer = self._layer(MAP_LAYER)
        if layer is None:
            layer = self._add_surface(MAP_LAYER, data, scene, name, limits)
        else:
            # napari would work out all dimensions anew for each map, and paint its layer list once more
            with layer.events.data.blocker(), layer.events.thumbnail.blocker():
                layer.data = data
            if layer.colormap.name != name:
                layer.colormap, layer.contrast_limits = _colormap(name), limits
        layer.metadata[METADATA_KEY] = _metadata(frame, scene)

    def _add_surface(
        self, name: str, data: tuple[Any, ...], scene: Scene, colormap: str, limits: tuple[float, float]
    ) -> Any:
        with _LOADING:
            self._layers[name] = self._viewer.add_surface(
                data,
                name=name,
                colormap=_colormap(colormap),
                contrast_limits=limits,
                shading="smooth",
                scale=(scene.decoder.pixel_size,) * 3,
                units=("angstrom",) * 3,
            )
        return self._layers[name]

    def _show_volume(self, frame: MapFrame, scene: Scene) -> None:
        # In sigma units: the shader refines all samples above threshold - 0.2, an absolute number.
        data, contour = frame.smooth / scene.sigma, self._model.contour
        layer = self._layer(MAP_LAYER)
        if layer is not None:
            layer.data, layer.iso_threshold = data, contour
            layer.metadata[METADATA_KEY] = _metadata(frame, scene)
            return
        with _LOADING:
            self._layers[MAP_LAYER] = self._viewer.add_image(
                data,
                name=MAP_LAYER,
                rendering="iso",
                iso_threshold=contour,
                contrast_limits=(0.0, 1.75 * contour),
                colormap=_colormap("sbackprop map"),
                metadata={METADATA_KEY: _metadata(frame, scene)},
                scale=(scene.decoder.pixel_size,) * 3,
                units=("angstrom",) * 3,
            )

    def _on_renderer_changed(self) -> None:
        self._remove(MAP_LAYER)
        self.update()

    def _on_contour_changed(self, contour: float) -> None:
        layer = self._layer(MAP_LAYER)
        if self._model.renderer == VOLUME and layer is not None:
            layer.iso_threshold, layer.contrast_limits = contour, (0.0, 1.75 * contour)

    def _on_pinned_changed(self, pinned: MapFrame | None) -> None:
        self._remove(PINNED_LAYER)
        scene = self._model.scene
        if pinned is not None and scene is not None:
            values = np.ones(len(pinned.vertices), np.float32)
            data = _surface_data(pinned, values)
            layer = self._add_surface(PINNED_LAYER, data, scene, "sbackprop pinned", (0.0, 1.0))
            layer.opacity = 0.3
            layer.blending = "translucent"
            self._viewer.layers.selection.clear()
        self.update()

    def _layer(self, name: str) -> Any:
        """Our own layer, unless it was deleted; others may have any name."""
        layer = self._layers.get(name)
        return layer if layer is not None and layer in self._viewer.layers else None

    def _remove(self, name: str) -> None:
        if (layer := self._layer(name)) is not None:
            self._viewer.layers.remove(layer)


def warm_up() -> None:
    """Make a layer that nobody sees: the first one loads what takes napari two seconds. For a thread of its own."""
    from napari.layers import Surface

    data, options, _ = placeholder(1.0)
    with _LOADING:
        Surface(data, **options)


def placeholder(pixel_size: float) -> tuple[Any, ...]:
    """Layer data of an empty surface, which the first map replaces."""
    options = {
        "name": MAP_LAYER,
        "metadata": {METADATA_KEY: PLACEHOLDER},
        "scale": (pixel_size,) * 3,
        "units": ("angstrom",) * 3,
    }
    return _empty_surface(0.0), options, "surface"


def _surface_data(frame: MapFrame, values: npt.NDArray[np.float32]) -> tuple[Any, ...]:
    return (
        (frame.vertices, frame.faces, values) if len(frame.faces) else _empty_surface(len(frame.volume) / 2)
    )


def _empty_surface(place: float) -> tuple[Any, ...]:
    """What napari shows as nothing: it wants vertices, so a triangle of no size."""
    return np.full((3, 3), place, np.float32), np.array([[0, 1, 2]]), np.ones(3, np.float32)


def _difference_at(frame: MapFrame, pinned: MapFrame) -> npt.NDArray[np.float32]:
    """How much more density than `pinned` the map has at the nearest voxel to each vertex, in map units."""
    z, y, x = frame.vertices.round().astype(np.int64).T
    return np.asarray(frame.smooth[z, y, x] - pinned.smooth[z, y, x], dtype=np.float32)


def _metadata(frame: MapFrame, scene: Scene) -> dict[str, Any]:
    return {
        "run": str(scene.run.path),
        "epoch": scene.epoch,
        "title": frame.title,
        "threshold": frame.threshold,
    }


def _colormap(name: str) -> Any:
    from napari.utils import Colormap

    colours = {"sbackprop map": _PLAIN, "sbackprop difference": _LESS_TO_MORE, "sbackprop pinned": _GREY}[
        name
    ]
    return Colormap(colours, name=name, interpolation="linear")
