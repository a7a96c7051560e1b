"""Controls of the map: contour, smoothing, what is shown, pinning, saving."""

from pathlib import Path

from psygnal import SignalInstance
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QSlider,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_sbackprop.gui.controls import chooser, push_button, with_ending
from napari_sbackprop.gui.explorer import Explorer
from napari_sbackprop.gui.explorer_model import (
    ALONE,
    BLINK,
    CHANGE,
    DIFFERENCE,
    OVERLAY,
    PLAIN,
    SIDE_BY_SIDE,
    SLICE,
    SURFACE,
    VARIABILITY,
    VOLUME,
    Scene,
)
from napari_sbackprop.gui.shown import MOST_SMOOTHING
from napari_sbackprop.gui.slice_slider import SliceSlider

STEPS_PER_SIGMA = 20
LOWEST_CONTOUR, LOWEST_DIFFERENCE = 0.5, 0.1  # sigma
LEVELS_HEIGHT = 24  # pixels
RENDERERS = {SURFACE: "Surface", VOLUME: "Volume", SLICE: "Slice"}
RENDERER_TIP = (
    "How the map is drawn: as a surface, the faster way without a GPU, as a volume with a live threshold, or as a slice "
    "through it. Differences are drawn as surfaces or as a slice."
)
COLOURINGS = {PLAIN: "One colour", CHANGE: "Change", VARIABILITY: "Variability"}
COLOURING_TIP = (
    "What colours the surface. Change: more (blue) or less (orange) density than the pinned map has there. Variability: the "
    "standard deviation of the density over all particles, that is, where states differ."
)
COMPARISONS = {
    ALONE: "Map alone",
    OVERLAY: "Overlay",
    DIFFERENCE: "Difference",
    SIDE_BY_SIDE: "Side by side",
    BLINK: "Blink",
}
COMPARISON_TIP = (
    "How the map, B, is shown beside the pinned one, A, which is the consensus where nothing is pinned. Difference: where B "
    "has more (blue) and less (orange) density than A, at a contour of its own."
)


