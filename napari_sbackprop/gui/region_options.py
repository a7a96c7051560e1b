"""Where the region is, how large it is, and how much density selects a particle."""

from typing import Any

import numpy as np
from psygnal import SignalInstance
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QSlider, QWidget

from napari_sbackprop.gui.explorer import Explorer

AXES = ("x", "y", "z")
STEPS = 200
LARGEST_RADIUS = 0.25  # of the box


class RegionOptions(QWidget):
    """Two lines: the sphere, and the threshold of the density in it."""

    def __init__(self, explorer: Explorer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = explorer.model
        self._regions = explorer.regions
        self._build()
        self._connect()

    def _build(self) -> None:
        self.place = [QDoubleSpinBox() for _ in AXES]
        for box, axis in zip(self.place, AXES, strict=True):
            box.setAccessibleName(f"Centre of the sphere, {axis}")
            box.setToolTip(
                f"Centre of the sphere in Å along {axis}, as ChimeraX shows the map. Or click the map."
            )
            box.setDecimals(0)
            box.setSingleStep(2.0)
            box.setPrefix(f"{axis} ")
            box.setFixedWidth(100)
        self.radius = QSlider(Qt.Orientation.Horizontal)
        self.radius.setAccessibleName("Radius of the sphere")
        self.radius.setToolTip("Radius of the sphere in Å.")
        self.radius_label = QLabel()
        self.radius_label.setMinimumWidth(40)
        self.least = QSlider(Qt.Orientation.Horizontal)
        self.least.setRange(0, STEPS)
        self.least.setAccessibleName("Least density in the sphere")
        self.least.setToolTip(
            "Select the particles whose maps have at least this mean density in the sphere, in standard deviations of the "
            "consensus map; on release."
        )
        self.found = QLabel()
        self.found.setMinimumWidth(170)
        first, grid = QHBoxLayout(), QGridLayout(self)
        first.setSpacing(4)
        first.addWidget(QLabel("Centre"))
        for box in self.place:
            first.addWidget(box)
        first.addWidget(QLabel("Radius"))
        first.addWidget(self.radius, 1)
        first.addWidget(self.radius_label)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(2)
        grid.addLayout(first, 0, 0, 1, 3)
        grid.addWidget(QLabel("Density in it ≥"), 1, 0)
        grid.addWidget(self.least, 1, 1)
        grid.addWidget(self.found, 1, 2)
        self.found.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)

    def _connect(self) -> None:
        for box in self.place:
            box.valueChanged.connect(self._on_place_typed)
        self.radius.valueChanged.connect(lambda value: self._regions.resize(float(value)))
        self.least.valueChanged.connect(self._on_least_moved)
        self.least.sliderReleased.connect(self._select)
        for signal, slot in self._slots():
            signal.connect(slot)
        self._on_side_changed()
        self._on_density_changed()

    def disconnect_model(self) -> None:
        """Follow the models no longer."""
        for signal, slot in self._slots():
            signal.disconnect(slot)

    def _slots(self) -> tuple[tuple[SignalInstance, Any], ...]:
        region = self._regions.model.events
        return (
            (region.side, self._on_side_changed),
            (self._model.events.region_density, self._on_density_changed),
            (region.sphere, self._on_sphere_changed),
            (region.radius, self._on_sphere_changed),
        )

    # -- from the models ---------------------------------------------------------------------------------------------

    def _on_side_changed(self) -> None:
        model = self._regions.model
        for box in self.place:
            with QSignalBlocker(box):
                box.setRange(0.0, model.side)
                if model.sphere is None:
                    box.setValue(model.side / 2)
        with QSignalBlocker(self.radius):
            self.radius.setRange(1, max(round(LARGEST_RADIUS * model.side), 1))
        self._on_sphere_changed()

    def _on_sphere_changed(self) -> None:
        model = self._regions.model
        with QSignalBlocker(self.radius):
            self.radius.setValue(round(model.radius))
        self.radius_label.setText(f"{model.radius:.0f} Å")
        if model.sphere is not None:
            for box, value in zip(self.place, model.sphere.centre, strict=True):
                if not box.hasFocus():
                    with QSignalBlocker(box):
                        box.setValue(value)

    def _on_density_changed(self) -> None:
        known = self._model.region_density is not None
        self.least.setEnabled(known)
        if known:
            self._count()
        else:
            self.found.setText("Click the map to place it")

    def _threshold(self) -> float:
        """The least density in sigma."""
        density = self._model.region_density
        if density is None:
            return 0.0
        low, high = float(density.min()), float(density.max())
        return low + (high - low) * self.least.value() / STEPS

    def _count(self) -> None:
        if (density := self._model.region_density) is not None:
            least = self._threshold()
            self.found.setText(f"{least:.2f} σ: {np.count_nonzero(density >= least):,} particles")

    # -- from the user -----------------------------------------------------------------------------------------------

    def _on_place_typed(self) -> None:
        x, y, z = (box.value() for box in self.place)
        self._regions.place((x, y, z))

    def _on_least_moved(self) -> None:
        self._count()
        if not self.least.isSliderDown():
            self._select()

    def _select(self) -> None:
        self._regions.select(self._threshold())
