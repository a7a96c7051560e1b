"""A person before the window: real mouse and key events, sent where Qt would send them."""

import operator
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from event_loop import EventLoop
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QContextMenuEvent, QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QLineEdit,
    QMenu,
    QRadioButton,
    QSlider,
    QStyle,
    QStyleOptionSlider,
    QWidget,
)

MOVE_SECONDS = 0.015  # between two events of a moving mouse
POLL_MILLISECONDS = 40
PATIENCE = 20.0  # seconds for a menu or a dialog to come, or to close once it was answered
Place = npt.ArrayLike


class Person:
    """Has a mouse and a keyboard, and sees what the event loop does.

    Places are pixels of a widget, (x, y) from its upper left corner; by default its middle. Modifiers are named
    as in Qt, "Shift Control".
    """

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._plans: list[Callable[[], bool]] = []
        self._waited = 0.0
        self._look()

    # -- the mouse ---------------------------------------------------------------------------------------------------

    def press(
        self, widget: QWidget, place: Place | None = None, held: str = "", button: str = "Left"
    ) -> None:
        self._mouse(widget, "MouseButtonPress", place, held, button)

    def move(self, widget: QWidget, place: Place, held: str = "", button: str = "Left") -> None:
        """Move on with the button down."""
        self._mouse(widget, "MouseMove", place, held, button)
        self._loop.run(MOVE_SECONDS)

    def release(
        self, widget: QWidget, place: Place | None = None, held: str = "", button: str = "Left"
    ) -> None:
        self._mouse(widget, "MouseButtonRelease", place, held, button)

    def click(self, widget: QWidget, place: Place | None = None, held: str = "") -> None:
        self.press(widget, place, held)
        self.release(widget, place, held)

    def double_click(self, widget: QWidget, place: Place | None = None) -> None:
        self.click(widget, place)
        self._mouse(widget, "MouseButtonDblClick", place, "", "Left")
        self.release(widget, place)

    def drag(self, widget: QWidget, places: Place, held: str = "", button: str = "Left") -> None:
        """Press at the first of the places (n, 2), move along, release at the last."""
        points = np.asarray(places, dtype=float)
        self.press(widget, points[0], held, button)
        for point in points[1:]:
            self.move(widget, point, held, button)
        self.release(widget, points[-1], held, button)

    def slide(self, slider: QSlider, value: int) -> None:
        """Drag the handle of a horizontal slider to about a value."""
        option = QStyleOptionSlider()
        slider.initStyleOption(option)
        complex_control, handle = QStyle.ComplexControl.CC_Slider, QStyle.SubControl.SC_SliderHandle
        here = slider.style().subControlRect(complex_control, option, handle, slider)
        room = slider.width() - here.width()
        target = here.width() / 2 + QStyle.sliderPositionFromValue(
            slider.minimum(), slider.maximum(), value, room
        )
        middle = here.center()
        self.drag(slider, np.linspace((middle.x(), middle.y()), (target, middle.y()), 10))

    def _mouse(self, widget: QWidget, kind: str, place: Place | None, held: str, button: str) -> None:
        if place is None:
            middle = widget.rect().center()
            place = (middle.x(), middle.y())
        point, none = QPointF(*np.asarray(place, dtype=float)), Qt.MouseButton.NoButton
        name = getattr(Qt.MouseButton, f"{button}Button")
        event = QMouseEvent(
            getattr(QEvent.Type, kind),
            point,
            QPointF(widget.mapToGlobal(point.toPoint())),
            none if kind == "MouseMove" else name,
            none if kind == "MouseButtonRelease" else name,
            _modifiers(held),
        )
        with self._loop.listening():
            QApplication.sendEvent(widget, event)

    # -- the keyboard ------------------------------------------------------------------------------------------------

    def key(self, widget: QWidget, name: str, held: str = "") -> None:
        """Press a key, named as in Qt."""
        with self._loop.listening():
            QTest.keyClick(widget, getattr(Qt.Key, f"Key_{name}"), _modifiers(held))

    def type(self, widget: QWidget, text: str) -> None:
        """Type a text in place of what a line or a number holds."""
        line = widget if isinstance(widget, QLineEdit) else widget.findChild(QLineEdit)
        line.setFocus()
        line.selectAll()
        for letter in text:
            with self._loop.listening():
                QTest.keyClicks(line, letter)
            self._loop.run(0.02)

    def choose(self, box: QComboBox, text: str) -> None:
        """Open a list, go to an entry, and take it."""
        row = box.findText(text)
        if row < 0 or not box.isEnabled():
            raise LookupError(f"{box.accessibleName()} does not offer {text!r}")
        with self._loop.listening():
            box.showPopup()
        self._loop.run(0.05)
        self.key(box.view(), "Home")
        for _ in range(row):
            self.key(box.view(), "Down")
        self.key(box.view(), "Return")
        self._loop.run(0.05)

    # -- menus and dialogs -------------------------------------------------------------------------------------------

    def take(self, button: QAbstractButton, text: str) -> None:
        """Open the menu of a button and take an entry."""
        self._plan_menu(text)
        self.click(button)
        self._loop.until(lambda: not self._plans, f"the menu with {text!r}")

    def take_at(self, widget: QWidget, place: QPoint, text: str) -> None:
        """Open the context menu at a place of a widget and take an entry."""
        self._plan_menu(text)
        mouse = QContextMenuEvent.Reason.Mouse
        with self._loop.listening():
            QApplication.sendEvent(widget, QContextMenuEvent(mouse, place, widget.mapToGlobal(place)))
        self._loop.until(lambda: not self._plans, f"the menu with {text!r}")

    def answer(self, *paths: Path) -> None:
        """Type these paths into the file dialogs that come next."""
        for path in paths:
            self._plans.append(lambda path=path: self._fill(path))

    def agree(self, text: str) -> None:
        """Take an entry of the dialog that comes next, and close it with its OK."""
        self._plans.append(lambda: self._agree(text))

    def _plan_menu(self, text: str) -> None:
        self._plans.insert(0, lambda: self._take(text))

    def _look(self) -> None:
        """Look for the menu or dialog that a plan is for; they have event loops of their own."""
        QTimer.singleShot(
            POLL_MILLISECONDS, self._look
        )  # another timer: one never fires in what it has begun itself
        stopping = QApplication.activePopupWidget() or QApplication.activeModalWidget()
        if not self._plans and stopping is None:
            self._waited = 0.0
            return
        self._waited += POLL_MILLISECONDS / 1000
        if self._waited > PATIENCE:
            self._give_up(stopping)
        elif self._plans:
            plan = self._plans.pop(0)  # before it acts: the next one may be for what it opens
            if plan():
                self._waited = 0.0
            else:
                self._plans.insert(0, plan)

    def _give_up(self, stopping: QWidget | None) -> None:
        """Close what stays open, lest the tour stand still."""
        print(f"closing {stopping}", file=sys.stderr)
        self._plans.clear()
        self._waited = 0.0
        if stopping is not None:
            stopping.close()

    def _take(self, text: str) -> bool:
        menu = QApplication.activePopupWidget()
        action = menu and next((item for item in menu.actions() if item.text() == text), None)
        if not isinstance(menu, QMenu) or action is None:
            return False
        self.click(menu, _corner(menu.actionGeometry(action).center()))
        return True

    def _agree(self, text: str) -> bool:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QDialog):
            return False
        self.click(next(button for button in dialog.findChildren(QRadioButton) if text in button.text()))
        buttons = dialog.findChild(QDialogButtonBox)
        self.click(buttons.button(QDialogButtonBox.StandardButton.Ok))
        return True

    def _fill(self, path: Path) -> bool:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QFileDialog):
            return False
        line = dialog.findChild(QLineEdit, "fileNameEdit")
        with self._loop.listening():
            line.setText(str(path))  # letter by letter it would complete names of other files
        self.key(line, "Return")
        return True


def _corner(point: QPoint) -> tuple[int, int]:
    return point.x(), point.y()


def _modifiers(held: str) -> Any:
    names = [f"{name}Modifier" for name in held.split()] or ["NoModifier"]
    return reduce(operator.or_, (getattr(Qt.KeyboardModifier, name) for name in names))
