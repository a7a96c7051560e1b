"""The Explore dock: scatter, map, selections of one run."""

import gc
import threading
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_sbackprop.gui.controls import StatusLine, ThemedLabel, menu_button, push_button, tool_button
from napari_sbackprop.gui.directions_panel import DirectionsPanel
from napari_sbackprop.gui.docks import leave_room, open_preferences
from napari_sbackprop.gui.explorer import Explorer
from napari_sbackprop.gui.explorer_model import ALONE, SURFACE, VOLUME, ExplorerModel
from napari_sbackprop.gui.images_panel import ImagesPanel
from napari_sbackprop.gui.map_panel import MapPanel
from napari_sbackprop.gui.map_view import MapView, warm_up
from napari_sbackprop.gui.movie_recorder import MovieRecorder
from napari_sbackprop.gui.particle_layer import ParticleLayers
from napari_sbackprop.gui.preferences import FITTING, preferences
from napari_sbackprop.gui.recent_menu import RecentMenu
from napari_sbackprop.gui.region_view import RegionView
from napari_sbackprop.gui.sample_data import sample_folder, show_sample
from napari_sbackprop.gui.scatter import REGION
from napari_sbackprop.gui.scatter_panel import ScatterPanel
from napari_sbackprop.gui.selection_panel import SelectionPanel
from napari_sbackprop.gui.shortcuts import add_shortcuts
from napari_sbackprop.gui.tasks import MainThread

POLL_MILLISECONDS = 700
PREFERRED_SIZE = QSize(560, 620)
EMPTY_TEXT = (
    "<h3>No run is open</h3>"
    "Drop the folder of a run on napari, or open it here.<br>"
    "To make one, drop a STAR file of particles and train."
)
OPEN_TIP = "Open the folder that a training wrote."


