"""The Preferences dock."""

from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QVBoxLayout, QWidget

from napari_sbackprop.gui.controls import ThemedLabel, chooser
from napari_sbackprop.gui.explorer_model import SLICE, SURFACE, VOLUME
from napari_sbackprop.gui.preferences import FITTING, preferences, preferences_path

DEVICE_NAMES = {"auto": "GPU if there is one", "cpu": "Processor", "cuda": "GPU"}
RENDERER_NAMES = {
    FITTING: "Volume with a GPU, else surface",
    SURFACE: "Surface",
    VOLUME: "Volume",
    SLICE: "Slice",
}


class PreferencesWidget(QWidget):
    """Shows the preferences; a change counts at once, for what is begun from then on."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._known = preferences()
        self.device = chooser(
            DEVICE_NAMES,
            "Device of trainings",
            "Where a training computes unless its own form says otherwise.",
        )
        self.renderer = chooser(
            RENDERER_NAMES,
            "Renderer of maps",
            "How the first map of a run is drawn that has no session. Surfaces are the faster way without a GPU.",
        )
        self.reopening = QCheckBox("Open runs as they were left")
        self.reopening.setToolTip(
            "Bring back what was on screen of a run: selection, map, comparison, path, colours and cameras. "
            "It is kept either way."
        )
        form = QFormLayout()
        form.addRow("Training on", self.device)
        form.addRow("Maps drawn as", self.renderer)
        form.addRow(self.reopening)
        place = ThemedLabel(f"Kept in {preferences_path()}")
        place.setWordWrap(True)
        place.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        place.setToolTip("The file of the preferences.")
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(place)
        layout.addStretch()
        self.device.currentIndexChanged.connect(lambda: self._set(device=self.device.currentData()))
        self.renderer.currentIndexChanged.connect(lambda: self._set(renderer=self.renderer.currentData()))
        self.reopening.toggled.connect(lambda checked: self._set(reopening=checked))
        self._show()

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self._known, name, value)

    def _show(self) -> None:
        known = self._known
        for box, value in ((self.device, known.device), (self.renderer, known.renderer)):
            _choose(box, value)
        with QSignalBlocker(self.reopening):
            self.reopening.setChecked(known.reopening)


def _choose(box: QComboBox, value: str) -> None:
    with QSignalBlocker(box):
        box.setCurrentIndex(box.findData(value))
