"""The scatter with its tools and its legend."""

from typing import Any

import numpy as np
from psygnal import SignalInstance
from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_sbackprop.analysis.query import CLUSTER, CONTRAST
from napari_sbackprop.gui.controls import tool_button
from napari_sbackprop.gui.explorer import Explorer
from napari_sbackprop.gui.explorer_model import DENSITY, PCA, REGION_DENSITY, UMAP
from napari_sbackprop.gui.legend import Legend
from napari_sbackprop.gui.no_decoder import NO_MAP
from napari_sbackprop.gui.point_colours import (
    RGBA,
    cluster_colours,
    column_colours,
    density_colours,
    with_sets,
)
from napari_sbackprop.gui.scatter import BRUSH, CLUSTERS, PAN, REGION, Marked, Scatter
from napari_sbackprop.gui.session import State, numbers
from napari_sbackprop.gui.tool_icons import brush_cursor
from napari_sbackprop.gui.tool_options import ToolOptions
from napari_sbackprop.gui.tool_strip import ToolStrip

AFTER_THE_MAP = 20  # milliseconds, in which Qt begins to draw
METHOD_NAMES = {PCA: "PCA", UMAP: "UMAP"}
CROSS = Qt.CursorShape.CrossCursor
CURSORS = {CLUSTERS: Qt.CursorShape.PointingHandCursor, PAN: Qt.CursorShape.OpenHandCursor}


