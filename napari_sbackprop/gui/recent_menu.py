"""A menu of the runs that were explored last."""

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QMenu, QWidget

from napari_sbackprop.gui.controls import menu_text
from napari_sbackprop.gui.recent_runs import recent_runs, unique_names


class RecentMenu(QMenu):
    """Lists them anew whenever it opens."""

    chosen = Signal(Path)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setToolTipsVisible(True)
        self.aboutToShow.connect(self.list_runs)

    def list_runs(self) -> None:
        """Show those that are there now."""
        self.clear()
        runs = recent_runs()
        for run, name in zip(runs, unique_names(runs), strict=True):
            action = self.addAction(menu_text(name))
            action.setToolTip(str(run))
            action.triggered.connect(lambda _=False, run=run: self.chosen.emit(run))
        if not runs:
            self.addAction("No run was explored yet").setEnabled(False)
