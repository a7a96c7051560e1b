"""The list of selections, with what can be done to the marked one."""

from pathlib import Path

from psygnal import SignalInstance
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_sbackprop.gui.controls import push_button, with_ending
from napari_sbackprop.gui.explorer import Explorer

LIST_HEIGHT = 76
RECONSTRUCT = "Reconstruct"


class SelectionPanel(QWidget):
    """Shows the model's selections and passes on what is asked of them."""

    def __init__(self, explorer: Explorer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._explorer = explorer
        self.count = QLabel()
        self.count.setToolTip("Particles in the marked selection, of all in the run.")
        self.list = QListWidget()
        self.list.setFixedHeight(LIST_HEIGHT)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setToolTip("Named selections. Click to mark one, double-click to rename it.")
        self.show_map = push_button(
            "Show map", "Show the map of these particles, from all that they say together."
        )
        self.reconstruct = push_button(
            RECONSTRUCT,
            "Back-project these particles from their images, in half sets, beside the decoded map.",
        )
        self.export = push_button(
            "Export STAR…", "Write the original rows of these particles, unchanged, to a STAR file."
        )
        self.remove = push_button("Remove", "Forget this selection; exported files stay.")
        buttons = QHBoxLayout()
        for button in (self.show_map, self.reconstruct, self.export, self.remove):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.count)
        layout.addWidget(self.list)
        layout.addLayout(buttons)
        self.show_map.clicked.connect(explorer.show_selection)
        self.reconstruct.clicked.connect(explorer.reconstruct_selection)
        self.export.clicked.connect(self._on_export_clicked)
        self.remove.clicked.connect(self._on_remove_clicked)
        self.list.currentRowChanged.connect(explorer.selections.activate)
        self.list.itemChanged.connect(self._on_item_changed)
        for signal in self._signals():
            signal.connect(self._on_selections_changed)
        explorer.model.events.reconstructing.connect(self._on_reconstructing_changed)
        self._on_selections_changed()

    def disconnect_model(self) -> None:
        """Follow the model no longer."""
        for signal in self._signals():
            signal.disconnect(self._on_selections_changed)
        self._explorer.model.events.reconstructing.disconnect(self._on_reconstructing_changed)

    def _signals(self) -> tuple[SignalInstance, ...]:
        events = self._explorer.model.events
        return events.selections, events.active, events.scene

    def _on_selections_changed(self) -> None:
        model = self._explorer.model
        with QSignalBlocker(self.list):
            self.list.clear()
            for known in model.selections:
                item = QListWidgetItem(known.name)
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
                item.setToolTip(f"{len(known.indices):,} particles; double-click to rename.")
                self.list.addItem(item)
            self.list.setCurrentRow(model.active)
        self.list.setVisible(bool(model.selections))
        selection = model.selection
        for widget in (self.show_map, self.reconstruct, self.export, self.remove):
            widget.setEnabled(selection is not None)
            widget.setVisible(bool(model.selections))
        if model.reconstructing:  # the button that stops it
            self.reconstruct.setEnabled(True)
            self.reconstruct.setVisible(True)
        if selection is None or model.scene is None:
            self.count.setText("Hold Shift and draw around particles to select them.")
        else:
            count, total = len(selection.indices), model.scene.count
            self.count.setText(
                f"<b>{count:,}</b> of {total:,} particles selected ({100 * count / total:.1f} %)"
            )

    def _on_reconstructing_changed(self) -> None:
        self.reconstruct.setText("Stop" if self._explorer.model.reconstructing else RECONSTRUCT)

    def _on_item_changed(self, item: QListWidgetItem) -> None:
        self._explorer.selections.rename(self.list.row(item), item.text())

    def _on_remove_clicked(self) -> None:
        self._explorer.selections.remove(self.list.currentRow())

    def _on_export_clicked(self) -> None:
        model = self._explorer.model
        if model.scene is None or model.selection is None:
            return
        default = model.scene.run.selection_path(model.selection.name)
        path, _ = QFileDialog.getSaveFileName(
            self,
            "Export the selection",
            str(default),
            "STAR files (*.star)",
            options=QFileDialog.Option.DontConfirmOverwrite,  # the export refuses an existing file itself
        )
        if path:
            self._explorer.selections.export(with_ending(Path(path), ".star"))
