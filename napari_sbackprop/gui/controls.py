"""Small controls that several docks are built of; every one explains itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QToolButton, QWidget

ERROR_STYLE = "color: #ff8a80;"
QUIET_STYLE = "color: #9aa4b0;"
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


def tool_button(text: str, tip: str, checkable: bool = False) -> QToolButton:
    """Make a small button with a tooltip."""
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setCheckable(checkable)
    button.setStyleSheet(TOOL_STYLE)
    return button


def with_ending(path: Path, ending: str) -> Path:
    """Append an ending such as ".mrc" where it is missing; other dots in the name stay."""
    return path if path.name.lower().endswith(ending) else path.with_name(path.name + ending)


class StatusLine(QLabel):
    """One or more lines that say what happens, or in red what went wrong; long sentences wrap."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setToolTip("What is going on, and what went wrong.")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self._style = ""
        self.say("")

    def say(self, text: str) -> None:
        """Show a message."""
        self._show(text, QUIET_STYLE)

    def complain(self, text: str) -> None:
        """Show an error."""
        self._show(text, ERROR_STYLE)

    def _show(self, text: str, style: str) -> None:
        if style != self._style:  # a new style sheet repaints more than this line
            self._style = style
            self.setStyleSheet(style)
        self.setText(text)
