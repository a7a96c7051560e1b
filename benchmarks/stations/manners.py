"""Keys, drag and drop, themes, narrow docks, names for screen readers."""

from pathlib import Path
from typing import Any

import numpy as np
from guide import Guide
from qtpy.QtCore import QEvent, QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QSlider,
    QWidget,
)

from napari_sbackprop.gui.docks import open_explore, open_preferences, open_train
from napari_sbackprop.gui.preferences import preferences_path
from napari_sbackprop.gui.tool_strip import COMBINATIONS, TOOLS

CONTROLS = (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit, QSlider)
LEAST_CANVAS = 400  # pixels of the map's canvas that docks must leave


def behave(guide: Guide) -> None:
    """See that the window has manners."""
    _keys(guide)
    _names(guide)
    _session(guide)
    _preferences(guide)
    _drop(guide)
    _themes(guide)
    _narrow(guide)


def _keys(guide: Guide) -> None:
    guide.does("keys")
    strip = guide.dock.scatter_panel.tools
    for name, title, key, _ in (*TOOLS[1:], TOOLS[0], *COMBINATIONS[1:], COMBINATIONS[0]):
        guide.hold(key)
        guide.check(f"{key} takes {title}", strip.buttons[name].isChecked())
        guide.check(f"the tooltip of {title} names {key}", f"({key})" in strip.buttons[name].toolTip())


def _session(guide: Guide) -> None:
    guide.does("leaving a run")
    run, panel = guide.model.scene.run.path, guide.dock.map_panel
    guide.click_particle(0.15)
    guide.person.click(panel.pin)
    guide.settle()
    guide.click_particle(0.85)
    guide.hold("N")
    guide.person.choose(guide.dock.scatter_panel.colour, "rlnDefocusU")
    guide.person.slide(panel.contour, panel.contour.value() + 15)
    guide.person.choose(panel.comparison, "Difference")
    guide.settle()
    width, height = guide.map.width(), guide.map.height()
    guide.person.drag(guide.map, np.linspace((width / 2, height / 2), (width / 2 + 60, height / 2), 8))
    guide.settle()
    left = _on_screen(guide)
    guide.does("opening a recent run")
    guide.person.take(guide.dock.recent_button, run.name)
    guide.loop.until(lambda: guide.model.frame is None, "the run to be closed")
    guide.loop.until(lambda: guide.model.frame is not None and guide.model.columns.values, "the run")
    guide.settle()
    again = _on_screen(guide)
    changed = [name for name, value in left.items() if again[name] != value]
    guide.check(f"a run opens as it was left {changed or ''}".strip(), not changed)
    guide.picture("reopened")
    guide.open(run)


def _on_screen(guide: Guide) -> dict[str, Any]:
    model, camera = guide.model, guide.viewer.scene.camera
    return {
        "selected": model.selection.indices.tolist(),
        "place": [round(value, 4) for value in model.point],
        "map": round(float(np.abs(model.frame.volume).sum()), 1),
        "pinned": round(float(np.abs(model.pinned.volume).sum()), 1),
        "looks": (model.contour, model.comparison, model.colouring, model.colour, model.renderer),
        "angles": tuple(round(angle, 2) for angle in camera.angles),
        "zoom": round(camera.zoom, 3),
    }


def _preferences(guide: Guide) -> None:
    guide.does("preferences")
    guide.person.click(guide.dock.preferences_button)
    preferences = open_preferences(guide.viewer)
    guide.loop.run(0.3)
    guide.person.choose(preferences.device, "Processor")
    device = open_train(guide.viewer).form.config().device
    guide.check("a preferred device is that of the next training", device == "cpu")
    guide.check("it is kept", '"device": "cpu"' in preferences_path().read_text())
    open_preferences(guide.viewer)
    guide.loop.run(0.3)
    guide.picture("preferences")
    guide.person.choose(preferences.device, "GPU if there is one")
    open_explore(guide.viewer)
    guide.loop.run(0.3)


def _names(guide: Guide) -> None:
    guide.does("names and explanations")
    nameless = []
    for kind in CONTROLS:
        for control in guide.dock.findChildren(kind):
            own = not control.objectName().startswith("qt_")
            text = control.text() if isinstance(control, QAbstractButton) else ""
            if own and control.isVisible() and not (control.accessibleName() or text or control.toolTip()):
                nameless.append(type(control).__name__)
    guide.check(f"every control has a name or an explanation {nameless or ''}".strip(), not nameless)


def _drop(guide: Guide) -> None:
    guide.does("dropping a run")
    run = guide.model.scene.run.path
    guide.person.agree("sbackprop")  # napari has a reader of folders as well, and asks
    _drop_on(guide, run)
    guide.loop.until(lambda: guide.model.busy or guide.model.frame is None, "the dropped run")
    guide.loop.until(lambda: guide.model.frame is not None, "the dropped run")
    guide.settle()
    guide.check("a dropped run is explored", guide.model.scene.run.path == run)
    guide.does("dropping particles")
    _drop_on(guide, guide.particles)
    train = open_train(guide.viewer)
    guide.loop.until(
        lambda: "Å" in train.report.text() or "px" in train.report.text(), "the report of the particles"
    )
    guide.check("dropped particles are looked at", train.star.path == guide.particles)
    guide.picture("dropped-particles")
    open_explore(guide.viewer)
    guide.loop.run(0.2)


def _drop_on(guide: Guide, path: Path) -> None:
    target = guide.map
    while not target.acceptDrops():
        target = target.parentWidget()
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    middle, copy = target.rect().center(), Qt.DropAction.CopyAction
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    with guide.loop.listening():
        QApplication.sendEvent(target, QDragEnterEvent(middle, copy, data, left, none))
        QApplication.sendEvent(target, QDropEvent(QPointF(middle), copy, data, left, none, QEvent.Type.Drop))


def _themes(guide: Guide) -> None:
    guide.does("light theme")
    with guide.loop.listening():
        guide.viewer.theme = "light"
    guide.loop.run(0.5)
    window = guide.dock.palette().color(guide.dock.backgroundRole())
    text = guide.dock.header.palette().color(guide.dock.header.foregroundRole())
    guide.check("text can be read on a light theme", window.lightness() - text.lightness() > 100)
    guide.picture("light")
    with guide.loop.listening():
        guide.viewer.theme = "dark"
    guide.loop.run(0.5)


def _narrow(guide: Guide) -> None:
    guide.does("narrow dock")
    window, dock = guide.dock.window(), guide.explore_dock
    width = dock.width()
    with guide.loop.listening():
        window.resizeDocks([dock], [100], Qt.Orientation.Horizontal)
    guide.loop.run(0.3)
    guide.check("a narrow dock shows all of itself", _inside(guide.dock))
    guide.check("and leaves the map its room", guide.map.width() > LEAST_CANVAS)
    guide.picture("narrow")
    with guide.loop.listening():
        window.resizeDocks([dock], [2000], Qt.Orientation.Horizontal)
    guide.loop.run(0.3)
    guide.check("a wide one leaves the map some room", guide.map.width() >= 200)
    with guide.loop.listening():
        window.resizeDocks([dock], [width], Qt.Orientation.Horizontal)
    guide.loop.run(0.3)


def _inside(dock: QWidget) -> bool:
    """Whether no control lies beyond the right edge of the dock."""
    shown = [control for kind in CONTROLS for control in dock.findChildren(kind) if control.isVisible()]
    return all(control.mapTo(dock, control.rect().bottomRight()).x() <= dock.width() for control in shown)
