"""Ways to write particles to a file for the next program."""

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QWidget

from napari_sbackprop.data.image_names import ORIGINAL_NAME
from napari_sbackprop.gui.controls import with_ending
from napari_sbackprop.gui.explorer import Explorer

STAR, CS = ".star", ".cs"
FILTERS = {STAR: "STAR files (*.star)", CS: "cryoSPARC files (*.cs)"}


class ExportMenu(QMenu):
    """Asks where to write the selection, or all particles with their clusters, and has it written."""

    layer_wanted = Signal()

    def __init__(self, explorer: Explorer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = explorer.model
        self._selections = explorer.selections
        self.setToolTipsVisible(True)
        self.other = self.addAction("Rows of another file…")
        self.other.setToolTip("Write the rows of another STAR or .cs file that show the selected images.")
        self.other.triggered.connect(lambda: self.export_other())
        self.reverted = self.addAction("Images before subtraction…")
        self.reverted.setToolTip(
            "Write the selected rows with the images that RELION subtracted signal from."
        )
        self.reverted.triggered.connect(lambda: self.export(revert=True))
        self.classes = self.addAction("Clusters as classes…")
        self.classes.setToolTip("Write all particles, with the number of their cluster as rlnClassNumber.")
        self.classes.triggered.connect(lambda: self.export_classes())
        self.layer = self.addAction("New Points layer")
        self.layer.setToolTip(
            "Add the selected particles, or all, to napari's layers: columns, latents and clusters become features."
        )
        self.layer.triggered.connect(lambda: self.layer_wanted.emit())
        self.aboutToShow.connect(self.enable)

    def enable(self) -> None:
        """Offer what can be written now."""
        selected = self._model.selection is not None
        self.other.setEnabled(selected)
        self.reverted.setEnabled(selected and ORIGINAL_NAME in self._model.columns.values)
        self.classes.setEnabled(self._model.clustering is not None)

    def export(self, original: Path | None = None, revert: bool = False) -> None:
        """Ask for a file and write the selection."""
        if self._model.selection is not None:
            ending = STAR if original is None or original.suffix != CS else CS
            if output := self._ask("Export the selection", self._model.selection.name, ending):
                self._selections.export(output, original, revert)

    def export_other(self) -> None:
        """Ask for another file and write its rows of the selection."""
        path, _ = QFileDialog.getOpenFileName(
            self, "Take the rows of", "", "Particles (*.star *.cs);;All files (*)"
        )
        if path:
            self.export(Path(path))

    def export_classes(self) -> None:
        """Ask for a file and write all particles with their clusters."""
        if output := self._ask("Export clusters as classes", "classes", STAR):
            self._selections.export_classes(output)

    def _ask(self, title: str, name: str, ending: str) -> Path | None:
        if (scene := self._model.scene) is None:
            return None
        default = scene.run.selection_path(name).with_suffix(ending)
        path, _ = QFileDialog.getSaveFileName(
            self,
            title,
            str(default),
            FILTERS[ending],
            options=QFileDialog.Option.DontConfirmOverwrite,  # the export refuses an existing file itself
        )
        return with_ending(Path(path), ending) if path else None