class ScatterPanel(QWidget):
    """Shows the particles of the model's scene and passes on what the mouse does among them."""

    def __init__(self, explorer: Explorer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._explorer = explorer
        self._model = explorer.model
        self.scatter = Scatter()
        self._rgba: RGBA = np.zeros((0, 4), np.float32)  # without those of the sets
        self._build()
        self._connect()

    def _build(self) -> None:
        self.method = QComboBox()
        self.method.setAccessibleName("Plane of the scatter")
        self.method.setToolTip(
            "Plane in which the particles are shown. UMAP is computed once per epoch, beside napari."
        )
        for method, name in METHOD_NAMES.items():
            self.method.addItem(name, method)
        self.colour = QComboBox()
        self.colour.setAccessibleName("Colour of the particles")
        self.colour.setToolTip(
            "Colour the particles by density, by contrast (near 0: the image holds no such particle), by cluster,\n"
            "by the density of their maps in the sphere (tool S), by latent_sigma (1: the image says nothing of its "
            "conformation),\nby evidence (nats by which the latent explains the image better than the consensus), by "
            "movement since the epoch before,\nor by a column."
        )
        self.colour.addItem(DENSITY, DENSITY)
        self.colour.setMinimumContentsLength(16)
        self.colour.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        top = QHBoxLayout()
        top.setSpacing(4)
        top.addWidget(self.method)
        top.addWidget(QLabel("coloured by"))
        top.addWidget(self.colour, 1)
        self.fit = tool_button("Fit", "Show all particles (F, or a double click with the right button).")
        top.addWidget(self.fit)
        canvas = self.scatter.native
        canvas.setMinimumSize(240, 200)
        canvas.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        canvas.setToolTip("")  # it would cover the points
        canvas.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # a click here brings the keys of the dock to life
        canvas.setAccessibleName("Particles in latent space")
        self.legend = Legend()
        self.tools = ToolStrip()
        self.options = ToolOptions(self._explorer)
        self.options.brush.setValue(self.scatter.brush_radius)
        middle = QHBoxLayout()
        middle.setSpacing(4)
        middle.addWidget(self.tools)
        middle.addWidget(canvas, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self.options)
        layout.addLayout(middle, 1)
        layout.addWidget(self.legend)

    def _connect(self) -> None:
        self.scatter.picked.connect(self._explorer.pick)
        self.scatter.lassoed.connect(self._explorer.selections.select_polygon)
        self.scatter.brushed.connect(self._explorer.selections.select_stroke)
        self.scatter.pointed.connect(self._explorer.selections.select_cluster_at)
        self.scatter.traced.connect(self._explorer.paths.draw)
        self.scatter.joined.connect(self._explorer.paths.extend)
        self.method.activated.connect(self._on_method_activated)
        self.colour.currentIndexChanged.connect(self._on_colour_chosen)
        self.tools.tool_chosen.connect(self._on_tool_chosen)
        self.tools.combining_chosen.connect(self._on_combining_chosen)
        self.options.brush_resized.connect(self._on_brush_resized)
        self.fit.clicked.connect(lambda: self.scatter.fit())
        for signal, slot in self._slots():
            signal.connect(slot)
        self._choose_cursor()

    def disconnect_model(self) -> None:
        """Follow the model no longer."""
        self.options.disconnect_model()
        for signal, slot in self._slots():
            signal.disconnect(slot)

    def _slots(self) -> tuple[tuple[SignalInstance, Any], ...]:
        events = self._model.events
        return (
            (events.scene, self._on_scene_changed),
            (events.method, self._on_method_changed),
            (events.colour, self._on_colour_changed),
            (events.columns, self._on_columns_changed),
            (events.clustering, self._on_clustering_changed),
            (events.qualities, self._on_values_changed),
            (events.region_density, self._on_values_changed),
            (self._explorer.paths.model.events.weights, self._draw_path),
            (events.point, self._on_point_changed),
            (events.frame, self._on_frame_changed),
            (events.selection, self._draw_marked),
            (events.sets, self._paint_points),
        )

    def state(self) -> State:
        """What is seen of which plane, for a session."""
        return {"method": self._model.method, "rectangle": list(self.scatter.rectangle)}

    def restore(self, state: State) -> None:
        """See that part of the plane, if it is the one on screen."""
        left, bottom, width, height = numbers(state["rectangle"], np.float64).tolist()
        if state["method"] == self._model.method and width > 0 and height > 0:
            self.scatter.show_rectangle(left, bottom, width, height)

    # -- from the model ----------------------------------------------------------------------------------------------

    def _on_scene_changed(self, scene: Any, previous: Any) -> None:
        if scene is None:
            return
        self.tools.refuse(REGION, "" if scene.has_decoder else NO_MAP)
        self._draw_points()
        self._draw_path()
        if previous is None:
            self.scatter.fit()

    def _on_method_changed(self) -> None:
        with QSignalBlocker(self.method):
            self.method.setCurrentIndex(list(METHOD_NAMES).index(self._model.method))
        self.scatter.set_outline([])
        self._draw_crosshair()
        self._draw_points()
        self._draw_path()
        self.scatter.fit()

    def _draw_path(self) -> None:
        self.scatter.set_path(self._explorer.paths.line())

    def _draw_points(self) -> None:
        projection, values = self._model.projection, self._model.colour_values
        if projection is None:
            return
        coordinates = projection.coordinates
        name, clustering = self._model.colour, self._model.clustering
        if name == CLUSTER and clustering is not None:
            colours = cluster_colours(clustering)
        else:
            colours = density_colours(coordinates) if values is None else column_colours(name, values)
        self._rgba = colours.rgba
        self.legend.show_colours(colours)
        self._paint_points()

    def _paint_points(self) -> None:
        if (projection := self._model.projection) is not None:
            painted = with_sets(self._rgba, self._model.sets)
            self.scatter.set_points(projection.coordinates, painted, self._marked)
            self._draw_outline()

    def _on_point_changed(self) -> None:
        scene = self._model.scene
        if not self.scatter.software or (scene is not None and not scene.has_decoder):  # no map will follow
            self._draw_crosshair()

    def _on_frame_changed(self) -> None:
        # Without a GPU, drawing the scatter takes time that the map needs: while dragging both move in one go, and
        # after a click the map comes first.
        if self.scatter.software and self.scatter.dragging:
            self._draw_crosshair()
        elif self.scatter.software:
            QTimer.singleShot(AFTER_THE_MAP, self._draw_crosshair)

    def _draw_crosshair(self) -> None:
        anchor = self._model.anchor
        self.scatter.set_crosshair(self._model.point, anchor is not None and anchor.outside)

    @property
    def _marked(self) -> Marked:
        return () if self._model.selection is None else self._model.selection.indices

    def _draw_marked(self) -> None:
        self.scatter.set_marked(self._marked)
        self._draw_outline()

    def _draw_outline(self) -> None:
        selection = self._model.selection
        polygon = {} if selection is None else selection.provenance
        same_plane = polygon.get("method") == self._model.method
        same_epoch = self._model.scene is not None and polygon.get("epoch") == self._model.scene.epoch
        self.scatter.set_outline(polygon.get("polygon", []) if same_plane and same_epoch else [])

    def _list_colours(self) -> None:
        made = () if self._model.clustering is None else (CLUSTER,)
        with QSignalBlocker(self.colour):
            self.colour.clear()
            placed = () if self._model.region_density is None else (REGION_DENSITY,)
            names = (DENSITY, CONTRAST, *made, *placed, *self._model.qualities, *self._model.columns.telling)
            for name in names:
                self.colour.addItem(name, name)
            self.colour.setCurrentIndex(max(self.colour.findData(self._model.colour), 0))

    def _on_colour_changed(self) -> None:
        with QSignalBlocker(self.colour):
            self.colour.setCurrentIndex(max(self.colour.findData(self._model.colour), 0))
        self._draw_points()

    def _on_columns_changed(self) -> None:
        self._list_colours()
        if self._model.colour in self._model.columns.values:
            self._draw_points()

    def _on_clustering_changed(self) -> None:
        self._list_colours()
        if self._model.colour == CLUSTER:
            self._draw_points()

    def _on_values_changed(self) -> None:
        self._list_colours()
        if self._model.colour in (REGION_DENSITY, *self._model.qualities):
            self._draw_points()

    # -- from the user -----------------------------------------------------------------------------------------------

    def _on_method_activated(self, index: int) -> None:
        self._explorer.umaps.show(self.method.itemData(index))
        with QSignalBlocker(self.method):  # UMAP appears only when it is ready
            self.method.setCurrentIndex(list(METHOD_NAMES).index(self._model.method))

    def _on_colour_chosen(self, index: int) -> None:
        self._model.colour = self.colour.itemData(index)

    def _on_tool_chosen(self, tool: str) -> None:
        self.scatter.mode = tool
        self._explorer.paths.play(False)
        self.options.show_tool(tool)
        self._choose_cursor()

    def _on_combining_chosen(self, how: str) -> None:
        self._model.combining = how

    def _on_brush_resized(self, radius: int) -> None:
        self.scatter.brush_radius = radius
        self._choose_cursor()

    def _choose_cursor(self) -> None:
        tool = self.scatter.mode
        cursor = (
            brush_cursor(self.scatter.brush_radius) if tool == BRUSH else QCursor(CURSORS.get(tool, CROSS))
        )
        self.scatter.native.setCursor(cursor)
