"""Sliders along the directions in which particles differ, and what each direction does."""

from dataclasses import dataclass
from typing import Any

from psygnal import SignalInstance
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_sbackprop.gui.controls import chooser, tool_button
from napari_sbackprop.gui.direction_walk import DirectionWalk
from napari_sbackprop.gui.directions import BASIS, PRINCIPAL, Change, Directions
from napari_sbackprop.gui.explorer import Explorer

STEPS_PER_DEVIATION = 50
KINDS = {PRINCIPAL: "Principal components of the latents", BASIS: "Basis volumes"}
KIND_TIP = (
    "Principal components are the directions in which the particles' latents are spread most. Basis volumes are the V of "
    "map = V0 + s1 V1 + s2 V2 + ...; moving along one changes its coefficient s alone."
)
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
HINT = "Move a slider: the map and the crosshair follow. Show draws what a direction adds to the map and takes away."


@dataclass(frozen=True, eq=False)
class _Row:
    name: QLabel
    share: QLabel
    slider: QSlider
    value: QLabel
    show: QToolButton

    @property
    def widgets(self) -> tuple[QWidget, ...]:
        return self.name, self.share, self.slider, self.value, self.show


class DirectionsPanel(QWidget):
    """Shows where the map lies along each direction, and moves it; finds nothing while nobody looks."""

    def __init__(self, explorer: Explorer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._explorer = explorer
        self._walk: DirectionWalk = explorer.walk
        self.rows: list[_Row] = []
        self._build()
        for signal, slot in self._slots():
            signal.connect(slot)

    def _build(self) -> None:
        self.kind = chooser(KINDS, "Kind of directions", KIND_TIP)
        self.reset = tool_button("Mean", "Move to the mean of all particles, along all directions.")
        self.text = QLabel(HINT)
        self.text.setWordWrap(True)
        self.text.setToolTip("Where the map changes along the direction that was moved or shown last.")
        self.text.setMinimumHeight(3 * self.text.fontMetrics().lineSpacing())
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop)
        top, inside = QHBoxLayout(), QWidget()
        top.addWidget(self.kind, 1)
        top.addWidget(self.reset)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(2, 1)
        content = QVBoxLayout(inside)
        content.setContentsMargins(0, 0, 0, 0)
        content.addLayout(self._grid)
        content.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(inside)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.text)
        self.kind.currentIndexChanged.connect(lambda: self._walk.choose(self.kind.currentData()))
        self.reset.clicked.connect(lambda: self._walk.reset())

    def disconnect_model(self) -> None:
        """Follow the models no longer."""
        for signal, slot in self._slots():
            signal.disconnect(slot)

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with the crosshair."""
        super().showEvent(event)
        self._walk.follow()

    def _slots(self) -> tuple[tuple[SignalInstance, Any], ...]:
        events, walked = self._explorer.model.events, self._walk.model.events
        return (
            (events.scene, self._follow),
            (events.anchor, self._follow),
            (walked.directions, self._on_directions_changed),
            (walked.position, self._on_position_changed),
            (walked.change, self._on_change_changed),
        )

    # -- from the models ---------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        scene = self._explorer.model.scene
        self.setEnabled(scene is None or scene.has_decoder)
        if self.isVisible():
            self._walk.follow()

    def _on_directions_changed(self) -> None:
        directions = self._walk.model.directions
        count = 0 if directions is None else len(directions)
        while len(self.rows) < count:
            self._add_row()
        for index, row in enumerate(self.rows):
            for widget in row.widgets:
                widget.setVisible(index < count)
            if directions is not None and index < count:
                self._name_row(row, directions, index)

    def _name_row(self, row: _Row, directions: Directions, index: int) -> None:
        name, axes = directions.name(index), directions.axes
        row.name.setText(name)
        row.share.setText(f"{100 * directions.share[index]:.0f} %")
        row.slider.setAccessibleName(f"{name} in standard deviations")
        row.show.setAccessibleName(f"Show {name}")
        with QSignalBlocker(row.slider):
            row.slider.setRange(
                round(axes.low[index] * STEPS_PER_DEVIATION), round(axes.high[index] * STEPS_PER_DEVIATION)
            )

    def _on_position_changed(self) -> None:
        position = self._walk.model.position
        if position is None:
            return
        for row, value in zip(self.rows, position.tolist(), strict=False):
            row.value.setText(f"{value:+.2f} σ")
            if not row.slider.isSliderDown():
                with QSignalBlocker(row.slider):
                    row.slider.setValue(round(value * STEPS_PER_DEVIATION))

    def _on_change_changed(self) -> None:
        directions, change = self._walk.model.directions, self._walk.model.change
        self.text.setText(HINT if change is None or directions is None else _in_words(directions, change))

    # -- from the user -----------------------------------------------------------------------------------------------

    def _add_row(self) -> None:
        index = len(self.rows)
        row = _Row(QLabel(), QLabel(), QSlider(Qt.Orientation.Horizontal), QLabel(), tool_button("Show", ""))
        row.share.setToolTip(
            "Share of the variance of the particles' latents, or maps, along this direction."
        )
        row.share.setAlignment(RIGHT)
        row.slider.setToolTip(
            "Place along this direction, in standard deviations of the particles from their mean; 2 % of the particles lie "
            "beyond either end."
        )
        row.value.setMinimumWidth(row.value.fontMetrics().horizontalAdvance("+00.00 σ"))
        row.value.setAlignment(RIGHT)
        row.show.setToolTip(
            "Show what one standard deviation along this direction changes: blue is added to the mean map, orange taken."
        )
        row.slider.valueChanged.connect(lambda value: self._on_slider_moved(index, value))
        row.slider.sliderReleased.connect(lambda: self._on_slider_moved(index, row.slider.value()))
        row.show.clicked.connect(lambda: self._walk.show(index))
        for column, widget in enumerate(row.widgets):
            self._grid.addWidget(widget, index, column)
        self.rows.append(row)

    def _on_slider_moved(self, index: int, value: int) -> None:
        final = not self.rows[index].slider.isSliderDown()
        self._walk.move(index, value / STEPS_PER_DEVIATION, final)


def _in_words(directions: Directions, change: Change) -> str:
    share = 100 * directions.share[change.index]
    place = ", ".join(
        f"{axis}&nbsp;=&nbsp;{value:.0f}" for axis, value in zip("xyz", change.centre, strict=True)
    )
    return (
        f"<b>{directions.name(change.index)}</b>, {share:.0f} % of the variance, changes the map around {place}&nbsp;Å from "
        f"the middle of the box, by up to {change.strength:.1f} σ of the map for one standard deviation; "
        f"{100 * change.part:.0f} % of the particle takes part."
    )