class ExploreWidget(QWidget):
    """Dock that explores a run; maps appear as layers of the viewer.

    Parameters
    ----------
    napari_viewer : the viewer that shows the maps.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer", parent: QWidget | None = None) -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(parent)
        self._viewer: Any = napari_viewer
        self.model = ExplorerModel()
        self._main_thread = MainThread(self)
        self.explorer = Explorer(self.model, self._main_thread.deliver)
        self.scatter_panel = ScatterPanel(self.explorer)
        self.scatter = self.scatter_panel.scatter
        self.directions_panel = DirectionsPanel(self.explorer)
        self.images_panel = ImagesPanel(self.explorer)
        self.map_view = MapView(napari_viewer, self.model)
        self.region_view = RegionView(napari_viewer, self.explorer)
        self.movie_recorder = MovieRecorder(napari_viewer, self.explorer, self._main_thread.deliver)
        self.particle_layers = ParticleLayers(napari_viewer, self.explorer, self._main_thread.deliver)
        self.map_panel = MapPanel(self.explorer)
        self.selection_panel = SelectionPanel(self.explorer)
        self.explorer.sessions.parts.update({"scatter": self.scatter_panel, "camera": self.map_view})
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MILLISECONDS)
        self._timer.timeout.connect(self.explorer.follow)
        self._closed = False
        self._build()
        self._connect()
        add_shortcuts(self, self.scatter_panel, self.selection_panel)

    def sizeHint(self) -> QSize:
        """Wide enough for the scatter; napari gives a dock no more than it asks for."""
        return PREFERRED_SIZE

    def open_run(self, path: Path) -> None:
        """Show a run."""
        threading.Thread(target=warm_up, name="sbackprop-warm-up", daemon=True).start()
        self.explorer.open(path)
        self._timer.start()

    @property
    def closed(self) -> bool:
        """Whether the dock was closed; it shows nothing any more."""
        return self._closed

    def shows(self, run: Path | None) -> bool:
        """Whether a run is on screen."""
        scene = self.model.scene
        return scene is not None and scene.run.path == run

    def show_training(self, run: Path | None, fraction: float | None, text: str = "") -> None:
        """Show how far a training is, where the run that it writes is on screen; None when there is none."""
        self.training.setVisible(fraction is not None and self.shows(run))
        self.explorer.umaps.training = fraction is not None
        if fraction is not None:
            self.training.setFormat(text)
            self.training.setValue(round(1000 * fraction))

    # -- building ----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.header = QLabel()
        self.header.setToolTip("The run, its newest epoch and its particles.")
        self.header.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.open_button = push_button("Open run…", OPEN_TIP, self._on_open_clicked)
        self.recent_button = self._recent()
        self.preferences_button = tool_button("⚙", "Preferences: device, renderer, sessions.")
        self.preferences_button.setAccessibleName("Preferences")
        self.preferences_button.clicked.connect(lambda: open_preferences(self._viewer))
        self.training = QProgressBar()
        self.training.setRange(0, 1000)
        self.training.setToolTip("The training that writes this run; stop it in the Train dock.")
        self.training.hide()
        self.status = StatusLine()
        self.status.setMinimumHeight(2 * self.status.fontMetrics().lineSpacing())  # lest the scatter jump
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)

        self._pages = QStackedWidget()
        self._pages.addWidget(self._empty_page())
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setDrawBase(False)
        self.tabs.addTab(self.scatter_panel, "Scatter")
        for panel, name, tip in (
            (self.directions_panel, "Directions", "Sliders along principal components and basis volumes."),
            (self.images_panel, "Images", "Images, averages, views and columns of the selected particles."),
        ):
            self.tabs.setTabToolTip(self.tabs.addTab(panel, name), tip)
        self._pages.addWidget(self.tabs)
        header = QHBoxLayout()
        header.addWidget(self.header, 1)
        for button in (self.recent_button, self.open_button, self.preferences_button):
            header.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(6)
        layout.addLayout(header)
        layout.addWidget(self.training)
        layout.addWidget(self._pages, 1)
        layout.addWidget(self.map_panel)
        layout.addWidget(self.selection_panel)
        layout.addWidget(self.status)

    def _empty_page(self) -> QWidget:
        text = ThemedLabel(EMPTY_TEXT)
        text.setToolTip("A run is the folder that Train, or napari-sbackprop train, has written.")
        text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        buttons = QHBoxLayout()
        buttons.addStretch()
        buttons.addWidget(push_button("Open run…", OPEN_TIP, self._on_open_clicked))
        buttons.addWidget(self._recent())
        buttons.addWidget(
            push_button("Open the sample", "Simulate a complex and train on it.", self._on_sample_clicked)
        )
        buttons.addStretch()
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.addStretch()
        layout.addWidget(text)
        layout.addLayout(buttons)
        layout.addStretch()
        return page

    def _recent(self) -> QPushButton:
        menu = RecentMenu(self)
        menu.chosen.connect(self.open_run)
        return menu_button("Recent", "Open one of the runs that were explored last.", menu)

    def _connect(self) -> None:
        events = self.model.events
        events.scene.connect(self._on_scene_changed)
        for signal in (events.busy, events.message, events.error, events.umap_running, events.frame):
            signal.connect(self._on_status_changed)
        self.scatter_panel.tools.tool_chosen.connect(lambda tool: self.region_view.set_active(tool == REGION))
        self.scatter_panel.options.path.movie_wanted.connect(self.movie_recorder.record)
        self.selection_panel.menu.layer_wanted.connect(self.particle_layers.add)
        self.destroyed.connect(self.explorer.close)
        self._on_scene_changed(None)

    # -- from the model ----------------------------------------------------------------------------------------------

    def _on_scene_changed(self, scene: Any, previous: Any = None) -> None:
        self._pages.setCurrentIndex(0 if scene is None else 1)
        for button in (self.recent_button, self.open_button):
            button.setVisible(scene is not None)
        self.map_panel.setVisible(scene is not None)
        self.selection_panel.setVisible(scene is not None)
        if scene is None:
            self.header.setText("")
            return
        name = scene.run.path.resolve()
        self.header.setText(
            f"<b>{escape(name.name)}</b> &nbsp; epoch {scene.epoch}, {scene.count:,} particles"
        )
        self.header.setToolTip(str(name))
        if previous is None:
            fitting, self.map_view.volume_step = (SURFACE, 2) if self.scatter.software else (VOLUME, 1)
            preferred = preferences().renderer
            self.model.renderer = fitting if preferred == FITTING else preferred
            _keep_libraries()

    def _on_status_changed(self) -> None:
        model = self.model
        if model.error:
            self.status.complain(" · ".join(part for part in (model.error, model.busy) if part))
            return
        parts = [model.busy or model.message, self._title()]
        if model.umap_running:
            parts.append("UMAP is being computed …")
        self.status.say(" · ".join(part for part in parts if part))

    def _title(self) -> str:
        """What the map shows, beside what, and whether particles are near its place."""
        model = self.model
        if model.frame is None:
            return ""
        title = model.frame.title
        if model.anchor is not None and model.anchor.outside:
            title += f", outside the particles ({model.anchor.remoteness:.1f} times their spacing)"
        if model.pinned is not None and model.comparison != ALONE:
            return f"A: {model.pinned.title} · B: {title}"
        return title

    # -- from the user -----------------------------------------------------------------------------------------------

    def _on_open_clicked(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a run")
        if path:
            self.open_run(Path(path))

    def _on_sample_clicked(self) -> None:
        show_sample(self._viewer, sample_folder())

    # -- life of the dock --------------------------------------------------------------------------------------------
    # A docked widget never gets a close event: hiding, losing its dock, and destruction are all there is.

    def event(self, event: QEvent) -> bool:
        """End all work when the dock is closed, which takes this widget out of it."""
        if event.type() == QEvent.Type.ParentChange and self.parentWidget() is None and not self._closed:
            self.shut_down()
        return bool(super().event(event))

    def shut_down(self) -> None:
        """Stop all work and follow the model no longer."""
        self._closed = True
        self._timer.stop()
        self.explorer.sessions.keep()
        self.map_view.disconnect()
        self.region_view.disconnect()
        self.movie_recorder.close()
        self.particle_layers.close()
        self.scatter_panel.disconnect_model()
        self.directions_panel.disconnect_model()
        self.images_panel.disconnect_model()
        self.map_panel.disconnect_model()
        self.selection_panel.disconnect_model()
        self.explorer.close()

    def showEvent(self, event: QShowEvent) -> None:
        """Follow the run again."""
        super().showEvent(event)
        leave_room(self)
        if not self._closed and (self.model.scene is not None or self.model.busy):
            self._timer.start()
            self.map_view.blink(True)
            _keep_libraries()

    def hideEvent(self, event: QHideEvent) -> None:
        """Keep the session, and stop looking at the run, playing and blinking while nobody looks at the dock."""
        self._timer.stop()
        gc.unfreeze()
        if not self._closed:
            self.explorer.sessions.keep()
        self.map_view.blink(False)
        self.explorer.paths.play(False)
        super().hideEvent(event)


def _keep_libraries() -> None:
    """Exempt what the libraries hold from garbage collection: napari has one with every layer that it removes."""
    if not gc.get_freeze_count():
        gc.freeze()
