"""Small controls that several docks are built of; every one explains itself."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QComboBox, QLabel, QMenu, QPushButton, QSizePolicy, QToolButton, QWidget

ERROR = ("#ff8a80", "#a8201a")  # on a dark background, on a light one
QUIET = ("#9aa4b0", "#555e68")
TOOL_STYLE = """
QToolButton { background: #414851; color: #f0f1f2; border-radius: 2px; padding: 4px 8px; }
QToolButton:hover { background: #5a626c; }
QToolButton:checked { background: #4867b8; color: white; }
QToolButton:disabled { background: #2c3138; color: #6b737d; }
"""


def push_button(text: str, tip: str, on_click: Callable[[], Any] | None = None) -> QPushButton:
    """Make a button with a tooltip; `on_click` is called without arguments."""
    button = QPushButton(text)
    button.setToolTip(tip)
    if on_click is not None:
        button.clicked.connect(lambda: on_click())
    return button


def menu_button(text: str, tip: str, menu: QMenu) -> QPushButton:
    """Make a button that opens a menu; the arrow is part of its text, as themes crop the other one."""
    button = push_button(f"{text} ▾", tip)
    button.setAccessibleName(text)
    button.setMenu(menu)
    button.setStyleSheet("QPushButton::menu-indicator { image: none; width: 0; }")
    return button


def tool_button(text: str, tip: str, checkable: bool = False) -> QToolButton:
    """Make a small button with a tooltip."""
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setCheckable(checkable)
    button.setStyleSheet(TOOL_STYLE)
    return button


def chooser(items: Mapping[str, str], name: str, tip: str) -> QComboBox:
    """Make a list to choose from: what is chosen by what is read, with a name for screen readers and a tooltip."""
    box = QComboBox()
    for value, text in items.items():
        box.addItem(text, value)
    box.setAccessibleName(name)
    box.setToolTip(tip)
    return box


def menu_text(name: str) -> str:
    """The text of a menu's entry that reads like a name; a single & would underline the next letter."""
    return name.replace("&", "&&")


def with_ending(path: Path, ending: str) -> Path:
    """Append an ending such as ".mrc" where it is missing; other dots in the name stay."""
    return path if path.name.lower().endswith(ending) else path.with_name(path.name + ending)


class ThemedLabel(QLabel):
    """Text in a colour that can be read on the background of the present theme: QUIET, or ERROR."""

    _colours = QUIET

    def set_colours(self, colours: tuple[str, str]) -> None:
        """Have other colours on a dark background and on a light one."""
        self._colours = colours
        light = self.palette().color(QPalette.ColorRole.Window).lightness() > 127
        style = f"color: {colours[light]};"
        if style != self.styleSheet():  # a new style sheet repaints more than this label
            self.setStyleSheet(style)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self.set_colours(self._colours)


class StatusLine(ThemedLabel):
    """One or more lines that say what happens, or in red what went wrong; long sentences wrap."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setToolTip("What is going on, and what went wrong.")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.say("")

    def say(self, text: str) -> None:
        """Show a message."""
        self._show(text, QUIET)

    def complain(self, text: str) -> None:
        """Show an error."""
        self._show(text, ERROR)

    def _show(self, text: str, colours: tuple[str, str]) -> None:
        self.set_colours(colours)
        self.setText(text)
