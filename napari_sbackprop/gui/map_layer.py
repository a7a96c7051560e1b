"""One layer of a napari viewer that shows maps: as a surface, as a volume, or as a slice through it."""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.gui.surface import MapFrame

METADATA_KEY = "napari_sbackprop"
LOADING = threading.Lock()
"""Held while a layer is made: the first one loads napari's units, which two threads at a time would break."""

_BLUE, _ORANGE, _BLACK = [0.24, 0.47, 0.90, 1.0], [0.90, 0.56, 0.16, 1.0], [0.0, 0.0, 0.0, 1.0]
_WHITE = [0.86, 0.86, 0.84, 1.0]
_COLOURS = {
    "sbackprop map": [[0.10, 0.16, 0.24, 1.0], [0.53, 0.72, 0.93, 1.0]],
    "sbackprop pinned": [[0.26, 0.17, 0.07, 1.0], [0.96, 0.73, 0.40, 1.0]],
    "sbackprop ghost": [[0.2, 0.2, 0.2, 1.0], [0.75, 0.75, 0.75, 1.0]],
    "sbackprop less to more": [_ORANGE, _WHITE, _BLUE],
    "sbackprop less or more": [_ORANGE, _BLUE],
    "sbackprop slice": [_BLACK, [1.0, 1.0, 1.0, 1.0]],
    "sbackprop slice map": [_BLACK, [0.25, 0.55, 1.0, 1.0]],
    "sbackprop slice pinned": [_BLACK, [1.0, 0.55, 0.10, 1.0]],
    "sbackprop slice difference": [[1.0, 0.65, 0.20, 1.0], _BLACK, [0.35, 0.60, 1.0, 1.0]],
}


@dataclass(frozen=True)
class Paint:
    """Colours of a layer.

    Attributes
    ----------
    colours : one of ours, or a colour map of napari.
    limits : values that get the first and the last colour.
    opacity, blending : as napari has them.
    legend : whether a bar tells the values of the colours.
    """

    colours: str
    limits: tuple[float, float] = (0.0, 1.0)
    opacity: float = 1.0
    blending: str = "translucent"
    legend: bool = False


class MapLayer:
    """A layer that is made when there is something to show, and made anew when it was deleted.

    Parameters
    ----------
    viewer : napari viewer; only its public parts are used.
    name : of the layer; others may have the same.
    """

    def __init__(self, viewer: Any, name: str) -> None:
        self._viewer = viewer
        self._name = name
        self._made: Any = None
        self._shape: tuple[Any, ...] = ()  # what a layer cannot change, and thus has to be made anew for
        self._paint: Paint | None = None

    @property
    def layer(self) -> Any:
        """Our own layer, None where there is none."""
        return self._made if self._made is not None and self._made in self._viewer.layers else None

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        if (layer := self.layer) is not None:
            self._viewer.layers.remove(layer)
        self._made = None

    def show_surface(self, frame: MapFrame, paint: Paint, pixel_size: float) -> None:
        """Show the surface of a frame; without values it has the last of the colours."""
        values = np.ones(len(frame.vertices), np.float32) if frame.values is None else frame.values
        empty = not len(frame.faces)
        data = empty_surface(len(frame.volume) / 2) if empty else (frame.vertices, frame.faces, values)
        self._show("surface", data, paint, pixel_size, shading="smooth")

    def show_volume(
        self,
        data: npt.NDArray[np.float32],
        threshold: float,
        colours: str,
        voxel_size: float,
        corner: tuple[float, ...],
    ) -> None:
        """Show a volume in sigma, its first voxel at a corner in angstrom, as what lies above a threshold.

        In sigma, because the shader refines all samples above threshold - 0.2, an absolute number.
        """
        paint = Paint(colours, blending="translucent_no_depth")
        self._show("volume", data, paint, voxel_size, rendering="iso", translate=corner)
        self.set_threshold(threshold)

    def set_threshold(self, threshold: float) -> None:
        """Show what lies above another threshold, if a volume is shown."""
        if (layer := self.layer) is not None and self._shape[0] == "volume":
            layer.iso_threshold, layer.contrast_limits = threshold, (0.0, 1.75 * threshold)

    def show_slice(
        self, data: npt.NDArray[np.float32], axis: int, place: float, paint: Paint, pixel_size: float
    ) -> None:
        """Show the plane of a volume (M, M, M) across an axis of [z, y, x] at a place in voxels."""
        layer = self._show("slice", data, paint, pixel_size, depiction="plane", rendering="average")
        layer.plane.thickness = 1
        self.move_slice(axis, place)

    def move_slice(self, axis: int, place: float) -> None:
        """Show another plane of the volume."""
        if (layer := self.layer) is not None and self._shape[0] == "slice":
            centre = [(length - 1) / 2 for length in layer.data.shape]
            layer.plane.normal = tuple(float(index == axis) for index in range(3))
            layer.plane.position = tuple(place if index == axis else centre[index] for index in range(3))

    def _show(self, kind: str, data: Any, paint: Paint, pixel_size: float, **options: Any) -> Any:
        shape: tuple[Any, ...] = (kind, pixel_size)
        if kind != "surface":
            shape += (data.shape, options.get("translate"))
        layer = self.layer
        if layer is None or shape != self._shape:
            layer = self._add(kind, data, paint, pixel_size, options)
            self._shape, self._paint = shape, None
        else:
            # napari would work out all dimensions anew for each map, and paint its layer list once more
            with layer.events.data.blocker(), layer.events.thumbnail.blocker():
                layer.data = data
        if paint != self._paint:
            self._paint = paint
            layer.colormap, layer.contrast_limits = _colormap(paint.colours), paint.limits
            layer.opacity, layer.blending = paint.opacity, paint.blending
            layer.colorbar.visible = paint.legend
        return layer

    def _add(self, kind: str, data: Any, paint: Paint, pixel_size: float, options: dict[str, Any]) -> Any:
        from napari.layers import Image, Surface

        camera = self._viewer.scene.camera
        view = (camera.center, camera.zoom, camera.angles)
        layers, old = self._viewer.layers, self.layer
        selected = set(layers.selection)
        with LOADING:
            self._made = (Surface if kind == "surface" else Image)(
                data,
                name=self._name,
                scale=(pixel_size,) * 3,
                units=("angstrom",) * 3,
                colormap=_colormap(paint.colours),
                contrast_limits=paint.limits,
                **options,
            )
        place = len(layers) if old is None else layers.index(old) + 1
        with layers.selection.events.blocker_all():  # napari would paint the controls of what it selects
            layers.insert(place, self._made)  # known as ours to whoever hears of it
            layers.selection.clear()
            layers.selection.update(selected)
        if old is not None:  # until now, lest napari lays out a viewer without layers
            layers.remove(old)
            self._made.name, self._made.visible = old.name, old.visible
        camera.center, camera.zoom, camera.angles = view  # napari looks anew at the first layer of all
        return self._made


def empty_surface(place: float) -> tuple[Any, ...]:
    """What napari shows as nothing: it wants vertices, so a triangle of no size."""
    return np.full((3, 3), place, np.float32), np.array([[0, 1, 2]]), np.ones(3, np.float32)


def _colormap(name: str) -> Any:
    from napari.utils import Colormap

    return Colormap(_COLOURS[name], name=name, interpolation="linear") if name in _COLOURS else name
