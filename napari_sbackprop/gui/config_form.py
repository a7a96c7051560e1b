"""A form for `Config`: one control per option, made from its type, default and help text."""

from dataclasses import Field, fields
from pathlib import Path
from typing import Any, get_args

from magicgui.widgets import CheckBox, ComboBox, FileEdit, FloatSpinBox, LineEdit, SpinBox
from magicgui.widgets.bases import BaseValueWidget
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_sbackprop.config import DEVICES, PRECISIONS, RECIPES, RESUMABLE, Config
from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.controls import tool_button

CHOICES = {"recipe": RECIPES, "device": DEVICES, "precision": PRECISIONS}
FIRST = ("recipe", "latent_size", "epochs", "mask_diameter")
"""Options that are always in sight; the rest waits behind a button."""
UNITS = {"resolution": "Å", "mask_diameter": "Å"}
ABBREVIATIONS = {"kl": "KL", "ctf": "CTF"}
MOST = 1_000_000


class PathEdit(QWidget):
    """A line for a path, with a button that opens a file dialog."""

    def __init__(
        self, title: str, patterns: str = "", folder: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._title, self._patterns, self._folder = title, patterns, folder
        self.line = QLineEdit()
        self.browse = tool_button("…", title)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.line, 1)
        layout.addWidget(self.browse)
        self.browse.clicked.connect(self._on_browse_clicked)

    @property
    def path(self) -> Path | None:
        """What is written in the line, None if nothing."""
        text = self.line.text().strip()
        return Path(text).expanduser() if text else None

    def set_path(self, path: Path | None) -> None:
        self.line.setText("" if path is None else str(path))
        self.line.setCursorPosition(len(self.line.text()))

    def _on_browse_clicked(self) -> None:
        start = str(self.path or "")
        if self._folder:
            chosen, _ = QFileDialog.getSaveFileName(self, self._title, start)
        else:
            chosen, _ = QFileDialog.getOpenFileName(self, self._title, start, self._patterns)
        if chosen:
            self.set_path(Path(chosen))


class ConfigForm(QWidget):
    """Shows the options of a run and reads them back."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.controls: dict[str, BaseValueWidget[Any]] = {}
        self._of_new_run: dict[str, Any] = {}  # kept while those of another run are shown
        self._more = QWidget()
        self.more_button = QToolButton()
        self.more_button.setText("More options ▸")
        self.more_button.setCheckable(True)
        self.more_button.setAutoRaise(True)
        self.more_button.setToolTip("Options that seldom need a change.")
        self.more_button.toggled.connect(self._on_more_toggled)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(self._rows([item for item in fields(Config) if item.name in FIRST]))
        layout.addWidget(self.more_button)
        self._more.setLayout(self._rows([item for item in fields(Config) if item.name not in FIRST]))
        self._more.hide()
        layout.addWidget(self._more)

    def _rows(self, options: list["Field[Any]"]) -> QFormLayout:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(4)
        for option in options:
            control = _control(option)
            tip = f"{option.metadata['help']} (--{option.name.replace('_', '-')})"
            control.tooltip = tip[0].upper() + tip[1:]
            self.controls[option.name] = control
            unit = f" ({UNITS[option.name]})" if option.name in UNITS else ""
            label = " ".join(ABBREVIATIONS.get(word, word) for word in option.name.split("_"))
            form.addRow(label[0].upper() + label[1:] + unit, control.native)
        return form

    def config(self) -> Config:
        """The options as they stand.

        Raises
        ------
        InputError
            An option is out of range; the sentence names it.
        """
        return Config(
            **{option.name: _value(option, self.controls[option.name]) for option in fields(Config)}
        )

    def show_run(self, config: Config | None) -> None:
        """Show the options of a run that goes on, and let only those change that can; with None, those of a new run."""
        if config is None:
            for name, value in self._of_new_run.items():
                self.controls[name].value = value
            self._of_new_run = {}
        else:
            self._of_new_run = self._of_new_run or {
                name: control.value for name, control in self.controls.items()
            }
            self.set_config(config)
        for name, control in self.controls.items():
            control.enabled = config is None or name in RESUMABLE

    def set_config(self, config: Config) -> None:
        """Show these options."""
        for option in fields(Config):
            control, value = self.controls[option.name], getattr(config, option.name)
            control.value = _text(value) if isinstance(control, LineEdit) else value

    def _on_more_toggled(self, shown: bool) -> None:
        self._more.setVisible(shown)
        self.more_button.setText("Fewer options ▾" if shown else "More options ▸")


def _control(option: "Field[Any]") -> BaseValueWidget[Any]:
    default: Any = option.default
    if option.name in CHOICES:
        return ComboBox(choices=CHOICES[option.name], value=default)
    if Path in get_args(option.type):
        control = FileEdit(filter="MRC maps (*.mrc *.map)", nullable=True, value=default)
        control.line_edit.native.setPlaceholderText("automatic")
        return control
    if type(None) in get_args(option.type):
        line = LineEdit(value=_text(default))
        line.native.setPlaceholderText("automatic")
        return line
    if option.type is bool:
        return CheckBox(value=default)
    if option.type is int:
        return SpinBox(min=0, max=MOST, value=default)
    return FloatSpinBox(min=0.0, max=MOST, step=0.05, value=default)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _value(option: "Field[Any]", control: BaseValueWidget[Any]) -> Any:
    if not isinstance(control, LineEdit):
        return control.value
    text = control.value.strip()
    try:
        return float(text) if text else None
    except ValueError:
        name = option.name.replace("_", " ")
        raise InputError(f"The {name} is {text!r}: give a number, or nothing for the default.") from None