class MapPanel(QWidget):
    """Sets the contour in sigma and asks for maps."""

    def __init__(self, explorer: Explorer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._explorer = explorer
        self.contour = QSlider(Qt.Orientation.Horizontal)
        self.contour.setAccessibleName("Contour in sigma")
        self.contour.setToolTip(
            "Contour of the surface, in standard deviations of the consensus map. It stays the same in every state, "
            "so that sizes compare."
        )
        self.contour_label = QLabel()
        self.contour_label.setMinimumWidth(110)
        self.contour_label.setToolTip("The contour in sigma, and in units of the map.")
        self.smoothing = QDoubleSpinBox()
        self.smoothing.setAccessibleName("Smoothing in voxels")
        self.smoothing.setPrefix("Blur ")
        self.smoothing.setRange(0.0, MOST_SMOOTHING)
        self.smoothing.setSingleStep(0.2)
        self.smoothing.setDecimals(1)
        self.smoothing.setValue(explorer.model.smoothing)
        self.smoothing.setToolTip("Low-pass of the map on screen, in voxels; saved maps are never filtered.")
        self.renderer = chooser(RENDERERS, "How the map is drawn", RENDERER_TIP)
        self.colouring = chooser(COLOURINGS, "What colours the surface", COLOURING_TIP)
        self.comparison = chooser(COMPARISONS, "How the map is compared", COMPARISON_TIP)
        self.slice = SliceSlider(explorer.model)
        self.consensus = push_button("Consensus", "Show the map of all particles.")
        self.pin = QCheckBox("Pin")
        self.pin.setToolTip(
            "Keep this map on screen, to compare others with it. The moving map is then coloured by its difference: "
            "blue has more density than the pinned map, orange less."
        )
        self.save = push_button(
            "Save…", "Write the map on screen, or the difference, not low-passed, to an MRC file."
        )
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        contour, upper, lower = QWidget(), QHBoxLayout(), QHBoxLayout()
        row = QHBoxLayout(contour)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Contour"))
        row.addWidget(self.contour, 1)
        row.addWidget(self.contour_label)
        self.levels = QStackedWidget()
        self.levels.addWidget(contour)
        self.levels.addWidget(self.slice)
        self.levels.setFixedHeight(LEVELS_HEIGHT)
        upper.addWidget(self.levels, 1)
        for widget in (self.pin, self.comparison):
            upper.addWidget(widget)
        for widget in (self.renderer, self.colouring, self.smoothing):
            lower.addWidget(widget)
        lower.setStretchFactor(self.smoothing, 1)  # its text needs more than napari gives it
        for widget in (self.consensus, self.save):
            lower.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for line in (upper, lower):
            line.setSpacing(6)
            layout.addLayout(line)

    def _connect(self) -> None:
        self.contour.valueChanged.connect(self._on_contour_moved)
        self.contour.sliderReleased.connect(self._on_contour_released)
        self.smoothing.valueChanged.connect(self._explorer.set_smoothing)
        self.renderer.currentIndexChanged.connect(self._on_renderer_chosen)
        self.colouring.currentIndexChanged.connect(self._on_colouring_chosen)
        self.comparison.currentIndexChanged.connect(self._on_comparison_chosen)
        self.consensus.clicked.connect(self._explorer.show_consensus)
        self.pin.toggled.connect(self._on_pin_toggled)
        self.save.clicked.connect(self._on_save_clicked)
        for signal in self._signals():
            signal.connect(self._on_model_changed)
        self._on_model_changed()

    def disconnect_model(self) -> None:
        """Follow the model no longer."""
        self.slice.disconnect_model()
        for signal in self._signals():
            signal.disconnect(self._on_model_changed)

    def _signals(self) -> tuple[SignalInstance, ...]:
        events = self._explorer.model.events
        return (
            events.scene,
            events.contour,
            events.difference_contour,
            events.pinned,
            events.frame,
            events.renderer,
            events.comparison,
            events.colouring,
        )

    def _on_model_changed(self) -> None:
        model = self._explorer.model
        has_decoder = model.scene is not None and model.scene.has_decoder
        self.setEnabled(has_decoder or model.frame is not None)
        self.consensus.setEnabled(has_decoder)
        if model.scene is not None:
            self._show_contour(model.scene)
        for box, value in (
            (self.renderer, model.renderer),
            (self.comparison, model.comparison),
            (self.colouring, model.colouring),
        ):
            with QSignalBlocker(box):
                box.setCurrentIndex(box.findData(value))
        self.levels.setCurrentIndex(int(model.renderer == SLICE))
        self.colouring.setEnabled(model.colourable)
        self.comparison.setEnabled(has_decoder or model.pinned is not None)
        with QSignalBlocker(self.pin):
            self.pin.setChecked(model.pinned is not None)
        self.pin.setEnabled(model.frame is not None)
        self.save.setEnabled(model.frame is not None)

    def _show_contour(self, scene: Scene) -> None:
        model = self._explorer.model
        different = model.comparison == DIFFERENCE
        contour = model.difference_contour if different else model.contour
        if not self.contour.isSliderDown():
            lowest = LOWEST_DIFFERENCE if different else LOWEST_CONTOUR
            with QSignalBlocker(self.contour):
                self.contour.setRange(
                    round(lowest * STEPS_PER_SIGMA), round(scene.contour_limit * STEPS_PER_SIGMA)
                )
                self.contour.setValue(round(contour * STEPS_PER_SIGMA))
        text = f"{'±' if different else ''}{contour:.2f} σ = {contour * scene.sigma:.3g}"
        self.contour_label.setText(text if scene.has_decoder or model.frame is not None else "")

    def _on_contour_moved(self, value: int) -> None:
        self._explorer.set_contour(value / STEPS_PER_SIGMA, final=not self.contour.isSliderDown())

    def _on_contour_released(self) -> None:
        self._explorer.set_contour(self.contour.value() / STEPS_PER_SIGMA)

    def _on_pin_toggled(self, checked: bool) -> None:
        if checked:
            self._explorer.comparison.pin()
        else:
            self._explorer.comparison.unpin()

    def _on_renderer_chosen(self) -> None:
        self._explorer.set_renderer(self.renderer.currentData())

    def _on_colouring_chosen(self) -> None:
        self._explorer.set_colouring(self.colouring.currentData())

    def _on_comparison_chosen(self) -> None:
        self._explorer.comparison.choose(self.comparison.currentData())

    def _on_save_clicked(self) -> None:
        if (scene := self._explorer.model.scene) is None:
            return
        default = scene.run.volume_path(f"map_epoch_{scene.epoch}")
        path, _ = QFileDialog.getSaveFileName(self, "Save the map", str(default), "MRC files (*.mrc)")
        if path:
            output = with_ending(Path(path), ".mrc")
            self._explorer.save_map(
                output, overwrite=output == Path(path)
            )  # the dialog has asked for this one
