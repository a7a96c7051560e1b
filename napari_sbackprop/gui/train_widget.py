"""The Train dock: particles in, a run out."""

import threading
import time
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QProgressBar,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_sbackprop.config import Config
from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.config_form import ConfigForm, PathEdit
from napari_sbackprop.gui.controls import StatusLine, ThemedLabel, push_button, tool_button
from napari_sbackprop.gui.docks import open_explore
from napari_sbackprop.gui.preferences import preferences
from napari_sbackprop.gui.report_text import problem_text, report_text
from napari_sbackprop.gui.run_comparison import RunComparison
from napari_sbackprop.gui.run_curves import FSC
from napari_sbackprop.gui.run_figures import HalfSetFsc, readable_fsc
from napari_sbackprop.gui.tasks import Failure, Task
from napari_sbackprop.gui.training_curves import FscCurve, LossCurve
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.progress import Progress

SECONDS_BETWEEN_UPDATES = 1.0  # redrawing the window more often would slow the training
TYPING_MILLISECONDS = 400
NO_FILE = "Choose the STAR or .cs file of a 3D refinement, or drop one on napari."
PATTERNS = "Particles (*.star *.cs *.csg);;All files (*)"
PREFERRED_SIZE = QSize(560, 620)
INFORMATION = "information_"


