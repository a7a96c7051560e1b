"""The region as a napari layer, and the clicks on the map that place it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.gui.explorer import Explorer
from napari_sbackprop.gui.explorer_model import SIDE_BY_SIDE

REGION_LAYER = "Region"
_OPACITY = 0.45
_RINGS = 24
_COLOUR = "orange"


class RegionView:
    """Shows the sphere while its tool is in hand; then a click on the map, without a drag, places it.

    Two maps side by side have a view each, and so would the sphere: it is not shown beside them.

    Parameters
    ----------
    viewer : napari viewer; only its public parts are used.
    """

    def __init__(self, viewer: Any, explorer: Explorer) -> None:
        self._viewer = viewer
        self._model = explorer.model
        self._regions = explorer.regions
        self._layer: Any = None
        self._active = False
        self._click = self._on_mouse  # the same object, to be found again
        viewer.mouse_drag_callbacks.append(self._click)
        self._regions.model.events.sphere.connect(self.update)
        self._model.events.comparison.connect(self.update)

    def set_active(self, active: bool) -> None:
        """Show the sphere and take clicks, or neither."""
        self._active = active
        self.update()

    def update(self) -> None:
        """Show the model's sphere."""
        sphere = self._regions.model.sphere
        if self._layer is not None and self._layer not in self._viewer.layers:
            self._layer = None  # somebody has deleted it
        if not self._active or sphere is None or self._model.comparison == SIDE_BY_SIDE:
            self._remove()
            return
        vertices, faces = _ball()
        place = np.array(sphere.centre[::-1], np.float32)
        data = (place + sphere.radius * vertices, faces)
        if self._layer is None:
            self._layer = self._add(data)
        else:
            self._layer.data = data

    def disconnect(self) -> None:
        """Follow the model and the mouse no longer, and take the sphere out of the viewer."""
        self._remove()
        self._regions.model.events.sphere.disconnect(self.update)
        self._model.events.comparison.disconnect(self.update)
        if self._click in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._click)

    def _remove(self) -> None:
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None

    def _add(self, data: tuple[Any, ...]) -> Any:
        layer = self._viewer.add_surface(
            data,
            name=REGION_LAYER,
            colormap=_COLOUR,
            opacity=_OPACITY,
            blending="translucent_no_depth",
            shading="none",
            units=("angstrom",) * 3,
        )
        self._viewer.layers.selection.clear()
        return layer

    def _on_mouse(self, _viewer: Any, event: Any) -> Iterator[None]:
        if not self._active or event.view_direction is None:
            return
        origin, direction = tuple(event.position), tuple(event.view_direction)
        yield
        if event.type == "mouse_release":  # without a drag, which turns the view
            self._regions.place_seen(origin, direction)


def _ball() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Vertices (V, 3) and faces (F, 3) of a sphere of radius 1."""
    polar, around = np.meshgrid(
        np.linspace(0, np.pi, _RINGS), np.linspace(0, 2 * np.pi, 2 * _RINGS), indexing="ij"
    )
    vertices = np.stack(
        [np.cos(polar), np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around)], axis=-1
    )
    index = np.arange(polar.size).reshape(polar.shape)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    return vertices.reshape(-1, 3).astype(np.float32), faces
