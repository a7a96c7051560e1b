"""Keys of the Explore dock; they count while the dock has the focus, and leave napari its own."""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QWidget

from napari_sbackprop.gui.scatter_panel import ScatterPanel
from napari_sbackprop.gui.selection_panel import SelectionPanel
from napari_sbackprop.gui.tool_strip import COMBINATIONS, TOOLS


def add_shortcuts(dock: QWidget, scatter: ScatterPanel, selection: SelectionPanel) -> None:
    """Give the tools of a dock the keys that their tooltips name."""
    for name, _, keys, _ in (*TOOLS, *COMBINATIONS):
        _add(dock, keys, scatter.tools.buttons[name].click)
    _add(dock, "F", scatter.fit.click)
    _add(dock, "N", scatter.options.select_nearest.click)
    _add(dock, "/", selection.query.text.setFocus)
    _add(dock, "K", selection.keep.click)
    _add(dock, "I", selection.invert.click)
    _add(dock, "Esc", selection.clear.click)
    _add(dock, "Ctrl+Z", selection.undo.click)
    _add(dock, "Ctrl+Shift+Z", selection.redo.click)
    _add(selection.table, "Del", selection.remove.click)


def _add(widget: QWidget, keys: str, slot: Callable[[], Any]) -> None:
    shortcut = QShortcut(QKeySequence(keys), widget)
    shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
    shortcut.activated.connect(slot)