class TrainWidget(QWidget):
    """Dock that checks particles, trains on them, and opens the explorer at the first epoch.

    Parameters
    ----------
    napari_viewer : the viewer in which the explorer opens.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer", parent: QWidget | None = None) -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(parent)
        self._viewer: Any = napari_viewer
        self._task: Task | None = None
        self._check: Task | None = None
        self._run: Path | None = None
        self._explore: Any = None
        self._shown_at = 0.0
        self._newest: Progress | None = None
        self._suggested: Path | None = None
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING_MILLISECONDS)
        self._build()
        self._connect()

    def sizeHint(self) -> QSize:
        """As wide as the Explore dock, which shares its place."""
        return PREFERRED_SIZE

    @property
    def training(self) -> bool:
        """Whether a training runs."""
        return self._task is not None

    def set_particles(self, path: Path) -> None:
        """Fill in the particles, as a dropped file does."""
        self.star.set_path(path)

    # -- building ----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.star = PathEdit("Choose particles", PATTERNS)
        self.star.line.setPlaceholderText("particles.star")
        self.star.line.setToolTip(
            "Particles with poses and CTF, from a 3D refinement: RELION's STAR file, or cryoSPARC's .cs or .csg file."
        )
        self.run = PathEdit("Choose a new folder for the run", folder=True)
        self.run.line.setPlaceholderText("folder for the run")
        self.run.line.setToolTip("New folder that the training writes; an existing run is continued.")
        self.report = ThemedLabel(NO_FILE)
        self.report.setToolTip("What was understood of the particles.")
        self.report.setWordWrap(True)
        self.report.setTextFormat(Qt.TextFormat.RichText)
        self.report.setFrameShape(QFrame.Shape.StyledPanel)
        self.report.setMargin(8)
        self.report.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.form = ConfigForm()
        self._on_device_preferred(preferences().device)

        files = QFormLayout()
        files.setContentsMargins(0, 0, 0, 0)
        files.addRow("Particles", self.star)
        files.addRow("Run folder", self.run)
        inner = QWidget()
        upper = QVBoxLayout(inner)
        upper.setContentsMargins(0, 0, 6, 0)
        upper.addLayout(files)
        upper.addWidget(self.report)
        upper.addWidget(self.form)
        upper.addStretch()
        scroll = QScrollArea()
        scroll.setWidget(inner)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(6)
        layout.addWidget(scroll, 1)
        layout.addLayout(self._running_part())

    def _running_part(self) -> QVBoxLayout:
        self.start_button = push_button("Start training", "Train on these particles.", self.start)
        self.stop_button = push_button(
            "Stop", "Stop after the present step; finished epochs stay.", self.stop
        )
        self.stop_button.setEnabled(False)
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setToolTip("How much of the whole training is done.")
        self.curve = LossCurve()
        self.curve.setToolTip(
            "Figures of the training. Likelihood: how well the model explains a particle; where it falls on held-out ones, "
            "it begins to fit noise. Evidence: how much better the states do so than the consensus."
        )
        self.fsc = FscCurve()
        self.fsc.setToolTip(
            "Agreement of maps from half of the particles each, by resolution: of the consensus, and of the first five "
            "directions of motion. Both halves share each particle's latent, so directions of noise agree too: the evidence "
            "of held-out particles tells whether there is motion, the curve how finely its map is known."
        )
        self.curves = QStackedWidget()
        self.curves.addWidget(self.curve)
        self.curves.addWidget(self.fsc)
        self.comparison = RunComparison(lambda: self._run or self.run.path)
        self.curves.addWidget(self.comparison)
        self.compare = tool_button(
            "Compare runs", "Draw figures of several runs beside each other.", checkable=True
        )
        self.figure = QComboBox()
        self.figure.setToolTip("Which figure the curve shows.")
        self.figure.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.figure.hide()
        self.information = ThemedLabel()
        self.information.setToolTip(
            "Mean information that an image gives about each latent dimension: those far below 1 hold no signal."
        )
        self.information.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.status = StatusLine()
        buttons = QHBoxLayout()
        buttons.addWidget(self.start_button, 2)
        buttons.addWidget(self.stop_button, 1)
        beneath = QHBoxLayout()
        beneath.addWidget(self.figure)
        beneath.addWidget(self.information, 1)
        beneath.addWidget(self.compare)
        part = QVBoxLayout()
        part.setSpacing(6)
        part.addLayout(buttons)
        part.addWidget(self.progress)
        part.addWidget(self.status)
        part.addWidget(self.curves)
        part.addLayout(beneath)
        return part

    def _connect(self) -> None:
        self.star.line.textChanged.connect(lambda _: self._typing.start())
        self.run.line.textChanged.connect(lambda _: self._on_run_changed())
        preferences().events.device.connect(self._on_device_preferred)
        self._typing.timeout.connect(self._on_star_changed)
        self.figure.currentTextChanged.connect(self.curve.show_figure)
        for signal in (self.figure.currentTextChanged, self.compare.toggled):
            signal.connect(lambda _: self._show_curves())

    def _on_device_preferred(self, device: str) -> None:
        self.form.controls["device"].value = device

    # -- the particles -----------------------------------------------------------------------------------------------

    def _on_star_changed(self) -> None:
        path = self.star.path
        if path is None:
            self.report.setText(NO_FILE)
            return
        if self.run.path in (None, self._suggested):
            self._suggested = new_run_folder(path)
            self.run.set_path(self._suggested)
        self.report.setText(f"Reading {escape(path.name)} …")
        self._check = Task(lambda _: _checked(path), self._on_checked, self._on_check_ended)
        self._check.start()

    def _on_checked(self, report: Any) -> None:
        if report.path == self.star.path:
            self.report.setText(report_text(report))

    def _on_check_ended(self, failure: Failure | None) -> None:
        if failure is not None:
            self.report.setText(problem_text(failure.sentence))

    def _on_run_changed(self) -> None:
        path = self.run.path if self._existing_run() else None
        self.start_button.setText("Start training" if path is None else "Continue training")
        try:
            self.form.show_run(None if path is None else RunDirectory(path).config)
        except InputError as error:
            self.status.complain(str(error))

    def _existing_run(self) -> bool:
        path = self.run.path
        return path is not None and (path / "config.json").is_file()

    # -- the training ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Train with the options of the form; what is missing is said in the status line."""
        star, run = self.star.path, self.run.path
        try:
            config = self.form.config()
            if star is None:
                raise InputError("There are no particles yet: choose their file above.")
            if run is None:
                raise InputError("There is no place for the run yet: choose a folder above.")
        except InputError as error:
            self.status.complain(str(error))
            return
        self._start(lambda: star, run, config, "Starting …")

    def start_after(self, make_star: Callable[[], Path], run: Path, config: Config, text: str) -> None:
        """Train on particles that have to be made first, on the same worker thread; `text` says what happens."""
        self.form.set_config(config)
        self.run.set_path(run)
        self._start(make_star, run, config, text)

    def _start(self, make_star: Callable[[], Path], run: Path, config: Config, text: str) -> None:
        if self.training:
            self.status.complain("A training runs already: stop it before you start another one.")
            return
        resume = self._existing_run()

        def records(stop: threading.Event) -> Iterator[Progress | HalfSetFsc | Path]:
            from napari_sbackprop.training.trainer import train  # imports torch: not before it is needed

            star = make_star()
            yield star
            if resume:
                yield readable_fsc(run)
            for progress in train(star, run, config, stop, resume):
                yield progress
                if progress.epoch is not None:
                    yield readable_fsc(run, progress.epoch)

        self._run, self._explore = run, None
        self.curve.clear()
        self.fsc.show_fsc(*HalfSetFsc())
        self.figure.clear()
        self.figure.hide()
        self.information.clear()
        self.progress.setValue(0)
        self._newest = None
        self.status.say(text)
        self.start_button.setEnabled(False)
        self.stop_button.setEnabled(True)
        self._task = Task(records, self._on_record, self._on_ended)
        self._task.start()

    def stop(self) -> None:
        """Stop after the present step."""
        if self._task is not None:
            self._task.stop()
            self.stop_button.setEnabled(False)
            self.status.say("Stopping after this step …")

    def _on_record(self, record: Progress | HalfSetFsc | Path) -> None:
        if isinstance(record, Progress):
            self._on_progress(record)
        elif isinstance(record, HalfSetFsc):
            self._show_fsc(record)
        elif record != self.star.path:
            self.star.set_path(record)

    def _on_progress(self, progress: Progress) -> None:
        self._newest = progress
        if progress.metrics:
            self.curve.add(progress.fraction, progress.metrics)
        now = time.monotonic()
        if now - self._shown_at >= SECONDS_BETWEEN_UPDATES:
            self._shown_at = now
            self._show(progress)
        if progress.epoch is not None:
            self._show_epoch()

    def _show_curves(self) -> None:
        """Those of this training, or of several runs."""
        own = self.fsc if self.figure.currentText() == FSC else self.curve
        comparing = self.compare.isChecked()
        self.curves.setCurrentWidget(self.comparison if comparing else own)
        self.figure.setVisible(not comparing and self.figure.count() > 0)

    def _show_fsc(self, fsc: HalfSetFsc) -> None:
        if fsc.curves:  # else what is drawn stays: that of the newest epoch that has one
            self.fsc.show_fsc(*fsc)
            if self.figure.findText(FSC) < 0:
                self.figure.addItem(FSC)

    def _show_epoch(self) -> None:
        """Open the explorer at the first epoch, unless the run is there; whoever closes it later has seen enough."""
        if self._explore is None:
            self._explore = open_explore(self._viewer)
            if not self._explore.shows(self._run):
                self._explore.open_run(self._run)
        elif not self._explore.closed:
            self._explore.explorer.follow()

    def _show(self, progress: Progress) -> None:
        if not self.visibleRegion().isEmpty():  # else it would have the window drawn anew unseen
            self._show_here(progress)
        if self._explore is not None and not self._explore.closed:
            self._explore.show_training(self._run, progress.fraction, _in_words(progress))

    def _show_here(self, progress: Progress) -> None:
        self.curve.update()
        self.progress.setValue(round(1000 * progress.fraction))
        if self._task is not None and not self._task.stop_event.is_set():
            self.status.say(_in_words(progress))
        for name in self.curve.figures:
            if not name.startswith(INFORMATION) and self.figure.findText(name) < 0:
                self.figure.addItem(name)
                self._show_curves()
        information = [value for name, value in progress.metrics.items() if name.startswith(INFORMATION)]
        if information:
            self.information.setText(
                "information  " + "  ".join(f"{value:.2g}" for value in information[:12])
            )

    def _on_ended(self, failure: Failure | None) -> None:
        stopped = self._task is not None and self._task.stop_event.is_set()
        self._task = None
        self.start_button.setEnabled(True)
        self.stop_button.setEnabled(False)
        self._on_run_changed()
        if self._newest is not None:
            self._show_here(self._newest)
        if self._explore is not None and not self._explore.closed:
            self._explore.show_training(self._run, None)
            self._explore.explorer.refresh()
        if failure is not None:
            self.status.complain(failure.sentence)
        elif stopped:
            self.status.say("Stopped. Finished epochs stay, and the training can be continued.")
        else:
            self.progress.setValue(1000)
            stage = "" if self._newest is None else f" ({self._newest.stage})"
            self.status.say(f"Finished{stage}. The run is in {self._run}.")

    def event(self, event: QEvent) -> bool:
        """Be up to date when seen again; stop the training when closed, for it would go on with no way to stop it."""
        if event.type() == QEvent.Type.Show and self._newest is not None:
            self._show_here(self._newest)
        if event.type() == QEvent.Type.ParentChange and self.parentWidget() is None:
            self.stop()
            self.comparison.close_files()
            preferences().events.device.disconnect(self._on_device_preferred, missing_ok=True)
        return bool(super().event(event))


def _checked(path: Path) -> Iterator[Any]:
    from napari_sbackprop.data.check import check

    yield check(path)


def new_run_folder(star: Path) -> Path:
    """A folder beside the STAR file that doesn't exist yet."""
    base = star.parent / f"{star.stem}_states"
    candidates = (base, *(base.with_name(f"{base.name}_{number}") for number in range(2, 1000)))
    return next(path for path in candidates if not path.exists())


def _in_words(progress: Progress) -> str:
    text = progress.stage
    if progress.particles_per_second > 0:
        text += f" · {progress.particles_per_second:,.0f} particles/s"
    if progress.time_left:
        text += f" · {progress.time_left} left"
    return text
