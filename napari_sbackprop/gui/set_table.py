"""The table of kept sets."""

from functools import partial

from qtpy.QtCore import QPoint, QSignalBlocker, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHeaderView,
    QMenu,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_sbackprop.analysis.particle_set import SET_COLOURS, ParticleSet
from napari_sbackprop.analysis.selection import ADD, INTERSECT, SUBTRACT, combination
from napari_sbackprop.gui.explorer import Explorer

ROW_HEIGHT = 24  # pixels
MOST_ROWS = 3  # seen at once: the scatter needs the room
SWATCH = 12
COLOUR, NAME, COUNT, SHARE = range(4)
COLOUR_NAMES = ("orange", "sky blue", "green", "vermilion", "purple", "blue", "yellow")
MENU_TEXTS = {
    ADD: "Add to the selection",
    SUBTRACT: "Subtract from the selection",
    INTERSECT: "Intersect with the selection",
}


class SetTable(QTableWidget):
    """Colour, name, count and share of each set; a click selects its particles."""

    def __init__(self, explorer: Explorer, parent: QWidget | None = None) -> None:
        super().__init__(0, 4, parent)
        self._explorer = explorer
        self._selections = explorer.selections
        self.setAccessibleName("Kept sets")
        self.setToolTip(
            "Kept sets. Click one to select its particles: Ctrl adds them, Alt subtracts, both intersect.\n"
            "Tick the colour to show it; double-click the colour or the name to change it; Delete removes the set."
        )
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        header = self.horizontalHeader()
        header.hide()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in ((COUNT, 90), (SHARE, 64)):  # pixels, with room between the numbers
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.setColumnWidth(column, width)
        self.cellClicked.connect(self._on_cell_clicked)
        self.cellDoubleClicked.connect(self._on_cell_double_clicked)
        self.itemChanged.connect(self._on_item_changed)
        self.customContextMenuRequested.connect(self._on_menu_requested)
        self._explorer.model.events.sets.connect(self._on_sets_changed)
        self._on_sets_changed(explorer.model.sets, ())

    def disconnect_model(self) -> None:
        """Follow the model no longer."""
        self._explorer.model.events.sets.disconnect(self._on_sets_changed)

    def _on_sets_changed(self, sets: tuple[ParticleSet, ...], previous: tuple[ParticleSet, ...]) -> None:
        row = len(sets) - 1 if len(sets) > len(previous) else self.currentRow()
        with QSignalBlocker(self):
            self.setRowCount(len(sets))
            for number, kept in enumerate(sets):
                self._fill(number, kept)
            self.setCurrentCell(min(row, len(sets) - 1), NAME)
        self.setFixedHeight(ROW_HEIGHT * min(len(sets), MOST_ROWS) + 2)
        self.setVisible(bool(sets))

    def _fill(self, row: int, kept: ParticleSet) -> None:
        scene = self._explorer.model.scene
        share = len(kept.indices) / scene.count if scene is not None else 0.0
        texts = ("", kept.name, f"{len(kept.indices):,}", f"{100 * share:.1f} %")
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
            if column == COLOUR:
                flags |= Qt.ItemFlag.ItemIsUserCheckable
                item.setIcon(_swatch(kept.colour))
                item.setCheckState(Qt.CheckState.Checked if kept.visible else Qt.CheckState.Unchecked)
                item.setData(Qt.ItemDataRole.AccessibleTextRole, f"colour {kept.colour} of {kept.name}")
            elif column == NAME:
                flags |= Qt.ItemFlag.ItemIsEditable
            else:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            item.setFlags(flags)
            self.setItem(row, column, item)

    def _on_cell_clicked(self, row: int, column: int) -> None:
        if column != COLOUR:
            held = QApplication.keyboardModifiers()
            control = bool(held & Qt.KeyboardModifier.ControlModifier)
            alt = bool(held & Qt.KeyboardModifier.AltModifier)
            self._selections.use(row, combination(control, alt))

    def _on_cell_double_clicked(self, row: int, column: int) -> None:
        if column == COLOUR:
            place = self.visualItemRect(self.item(row, COLOUR)).center()
            menu = self._colour_menu(row, self)
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.popup(self.viewport().mapToGlobal(place))

    def _on_item_changed(self, item: QTableWidgetItem) -> None:
        if item.column() == NAME:
            self._selections.rename(item.row(), item.text())
        elif item.column() == COLOUR:
            self._selections.set_visible(item.row(), item.checkState() == Qt.CheckState.Checked)

    def _on_menu_requested(self, place: QPoint) -> None:
        if (row := self.rowAt(place.y())) >= 0:
            self.menu(row).popup(self.viewport().mapToGlobal(place))

    def menu(self, row: int) -> QMenu:
        """What can be done with a set."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for how, text in MENU_TEXTS.items():
            menu.addAction(text).triggered.connect(partial(self._on_combine, row, how))
        menu.addSeparator()
        menu.addAction("Rename").triggered.connect(lambda: self.editItem(self.item(row, NAME)))
        menu.addMenu(self._colour_menu(row, menu))
        menu.addAction("Remove").triggered.connect(lambda: self._selections.remove(row))
        return menu

    def _on_combine(self, row: int, how: str) -> None:
        self._selections.use(row, how)

    def _colour_menu(self, row: int, parent: QWidget) -> QMenu:
        menu = QMenu("Colour", parent)
        for colour, name in zip(SET_COLOURS, COLOUR_NAMES, strict=True):
            action = menu.addAction(_swatch(colour), name)
            action.triggered.connect(partial(self._on_recolour, row, colour))
        return menu

    def _on_recolour(self, row: int, colour: str) -> None:
        self._selections.recolour(row, colour)

    def remove_current(self) -> None:
        """Remove the set in the current row."""
        if 0 <= (row := self.currentRow()) < len(self._explorer.model.sets):
            self._selections.remove(row)


def _swatch(colour: str) -> QIcon:
    pixmap = QPixmap(SWATCH, SWATCH)
    pixmap.fill(QColor(colour))
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Selected)  # a marked row would tint it
    return icon
