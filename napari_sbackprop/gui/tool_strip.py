"""The palette of tools beside the scatter: what the left button does, and how selections are combined."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QFrame, QGridLayout, QToolButton, QWidget

from napari_sbackprop.analysis.selection import ADD, INTERSECT, REPLACE, SUBTRACT
from napari_sbackprop.gui.controls import icon_button
from napari_sbackprop.gui.scatter import BRUSH, CLUSTERS, EXPLORE, LASSO, PAN, PATH, RECTANGLE, REGION
from napari_sbackprop.gui.tool_icons import SIZE, tool_icon

TOOLS = (
    (EXPLORE, "Explore", "E", "Click or drag to show the map at the cursor."),
    (LASSO, "Lasso", "L", "Draw around particles to select them (Shift does the same with every tool)."),
    (RECTANGLE, "Rectangle", "R", "Drag a rectangle around particles to select them."),
    (BRUSH, "Brush", "B", "Paint over particles to select them."),
    (CLUSTERS, "Clusters", "C", "Find clusters in the latent space; click one to select it."),
    (REGION, "Sphere", "S", "Click the map to place a sphere; select by the density in it."),
    (PATH, "Path", "P", "Draw a path, or click its points, and play the maps along it."),
    (PAN, "Move", "M", "Drag to move the view (the right button does the same with every tool)."),
)
COMBINATIONS = (
    (REPLACE, "Replace", "1", "What is found becomes the selection."),
    (ADD, "Add", "2", "What is found joins the selection; Ctrl held down does the same."),
    (SUBTRACT, "Subtract", "3", "What is found leaves the selection; Alt held down does the same."),
    (INTERSECT, "Intersect", "4", "Only what is found stays selected; Ctrl and Alt held down do the same."),
)
COLUMNS = 2
Entries = tuple[tuple[str, str, str, str], ...]


class ToolStrip(QWidget):
    """Two groups of buttons, of which one each is pressed.

    Signals
    -------
    tool_chosen, combining_chosen : EXPLORE ..., REPLACE ...
    """

    tool_chosen = Signal(str)
    combining_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[str, QToolButton] = {}
        self._tips = {key: _tip(*words) for key, *words in (*TOOLS, *COMBINATIONS)}
        self._layout = QGridLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(1)
        self._add_group(TOOLS, self.tool_chosen)
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        self._layout.addWidget(line, self._layout.rowCount(), 0, 1, COLUMNS)
        self._add_group(COMBINATIONS, self.combining_chosen)
        self._layout.setRowStretch(self._layout.rowCount(), 1)

    def refuse(self, tool: str, why: str) -> None:
        """Offer a tool no longer, and say why; with an empty reason, offer it again."""
        button = self.buttons[tool]
        button.setEnabled(not why)
        button.setToolTip("<br>".join([self._tips[tool], *filter(None, [why])]))
        if why and button.isChecked():
            self.buttons[EXPLORE].click()

    def _add_group(self, entries: Entries, chosen: Signal) -> None:
        group, first = QButtonGroup(self), self._layout.rowCount()
        for number, (key, name, _, _) in enumerate(entries):
            button = icon_button(tool_icon(key), SIZE, name, self._tips[key], checkable=True)
            button.setFixedSize(SIZE + 10, SIZE + 6)
            button.clicked.connect(lambda _, key=key: chosen.emit(key))
            button.setChecked(not group.buttons())
            group.addButton(button)
            self._layout.addWidget(button, first + number // COLUMNS, number % COLUMNS)
            self.buttons[key] = button


def _tip(name: str, shortcut: str, tip: str) -> str:
    return f"<b>{name}</b> ({shortcut})<br>{tip}"
