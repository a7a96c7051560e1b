"""Where a slice through the map lies."""

from psygnal import SignalInstance
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSlider, QWidget

from napari_sbackprop.gui.controls import chooser
from napari_sbackprop.gui.explorer_model import ExplorerModel

AXES = {"0": "z", "1": "y", "2": "x"}


class SliceSlider(QWidget):
    """Sets axis and place of the model's slice."""

    def __init__(self, model: ExplorerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self.axis = chooser(AXES, "Axis of the slice", "Axis of the map that the slice is perpendicular to.")
        self.place = QSlider(Qt.Orientation.Horizontal)
        self.place.setAccessibleName("Place of the slice")
        self.place.setToolTip("Where the slice cuts the axis; the middle of the box is at 0 Å.")
        self.label = QLabel()
        self.label.setMinimumWidth(70)
        self.label.setToolTip("Distance of the slice from the middle of the box.")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (QLabel("Slice"), self.axis, self.place, self.label):
            layout.addWidget(widget)
        layout.setStretchFactor(self.place, 1)
        self.axis.activated.connect(self._on_axis_chosen)
        self.place.valueChanged.connect(self._on_place_moved)
        for signal in self._signals():
            signal.connect(self._on_model_changed)

    def disconnect_model(self) -> None:
        """Follow the model no longer."""
        for signal in self._signals():
            signal.disconnect(self._on_model_changed)

    def _signals(self) -> tuple[SignalInstance, ...]:
        events = self._model.events
        return events.scene, events.slice_axis, events.slice_offset

    def _on_model_changed(self) -> None:
        model = self._model
        if (scene := model.scene) is None:
            return
        half = scene.decoder.box // 2
        with QSignalBlocker(self.place):
            self.place.setRange(-half, half - 1)
            self.place.setValue(round(model.slice_offset / scene.decoder.pixel_size))
        with QSignalBlocker(self.axis):
            self.axis.setCurrentIndex(model.slice_axis)
        self.label.setText(f"{list(AXES.values())[model.slice_axis]} = {model.slice_offset:.0f} Å")

    def _on_axis_chosen(self, axis: int) -> None:
        self._model.slice_axis = axis

    def _on_place_moved(self, voxels: int) -> None:
        if (scene := self._model.scene) is not None:
            self._model.slice_offset = voxels * scene.decoder.pixel_size
