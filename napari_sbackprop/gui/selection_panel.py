"""The selection, and the sets that are kept, with what can be done to them."""

from typing import Any

from psygnal import SignalInstance
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_sbackprop.gui.controls import push_button, tool_button
from napari_sbackprop.gui.explorer import Explorer
from napari_sbackprop.gui.export_menu import ExportMenu
from napari_sbackprop.gui.query_line import QueryLine
from napari_sbackprop.gui.set_table import SetTable

RECONSTRUCT = "Reconstruct"
NOTHING_SELECTED = "Nothing is selected"


class SelectionPanel(QWidget):
    """Shows the model's selection and sets, and passes on what is asked of them."""

    def __init__(self, explorer: Explorer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._explorer = explorer
        self._selections = explorer.selections
        self.count = QLabel()
        self.count.setToolTip(
            "Selected particles, of all in the run. Hold Shift and draw around particles to select them."
        )
        self.count.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.query = QueryLine(explorer)
        self.table = SetTable(explorer)
        self._build()
        for signal, slot in self._slots():
            signal.connect(slot)
        self._on_selection_changed()

    def _build(self) -> None:
        self.keep = tool_button("Keep", "Keep the selection as a set with a name and a colour (K).")
        self.invert = tool_button("Invert", "Select what is not selected (I).")
        self.clear = tool_button("Clear", "Select nothing (Esc).")
        self.undo = tool_button("↶", "Take back the last change of the selection or of the sets (Ctrl+Z).")
        self.undo.setAccessibleName("Undo")
        self.redo = tool_button("↷", "Do again what was taken back (Ctrl+Shift+Z).")
        self.redo.setAccessibleName("Redo")
        self.show_map = push_button(
            "Show map", "Show the map of the selected particles, from all that they say together."
        )
        self.reconstruct = push_button(
            RECONSTRUCT,
            "Back-project the selected particles from their images, in half sets, beside the decoded map.",
        )
        self.export = push_button(
            "Export STAR…", "Write the original rows of the selected particles, unchanged, to a STAR file."
        )
        self.menu = ExportMenu(self._explorer, self)
        self.more = tool_button(
            "▾", "Other exports: rows of another file, images before subtraction, classes, a layer of napari."
        )
        self.more.setAccessibleName("Other exports")
        self.more.setMenu(self.menu)
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.remove = push_button(
            "Remove set", "Forget the set in the marked row (Delete); exported files stay."
        )
        state, buttons = QHBoxLayout(), QHBoxLayout()
        state.setSpacing(4)
        state.addWidget(self.count, 1)
        for button in (self.keep, self.invert, self.clear, self.undo, self.redo):
            state.addWidget(button)
        for button in (self.show_map, self.reconstruct, self.export, self.more, self.remove):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.query)
        layout.addLayout(state)
        layout.addWidget(self.table)
        layout.addLayout(buttons)
        for button, slot in (
            (self.keep, self._selections.keep),
            (self.invert, self._selections.invert),
            (self.clear, self._selections.clear),
            (self.undo, self._selections.undo),
            (self.redo, self._selections.redo),
            (self.show_map, self._explorer.show_selection),
            (self.reconstruct, self._explorer.reconstruct_selection),
            (self.export, self.menu.export),
            (self.remove, self.table.remove_current),
        ):
            button.clicked.connect(lambda _, slot=slot: slot())

    def disconnect_model(self) -> None:
        """Follow the model no longer."""
        self.query.disconnect_model()
        self.table.disconnect_model()
        for signal, slot in self._slots():
            signal.disconnect(slot)

    def _slots(self) -> tuple[tuple[SignalInstance, Any], ...]:
        events = self._explorer.model.events
        return (
            (events.selection, self._on_selection_changed),
            (events.sets, self._on_selection_changed),
            (events.scene, self._on_selection_changed),
            (events.reconstructing, self._on_selection_changed),
        )

    def _on_selection_changed(self) -> None:
        model, history = self._explorer.model, self._selections.history
        selection, scene = model.selection, model.scene
        for widget in (self.keep, self.clear, self.export):
            widget.setEnabled(selection is not None)
        self.show_map.setEnabled(selection is not None and scene is not None and scene.has_decoder)
        self.reconstruct.setEnabled(selection is not None or model.reconstructing)  # or it stops
        self.reconstruct.setText("Stop" if model.reconstructing else RECONSTRUCT)
        self.undo.setEnabled(history.can_undo)
        self.redo.setEnabled(history.can_redo)
        self.remove.setVisible(bool(model.sets))
        if selection is None or scene is None:
            self.count.setText(NOTHING_SELECTED)
        else:
            count = len(selection.indices)
            share = 100 * count / scene.count
            self.count.setText(f"<b>{count:,}</b> of {scene.count:,} ({share:.1f} %)")
