"""The plugin's docks in a viewer."""

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

PLUGIN = "napari-sbackprop"
TRAIN, EXPLORE, PREFERENCES = "Train", "Explore", "Preferences"
LEAST_CANVAS = 240  # pixels in width that docks leave to the map


def open_train(viewer: Any) -> Any:
    """The Train dock of a viewer, opened if need be and brought to the front: a `TrainWidget`."""
    return _open(viewer, TRAIN)


def open_explore(viewer: Any) -> Any:
    """The Explore dock of a viewer, opened if need be and brought to the front: an `ExploreWidget`."""
    return _open(viewer, EXPLORE)


def open_preferences(viewer: Any) -> Any:
    """The Preferences dock of a viewer, opened if need be and brought to the front: a `PreferencesWidget`."""
    return _open(viewer, PREFERENCES)


def _open(viewer: Any, name: str) -> Any:
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
    dock.show()
    dock.raise_()
    widen(widget)
    return widget


def leave_room(widget: QWidget) -> None:
    """Keep the docks of a widget's window from squeezing its canvas to nothing."""
    window = widget.window()
    if isinstance(window, QMainWindow) and (canvas := window.centralWidget()) is not None:
        canvas.setMinimumWidth(LEAST_CANVAS)


def widen(widget: QWidget) -> None:
    """Give a docked widget the width that it asks for; napari's docks start as narrow as they can."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    window = widget.window()
    if parent is not None and isinstance(window, QMainWindow):
        window.resizeDocks([parent], [widget.sizeHint().width()], Qt.Orientation.Horizontal)
