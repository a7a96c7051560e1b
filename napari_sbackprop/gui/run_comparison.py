"""Figures of several runs beside each other."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.controls import StatusLine, menu_button, menu_text
from napari_sbackprop.gui.explorer_model import in_words
from napari_sbackprop.gui.file_worker import FileWorker
from napari_sbackprop.gui.recent_runs import recent_runs, unique_names
from napari_sbackprop.gui.run_curves import MOST_RUNS, RunCurves
from napari_sbackprop.gui.run_figures import RunFigures, read_figures
from napari_sbackprop.gui.tasks import MainThread

LOOK_MILLISECONDS = 3000
Found = tuple[list[RunFigures], str]


class RunComparison(QWidget):
    """Draws the present run and those that are chosen, also while they are trained.

    Parameters
    ----------
    present : folder of the present run, None without one.
    """

    def __init__(self, present: Callable[[], Path | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._present = present
        self._chosen: list[Path] = []
        self._known: dict[Path, RunFigures] = {}
        self._reading = False
        self._main_thread = MainThread(self)
        self._worker = FileWorker(self._main_thread.deliver, self._on_error)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MILLISECONDS)
        self._timer.timeout.connect(self.look)
        self._build()

    def _build(self) -> None:
        self.curves = RunCurves()
        self.curves.setToolTip(
            "One figure of several runs by epoch, dashed on held-out particles; or the FSC of half sets by resolution, "
            "of the consensus, and dashed of the first direction."
        )
        self.figure = QComboBox()
        self.figure.setAccessibleName("Figure of the runs")
        self.figure.setToolTip("Which figure of the runs is drawn.")
        self.figure.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.figure.currentTextChanged.connect(self.curves.show_figure)
        self.menu = QMenu(self)
        self.menu.setToolTipsVisible(True)
        self.menu.aboutToShow.connect(self.list_runs)
        self.runs: QPushButton = menu_button(
            "Runs", f"Choose the runs to draw beside this one, {MOST_RUNS} in all.", self.menu
        )
        self.problem = StatusLine()
        self.problem.setToolTip("Which of the runs could not be read, and why.")
        self.problem.hide()
        row = QHBoxLayout()
        row.addWidget(self.runs)
        row.addWidget(self.figure, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.curves, 1)
        layout.addWidget(self.problem)
        layout.addLayout(row)

    def list_runs(self) -> None:
        """Offer the runs that were explored last, and those that are drawn."""
        self.menu.clear()
        present = self._present()
        known = [run for run in recent_runs() if run not in self._chosen]
        runs = [run for run in (*self._chosen, *known) if present is None or run != present.resolve()]
        room = len(self._chosen) < MOST_RUNS - 1
        for run, name in zip(runs, unique_names(runs), strict=True):
            action = self.menu.addAction(menu_text(name))
            action.setToolTip(str(run))
            action.setCheckable(True)
            action.setChecked(run in self._chosen)
            action.setEnabled(run in self._chosen or room)
            action.toggled.connect(partial(self.choose, run))
        self.menu.addSeparator()
        another = self.menu.addAction("Another run…")
        another.setEnabled(room)
        another.triggered.connect(lambda: self._ask())

    def choose(self, run: Path, chosen: bool = True) -> None:
        """Draw a run, or do so no longer."""
        others = [path for path in self._chosen if path != run]
        self._chosen = [*others, run] if chosen else others
        self.look()

    def look(self) -> None:
        """Read what has changed, and draw it."""
        if not self._reading:
            self._reading = True
            runs = self._drawn()
            self._worker.submit(partial(_read, runs, self._known), partial(self._on_read, runs))

    def close_files(self) -> None:
        """Read no more."""
        self._timer.stop()
        self._worker.close()

    def _drawn(self) -> list[Path]:
        """The present run, if it was begun, and those that were chosen."""
        present = self._present()
        begun = present is not None and (present / "config.json").is_file()
        runs = [present.resolve()] if present is not None and begun else []
        return [*runs, *(run for run in self._chosen if run not in runs)]

    def _on_read(self, runs: Sequence[Path], found: Found) -> None:
        self._reading = False
        figures, problem = found
        self._known = {run.path: run for run in figures}
        self.curves.show_runs(figures)
        self.problem.complain(problem)
        self.problem.setVisible(bool(problem))
        self._list_figures()
        if runs != self._drawn():  # others were chosen meanwhile
            self.look()

    def _list_figures(self) -> None:
        names, shown = self.curves.figures, self.figure.currentText()
        if names == [self.figure.itemText(index) for index in range(self.figure.count())]:
            return
        with QSignalBlocker(self.figure):
            self.figure.clear()
            self.figure.addItems(names)
            self.figure.setCurrentIndex(max(self.figure.findText(shown), 0))
        self.curves.show_figure(self.figure.currentText())

    def _on_error(self, error: Exception) -> None:
        self._reading = False
        self.problem.complain(in_words(error))
        self.problem.show()

    def _ask(self) -> None:
        if path := QFileDialog.getExistingDirectory(self, "Draw a run"):
            self.choose(Path(path).resolve())

    # -- life of the widget ------------------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """Follow the runs."""
        super().showEvent(event)
        self.look()
        self._timer.start()

    def hideEvent(self, event: QHideEvent) -> None:
        """Follow them no longer."""
        self._timer.stop()
        super().hideEvent(event)


def _read(runs: Sequence[Path], known: Mapping[Path, RunFigures]) -> Found:
    """Figures of the runs that can be read, and what is wrong with the others."""
    figures, problems = [], []
    for run in runs:
        try:
            figures.append(read_figures(run, known.get(run)))
        except (InputError, OSError) as error:
            problems.append(str(error))
    return figures, " ".join(problems)
