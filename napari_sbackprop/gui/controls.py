"""Small controls that several docks are built of; every one explains itself."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QIcon, QPalette
from qtpy.QtWidgets import QComboBox, QLabel, QMenu, QPushButton, QSizePolicy, QToolButton, QWidget

ERROR = ("#ff8a80", "#a8201a")  # on a dark background, on a light one
QUIET = ("#9aa4b0", "#555e68")
_THEME_CHANGES = (QEvent.Type.StyleChange, QEvent.Type.PaletteChange)


def _tool_style(
    ground: str, text: str, hovered: str, checked: str, checked_text: str, disabled: str, disabled_text: str
) -> str:
    """Style sheet of small buttons, of one theme's colours."""
    return f"""
QToolButton {{ background: {ground}; color: {text}; border-radius: 2px; padding: 4px 8px; }}
QToolButton:hover {{ background: {hovered}; }}
QToolButton:checked {{ background: {checked}; color: {checked_text}; }}
QToolButton:disabled {{ background: {disabled}; color: {disabled_text}; }}
QToolButton::menu-indicator {{ image: none; }}
"""


_TOOL_STYLE = _tool_style("#414851", "#f0f1f2", "#5a626c", "#4867b8", "white", "#2c3138", "#6b737d")
_LIGHT_TOOL_STYLE = _tool_style("#c0bfbe", "#101010", "#aeacab", "#8fa4ea", "#101010", "#dcd9d7", "#8d8a88")


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
    button = _ToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setCheckable(checkable)
    return button


def icon_button(icon: QIcon, side: int, name: str, tip: str, checkable: bool = False) -> QToolButton:
    """Make a button with a light picture of `side` pixels, dark in every theme; a name for screen readers."""
    button = QToolButton()
    button.setIcon(icon)
    button.setIconSize(QSize(side, side))
    button.setAccessibleName(name)
    button.setToolTip(tip)
    button.setCheckable(checkable)
    button.setStyleSheet(_TOOL_STYLE + "QToolButton { padding: 2px; }")
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


def _is_light(widget: QWidget) -> bool:
    """Whether the present theme has a light background."""
    return widget.palette().color(QPalette.ColorRole.Window).lightness() > 127


class _ToolButton(QToolButton):
    """Small button in the colours of the present theme."""

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        parent = self.parentWidget()  # its own background is that of the style sheet
        if parent is not None and event.type() in _THEME_CHANGES:
            style = _LIGHT_TOOL_STYLE if _is_light(parent) else _TOOL_STYLE
            if style != self.styleSheet():
                self.setStyleSheet(style)


class ThemedLabel(QLabel):
    """Text in a colour that can be read on the background of the present theme: QUIET, or ERROR."""

    _colours = QUIET

    def set_colours(self, colours: tuple[str, str]) -> None:
        """Have other colours on a dark background and on a light one."""
        self._colours = colours
        style = f"color: {colours[_is_light(self)]};"
        if style != self.styleSheet():  # a new style sheet repaints more than this label
            self.setStyleSheet(style)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() in _THEME_CHANGES:
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
