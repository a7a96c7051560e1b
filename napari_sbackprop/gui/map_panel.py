"""Controls of the map: contour, smoothing, what is shown, pinning, saving."""

from pathlib import Path

from psygnal import SignalInstance
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QSlider,
    QWidget,
)

from napari_sbackprop.gui.controls import push_button, with_ending
from napari_sbackprop.gui.explorer import Explorer
from napari_sbackprop.gui.explorer_model import SURFACE, VOLUME

STEPS_PER_SIGMA = 20
LOWEST_CONTOUR = 0.5


class MapPanel(QWidget):
    """Sets the contour in sigma and asks for maps."""

    def __init__(self, explorer: Explorer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._explorer = explorer
        self.contour = QSlider(Qt.Orientation.Horizontal)
        self.contour.setAccessibleName("Contour in sigma")
        self.contour.setMinimum(round(LOWEST_CONTOUR * STEPS_PER_SIGMA))
        self.contour.setToolTip(
            "Contour of the surface, in standard deviations of the consensus map. It stays the same in every state, "
            "so that sizes compare."
        )
        self.contour_label = QLabel()
        self.contour_label.setMinimumWidth(110)
        self.contour_label.setToolTip("The contour in sigma, and in units of the map.")
        self.smoothing = QDoubleSpinBox()
        self.smoothing.setAccessibleName("Smoothing in voxels")
        self.smoothing.setRange(0.0, 4.0)
        self.smoothing.setSingleStep(0.2)
        self.smoothing.setDecimals(1)
        self.smoothing.setValue(explorer.model.smoothing)
        self.smoothing.setToolTip("Low-pass of the map on screen, in voxels; saved maps are never filtered.")
        self.renderer = QComboBox()
        self.renderer.addItems([SURFACE, VOLUME])
        self.renderer.setAccessibleName("How the map is drawn")
        self.renderer.setToolTip(
            "How the map is drawn: as a surface, the faster way without a GPU, or as a volume with a live threshold. "
            "Differences to a pinned map colour the surface only."
        )
        self.consensus = push_button("Consensus", "Show the map of all particles.")
        self.pin = QCheckBox("Pin")
        self.pin.setToolTip(
            "Keep this map on screen in grey. The moving map is then coloured by its difference: blue has more "
            "density than the pinned map, red less."
        )
        self.save = push_button("Save map…", "Write the map on screen, not low-passed, to an MRC file.")
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(4)
        grid.addWidget(QLabel("Contour"), 0, 0)
        grid.addWidget(self.contour, 0, 1)
        grid.addWidget(self.contour_label, 0, 2)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(QLabel("Smooth"))
        row.addWidget(self.smoothing)
        row.addWidget(self.renderer)
        row.addStretch()
        for widget in (self.pin, self.consensus, self.save):
            row.addWidget(widget)
        grid.addLayout(row, 1, 0, 1, 3)
        grid.setColumnStretch(1, 1)

    def _connect(self) -> None:
        self.contour.valueChanged.connect(self._on_contour_moved)
        self.contour.sliderReleased.connect(self._on_contour_released)
        self.smoothing.valueChanged.connect(self._explorer.set_smoothing)
        self.renderer.currentTextChanged.connect(self._explorer.set_renderer)
        self.consensus.clicked.connect(self._explorer.show_consensus)
        self.pin.toggled.connect(self._on_pin_toggled)
        self.save.clicked.connect(self._on_save_clicked)
        for signal in self._signals():
            signal.connect(self._on_model_changed)
        self._on_model_changed()

    def disconnect_model(self) -> None:
        """Follow the model no longer."""
        for signal in self._signals():
            signal.disconnect(self._on_model_changed)

    def _signals(self) -> tuple[SignalInstance, ...]:
        events = self._explorer.model.events
        return events.scene, events.contour, events.pinned, events.frame, events.renderer

    def _on_model_changed(self) -> None:
        model = self._explorer.model
        has_decoder = model.scene is not None and model.scene.has_decoder
        has_maps = has_decoder or model.frame is not None
        self.setEnabled(has_maps)
        self.consensus.setEnabled(has_decoder)
        if model.scene is not None and not self.contour.isSliderDown():
            with QSignalBlocker(self.contour):
                self.contour.setMaximum(round(model.scene.contour_limit * STEPS_PER_SIGMA))
                self.contour.setValue(round(model.contour * STEPS_PER_SIGMA))
        if model.scene is not None:
            text = f"{model.contour:.2f} σ = {model.contour * model.scene.sigma:.3g}"
            self.contour_label.setText(text if has_maps else "")
        with QSignalBlocker(self.renderer):
            self.renderer.setCurrentText(model.renderer)
        with QSignalBlocker(self.pin):
            self.pin.setChecked(model.pinned is not None)
        self.pin.setEnabled(model.frame is not None)
        self.save.setEnabled(model.frame is not None)

    def _on_contour_moved(self, value: int) -> None:
        self._explorer.set_contour(value / STEPS_PER_SIGMA, final=not self.contour.isSliderDown())

    def _on_contour_released(self) -> None:
        self._explorer.set_contour(self.contour.value() / STEPS_PER_SIGMA)

    def _on_pin_toggled(self, checked: bool) -> None:
        if checked:
            self._explorer.pin()
        else:
            self._explorer.unpin()

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
