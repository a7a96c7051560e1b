"""The line in which conditions on particles are typed."""

import re
from typing import Any

from psygnal import SignalInstance
from qtpy.QtCore import QModelIndex, QStringListModel, Qt, QTimer
from qtpy.QtWidgets import QCompleter, QHBoxLayout, QLabel, QLineEdit, QWidget

from napari_sbackprop.analysis.query import EXAMPLE
from napari_sbackprop.gui.controls import tool_button
from napari_sbackprop.gui.explorer import Explorer

TYPING_MILLISECONDS = 250
COUNT_WIDTH = 110  # pixels
_LAST_WORD = re.compile(r"[^\W\d][\w.]*$")


class NameCompleter(QCompleter):
    """Completes the last name of a query, not the whole line."""

    def __init__(self, edit: QLineEdit) -> None:
        super().__init__(edit)
        self._edit = edit
        self._names = QStringListModel(self)
        self.setModel(self._names)
        self.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.setFilterMode(Qt.MatchFlag.MatchContains)  # few know how labels begin

    def set_names(self, names: list[str]) -> None:
        """Offer these names."""
        self._names.setStringList(names)

    def splitPath(self, path: str) -> list[str]:
        """What to complete: the name at the end of the text, or something that no name contains."""
        word = _LAST_WORD.search(path)
        return [word[0] if word else "\n"]

    def pathFromIndex(self, index: QModelIndex) -> str:
        """The text with its last name completed."""
        return _LAST_WORD.sub(str(super().pathFromIndex(index)), self._edit.text())


class QueryLine(QWidget):
    """Counts while conditions are typed, and selects at Return."""

    def __init__(self, explorer: Explorer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = explorer.model
        self._queries = explorer.queries
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING_MILLISECONDS)
        self._typing.timeout.connect(self._ask)
        self.text = QLineEdit()
        self.text.setPlaceholderText(EXAMPLE)
        self.text.setClearButtonEnabled(True)
        self.text.setAccessibleName("Query")
        self.text.setToolTip(
            "Conditions on STAR columns, latents z1, z2 …, contrast and cluster; & | ~ and brackets join them, text "
            "stands in quotes. Return selects (/)."
        )
        self._completer = NameCompleter(self.text)
        self.text.setCompleter(self._completer)
        self.count = QLabel()
        self.count.setFixedWidth(COUNT_WIDTH)
        self.count.setAccessibleName("Particles that the query holds for")
        self.select = tool_button("Select", "Select the particles that the conditions hold for (Return).")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.count)
        layout.addWidget(self.select)
        self.count.hide()
        self.text.textChanged.connect(self._on_text_changed)
        self.text.returnPressed.connect(self._on_select)
        self.select.clicked.connect(self._on_select)
        for signal, slot in self._slots():
            signal.connect(slot)
        self._on_matched()

    def disconnect_model(self) -> None:
        """Follow the model no longer."""
        self._typing.stop()
        for signal, slot in self._slots():
            signal.disconnect(slot)

    def _slots(self) -> tuple[tuple[SignalInstance, Any], ...]:
        events = self._model.events
        return (
            (events.scene, self._on_values_changed),
            (events.columns, self._on_values_changed),
            (events.clustering, self._on_values_changed),
            (events.matching, self._on_matched),
        )

    def _on_values_changed(self) -> None:
        self._completer.set_names(self._queries.names)
        self._ask()

    def _on_text_changed(self, text: str) -> None:
        self.count.setVisible(bool(text))
        self._typing.start()

    def _ask(self) -> None:
        self._queries.ask(self.text.text())

    def _on_select(self) -> None:
        self._typing.stop()
        self._queries.select(self.text.text())

    def _on_matched(self) -> None:
        matching = self._model.matching
        self.select.setEnabled(matching is not None and len(matching.indices) > 0)
        self.count.setText("" if matching is None else f"{len(matching.indices):,} particles")
