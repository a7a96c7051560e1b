"""The options that belong to the tool in hand, in a line or two."""

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSlider, QSpinBox, QStackedWidget, QWidget

from napari_sbackprop.gui.cluster_options import ClusterOptions
from napari_sbackprop.gui.controls import ThemedLabel, tool_button
from napari_sbackprop.gui.explorer import Explorer
from napari_sbackprop.gui.path_options import PathOptions
from napari_sbackprop.gui.region_options import RegionOptions
from napari_sbackprop.gui.scatter import BRUSH, CLUSTERS, EXPLORE, LASSO, PAN, PATH, RECTANGLE, REGION

HEIGHT = 28  # pixels
HINTS = {
    LASSO: "Draw around particles. Ctrl adds, Alt subtracts, both intersect.",
    RECTANGLE: "Drag a rectangle. Ctrl adds, Alt subtracts, both intersect.",
    PAN: "Drag to move the view, turn the wheel to zoom.",
}
BRUSH_RADII = (4, 48)  # pixels


class ToolOptions(QStackedWidget):
    """Shows the options of one tool.

    Signals
    -------
    brush_resized : radius in pixels.
    """

    brush_resized = Signal(int)

    def __init__(self, explorer: Explorer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._selections = explorer.selections
        self._pages: dict[str, int] = {}
        self.clusters = ClusterOptions(explorer)
        self.path = PathOptions(explorer)
        self.region = RegionOptions(explorer)
        self.setFixedHeight(HEIGHT)
        self._build()

    def show_tool(self, tool: str) -> None:
        """Show the options of a tool."""
        self.setCurrentIndex(self._pages[tool])
        self.setFixedHeight((2 if tool == REGION else 1) * HEIGHT)
        if tool == CLUSTERS:
            self.clusters.ask_once()

    def disconnect_model(self) -> None:
        """Follow the model no longer."""
        for options in (self.clusters, self.path, self.region):
            options.disconnect_model()

    def _build(self) -> None:
        self.nearest = QSpinBox()
        self.nearest.setRange(1, 10_000_000)
        self.nearest.setValue(100)
        self.nearest.setAccessibleName("Number of nearest particles")
        self.nearest.setToolTip("How many particles to select; the distance is that between latents.")
        self.select_nearest = tool_button(
            "Select", "Select the particles whose latents are nearest to the place under the crosshair (N)."
        )
        self.select_nearest.clicked.connect(lambda: self._selections.select_nearest(self.nearest.value()))
        self._add_page(
            EXPLORE,
            QLabel("Nearest"),
            self.nearest,
            QLabel("particles to the crosshair"),
            self.select_nearest,
        )
        self.brush = QSlider(Qt.Orientation.Horizontal)
        self.brush.setRange(*BRUSH_RADII)
        self.brush.setFixedWidth(160)
        self.brush.setAccessibleName("Size of the brush")
        self.brush.setToolTip("Size of the brush on screen.")
        self.brush.valueChanged.connect(self.brush_resized.emit)
        self._add_page(BRUSH, QLabel("Size"), self.brush, _hint("Ctrl adds, Alt subtracts, both intersect."))
        self._pages[CLUSTERS] = self.addWidget(self.clusters)
        self._pages[PATH] = self.addWidget(self.path)
        self._pages[REGION] = self.addWidget(self.region)
        for tool, text in HINTS.items():
            self._add_page(tool, _hint(text))

    def _add_page(self, tool: str, *widgets: QWidget) -> None:
        page = QWidget()
        layout = QHBoxLayout(page)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        for widget in widgets:
            layout.addWidget(widget)
        layout.addStretch()
        self._pages[tool] = self.addWidget(page)


def _hint(text: str) -> QLabel:
    return ThemedLabel(text)
