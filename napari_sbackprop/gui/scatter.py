"""The scatter of particles: a vispy canvas with crosshair, lasso, rectangle, brush and path."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import qtpy
from psygnal import Signal
from qtpy.QtCore import QTimer
from vispy import app, scene
from vispy.color import Color
from vispy.util import keys
from vispy.visuals.transforms import STTransform

from napari_sbackprop.analysis.selection import brush_outline, combination
from napari_sbackprop.gui.crosshair import Crosshair
from napari_sbackprop.gui.opengl import is_software, renderer_name
from napari_sbackprop.gui.point_colours import raster

Point = tuple[float, float]
Marked = npt.NDArray[np.int64] | Sequence[int]

BACKGROUND = "#1c1f24"
MARKED = "#ffffff"
PATH_COLOURS = (("#000000", 6), ("#ff6f61", 3))  # a rim, to be seen on any colour; with widths in pixels
SHORTEST_LINE = 5  # pixels; a click with a trembling hand draws no line
MOST_MARKERS_IN_SOFTWARE = 20_000  # beyond, an image of the density draws faster than the points
RASTER_PIXEL = 2  # screen pixels per cell
MOST_IN_MOTION = 200_000  # points of the image while the view moves
REST_MILLISECONDS = 150  # without a move, until the image has all of them
ZOOM_PER_STEP = 1.15
MARGIN = 0.06
EXPLORE, LASSO, RECTANGLE, BRUSH = "explore", "lasso", "rectangle", "brush"
CLUSTERS, PATH, REGION, PAN = "clusters", "path", "region", "pan"
OUTLINED = (LASSO, RECTANGLE, BRUSH)
LEFT, RIGHT, MIDDLE = 1, 2, 3


class Scatter:
    """Draws particles in a plane and tells what the mouse does there.

    The left button does what `mode` says: it shows the map at a point (click and drag), selects by a lasso, a rectangle
    or a brush, points at a cluster, draws a path, or moves the view; with Shift it always draws a lasso. The right or the
    middle button moves the view, the wheel zooms, a double click with the right button fits the view.

    Signals
    -------
    picked : x, y, and whether the mouse rests there; while it drags, a coarse map will do.
    lassoed : (V, 2) float64, vertices of the outline, and how to join what is inside to the selection.
    pointed : x, y of a click on a cluster, and how to join it.
    traced : (V, 2) float64, a path that was drawn.
    joined : x, y of a click where the path goes on.
    brushed : (V, 2) float64, path of the brush; its radii in x and y; and how to join.
    """

    picked = Signal(float, float, bool)
    lassoed = Signal(object, str)
    brushed = Signal(object, object, str)
    pointed = Signal(float, float, str)
    traced = Signal(object)
    joined = Signal(float, float)

    def __init__(self, software: bool | None = None) -> None:
        app.use_app(qtpy.API_NAME.lower())
        self.mode = EXPLORE
        self.brush_radius = 16  # pixels
        # Qt swaps the buffers of the whole window; a canvas that did so as well would wait for the drawing twice
        self.canvas = scene.SceneCanvas(keys=None, show=False, bgcolor=BACKGROUND, autoswap=False)
        self._software = software
        self._view = self.canvas.central_widget.add_view()
        self._camera = scene.PanZoomCamera(rect=(-1, -1, 2, 2), interactive=False)
        self._view.camera = self._camera
        self._coordinates = np.zeros((0, 2), np.float32)
        self._rgba = np.zeros((0, 4), np.float32)
        self._painted = (
            self._rgba
        )  # what the image shows: the colours, and the selected if they are too many for markers
        self._marked_indices: Marked = ()
        self._marked_in_image = False
        self._trail: list[Point] = []
        self._drag: str | None = None
        self._how = ""
        self._moved = False
        self._last: npt.NDArray[np.float64] = np.zeros(2)
        self._crosshair = Crosshair(self.canvas.native)
        self._crosshair_at: Point | None = None
        self._crosshair_outside = False
        self._add_visuals()
        self._resting = QTimer(self.canvas.native)
        self._resting.setSingleShot(True)
        self._resting.setInterval(REST_MILLISECONDS)
        self._resting.timeout.connect(lambda: self._draw_raster())
        events = self.canvas.events
        for event in (events.mouse_press, events.mouse_move, events.mouse_release, events.mouse_wheel):
            event.disconnect()  # vispy would draw the scene once more at each press, to find what was hit
        events.mouse_press.connect(self._on_mouse_press)
        events.mouse_move.connect(self._on_mouse_move)
        events.mouse_release.connect(self._on_mouse_release)
        events.mouse_wheel.connect(self._on_mouse_wheel)
        events.mouse_double_click.connect(self._on_mouse_double_click)
        events.resize.connect(self._on_resize, position="last")  # when the view has its new size

    def _add_visuals(self) -> None:
        parent = self._view.scene
        self._image = scene.visuals.Image(
            np.zeros((2, 2, 4), np.uint8), parent=parent, interpolation="nearest"
        )
        self._image.transform = STTransform()
        self._points = scene.visuals.Markers(parent=parent, antialias=0)
        self._marked = scene.visuals.Markers(parent=parent, antialias=0)
        self._outline = scene.visuals.Line(parent=parent, color=MARKED, width=2, method="gl")
        self._path = [
            scene.visuals.Line(parent=parent, color=colour, width=width, method="gl")
            for colour, width in PATH_COLOURS
        ]
        layers = (self._image, self._points, self._marked, *self._path, self._outline)
        for order, visual in enumerate(layers):
            visual.order = order
            visual.visible = False
            visual.set_gl_state("translucent", depth_test=False)

    # -- what is shown -----------------------------------------------------------------------------------------------

    @property
    def native(self) -> Any:
        """The Qt widget of the canvas."""
        return self.canvas.native

    @property
    def software(self) -> bool:
        """Whether the processor draws; then very many points become an image."""
        if self._software is None:
            self.canvas.set_current()
            self._software = is_software(renderer_name())
        return self._software

    @property
    def dragging(self) -> bool:
        """Whether the mouse has moved with a button down."""
        return self._drag is not None and self._moved

    def set_points(
        self, coordinates: npt.NDArray[np.float32], rgba: npt.NDArray[np.float32], marked: Marked = ()
    ) -> None:
        """Show particles at (N, 2) in colours (N, 4), and some of them as selected."""
        self._coordinates, self._rgba = coordinates, rgba
        self._mark(marked)
        self._draw_points()

    def set_marked(self, indices: Marked) -> None:
        """Show some of the particles as selected."""
        if indices is self._marked_indices:
            return
        was_in_image = self._marked_in_image
        self._mark(indices)
        if was_in_image or self._marked_in_image:
            self._draw_raster()

    def _mark(self, indices: Marked) -> None:
        """Paint the selected particles: as markers, or very many of them in the image."""
        self._marked_indices, self._painted = indices, self._rgba
        self._marked_in_image = self.draws_raster and len(indices) > MOST_MARKERS_IN_SOFTWARE
        self._marked.visible = bool(len(indices)) and not self._marked_in_image
        if self._marked_in_image:
            self._painted = self._rgba.copy()
            self._painted[np.asarray(indices)] = Color(MARKED).rgba
        elif self._marked.visible:
            size = self._marker_size() + 1
            self._marked.set_data(
                self._coordinates[np.asarray(indices)], face_color=MARKED, edge_width=0, size=size
            )

    def set_crosshair(self, point: Point | None, outside: bool = False) -> None:
        """Show where the map belongs; `outside` where no particles are."""
        self._crosshair_at, self._crosshair_outside = point, outside
        self._place_crosshair()

    def _place_crosshair(self) -> None:
        if self._crosshair_at is None:
            self._crosshair.hide()
        else:
            self._crosshair.show_at(*self.pixel(self._crosshair_at), self._crosshair_outside)

    def set_outline(self, vertices: Sequence[Point] | npt.NDArray[np.float64]) -> None:
        """Show a lasso, closed; an empty one hides it."""
        self._outline.visible = len(vertices) > 1
        if len(vertices) > 1:
            self._outline.set_data(np.asarray([*vertices, vertices[0]], dtype=np.float32))

    def set_path(self, vertices: Sequence[Point] | npt.NDArray[np.floating[Any]]) -> None:
        """Show a path; one of fewer than two points hides it."""
        for line in self._path:
            line.visible = len(vertices) > 1
            if line.visible:
                line.set_data(np.asarray(vertices, dtype=np.float32))

    def fit(self) -> None:
        """Show all particles."""
        if not len(self._coordinates):
            return
        low, high = self._coordinates.min(axis=0), self._coordinates.max(axis=0)
        span = np.maximum(high - low, 1e-6)
        left, bottom = low - MARGIN * span
        width, height = span * (1 + 2 * MARGIN)
        self.show_rectangle(float(left), float(bottom), float(width), float(height))

    @property
    def rectangle(self) -> tuple[float, float, float, float]:
        """What is seen of the plane: left, bottom, width, height."""
        seen = self._camera.rect
        return (float(seen.left), float(seen.bottom), float(seen.width), float(seen.height))

    def show_rectangle(self, left: float, bottom: float, width: float, height: float) -> None:
        """See another part of the plane."""
        self._camera.rect = (left, bottom, width, height)
        self._on_view_changed()

    @property
    def draws_raster(self) -> bool:
        """Whether the points are drawn as an image."""
        return len(self._coordinates) > MOST_MARKERS_IN_SOFTWARE and self.software

    def _draw_points(self) -> None:
        as_image = self.draws_raster
        self._points.visible = bool(len(self._coordinates)) and not as_image
        self._image.visible = as_image
        if as_image:
            self._draw_raster()
        elif len(self._coordinates):
            self._points.set_data(
                self._coordinates,
                face_color=self._rgba,
                edge_width=0,
                size=self._marker_size(),
                symbol="disc",
            )

    def _draw_raster(self, step: int = 1) -> None:
        """Paint every `step`-th point."""
        if not self.draws_raster:
            return
        rectangle = self._camera.rect
        bounds = self.rectangle
        columns, rows = (max(side // RASTER_PIXEL, 2) for side in self.canvas.size)
        picture = raster(self._coordinates[::step], self._painted[::step], bounds, (rows, columns))
        self._image.set_data(picture)
        place = self._image.transform  # another one would have the shader compiled anew
        place.scale = (rectangle.width / columns, rectangle.height / rows)
        place.translate = (rectangle.left, rectangle.bottom)

    def _marker_size(self) -> int:
        count = len(self._coordinates)
        return 6 if count < 5_000 else 4 if count < 50_000 else 3

    # -- the mouse ---------------------------------------------------------------------------------------------------

    def position(self, pixel: npt.ArrayLike) -> Point:
        """Point of the plane under a pixel of the canvas."""
        x, y = self._view.scene.transform.imap(np.asarray(pixel))[:2]
        return float(x), float(y)

    def pixel(self, point: Point) -> Point:
        """Pixel of the canvas that shows a point of the plane."""
        x, y = self._view.scene.transform.map(np.asarray(point))[:2]
        return float(x), float(y)

    def _on_mouse_press(self, event: Any) -> None:
        if self._drag is not None or not len(self._coordinates):
            return
        self._how = combination(keys.CONTROL in event.modifiers, keys.ALT in event.modifiers)
        self._last, self._moved = np.asarray(event.pos[:2], dtype=np.float64), False
        if event.button in (RIGHT, MIDDLE):
            self._drag = PAN
        elif event.button == LEFT:
            mode = EXPLORE if self.mode == REGION else self.mode  # the region's own clicks go to the map
            self._drag = LASSO if keys.SHIFT in event.modifiers else mode
        if self._drag in (*OUTLINED, PATH):
            self._trail = [self.position(event.pos)]
            self._draw_trail()
        elif self._drag == EXPLORE:
            self.picked.emit(*self.position(event.pos), True)
        elif self._drag == CLUSTERS:
            self.pointed.emit(*self.position(event.pos), self._how)

    def _on_mouse_move(self, event: Any) -> None:
        self._moved = True
        if self._drag in (*OUTLINED, PATH):
            here = self.position(event.pos)
            self._trail = (
                _rectangle(self._trail[0], here) if self._drag == RECTANGLE else [*self._trail, here]
            )
            self._draw_trail()
        if self._drag in (EXPLORE, PATH):
            self.picked.emit(*self.position(event.pos), False)
        elif self._drag == PAN:
            before, now = self.position(self._last), self.position(event.pos)
            self._last = np.asarray(event.pos[:2], dtype=np.float64)
            self._camera.pan((before[0] - now[0], before[1] - now[1]))
            self._on_view_changed()

    def _on_mouse_release(self, event: Any) -> None:
        drag, self._drag = self._drag, None
        if drag in OUTLINED:
            self.set_outline([])
        if drag == BRUSH:
            self.brushed.emit(np.asarray(self._trail), self._brush_radii(), self._how)
        elif drag in OUTLINED and len(self._trail) > 2:
            self.lassoed.emit(np.asarray(self._trail), self._how)
        elif drag == PATH:
            self._end_path()
        elif drag == EXPLORE and self._moved:
            self.picked.emit(*self.position(event.pos), True)

    def _end_path(self) -> None:
        """Tell of a line that was drawn, or of a click."""
        pixels = np.array([self.pixel(point) for point in self._trail])
        if np.linalg.norm(np.diff(pixels, axis=0), axis=1).sum() > SHORTEST_LINE:
            self.traced.emit(np.asarray(self._trail))
        else:
            self.joined.emit(*self._trail[0])

    def _draw_trail(self) -> None:
        trail = np.asarray(self._trail)
        if self._drag == PATH:
            if len(trail) > 1:  # a click leaves the path that it joins on screen
                self.set_path(trail)
            return
        self.set_outline(brush_outline(trail, self._brush_radii()) if self._drag == BRUSH else trail)

    def _brush_radii(self) -> Point:
        """Radii of the brush in the units of the plane, which may differ in x and y."""
        (left, bottom), (right, top) = (
            self.position((0, self.brush_radius)),
            self.position((self.brush_radius, 0)),
        )
        return right - left, top - bottom

    def _on_mouse_wheel(self, event: Any) -> None:
        if len(self._coordinates):
            self._camera.zoom(ZOOM_PER_STEP ** -event.delta[1], self.position(event.pos))
            self._on_view_changed()

    def _on_mouse_double_click(self, event: Any) -> None:
        if event.button in (RIGHT, MIDDLE):
            self.fit()

    def _on_resize(self, _event: Any) -> None:
        self._on_view_changed()

    def _on_view_changed(self) -> None:
        step = len(self._coordinates) // MOST_IN_MOTION + 1
        self._draw_raster(step)
        if step > 1:
            self._resting.start()
        self._place_crosshair()

    def close(self) -> None:
        """Free the OpenGL resources."""
        self.canvas.close()


def _rectangle(corner: Point, opposite: Point) -> list[Point]:
    return [corner, (opposite[0], corner[1]), opposite, (corner[0], opposite[1])]
