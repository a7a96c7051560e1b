"""How a path is made, where on it the map is, and what is written of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from psygnal import SignalInstance
from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QMenu, QSlider, QSpinBox, QToolButton, QWidget

from napari_sbackprop.gui.controls import icon_button, tool_button, with_ending
from napari_sbackprop.gui.explorer import Explorer
from napari_sbackprop.gui.no_decoder import NO_MAP
from napari_sbackprop.gui.paths import BACK_AND_FORTH, DENSE, DRAWN, LOOP, MOST_FRAMES
from napari_sbackprop.gui.tool_icons import PAUSE, PLAY, SIZE, TO_AND_FRO, tool_icon

MOST_COMPONENTS = 8
TICK_MILLISECONDS = 60
MOVIE_ENDINGS = (".mp4", ".gif")
WAYS = {DRAWN: "Drawn", DENSE: "Dense regions"}


class PathOptions(QWidget):
    """The line of options of the path.

    Signals
    -------
    movie_wanted : Path of the movie to record.
    """

    movie_wanted = Signal(object)

    def __init__(self, explorer: Explorer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._explorer = explorer
        self._paths = explorer.paths
        self._ticks = QTimer(self)
        self._ticks.setInterval(TICK_MILLISECONDS)
        self._ticks.timeout.connect(self._on_tick)
        self._build()
        self._connect()

    def _build(self) -> None:
        self.way = QComboBox()
        self.way.setAccessibleName("How the path is made")
        self.way.setMinimumContentsLength(9)
        self.way.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.way.setToolTip(
            "Drawn: drag a line in the scatter, or click its points one after another.\n"
            "Dense regions: drag from one end to the other, or click places; between them the path keeps to where "
            "particles are.\nComponent: along a principal component of the selected particles, or of all, between their "
            "5th and 95th percentile."
        )
        self.play = icon_button(
            tool_icon(PLAY), SIZE - 4, "Play", "Play the maps along the path, or pause.", checkable=True
        )
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Place on the path")
        self.slider.setToolTip("Drag to move along the path.")
        self.slider.setMinimumWidth(60)
        self.frames = QSpinBox()
        self.frames.setRange(2, MOST_FRAMES)
        self.frames.setFixedWidth(88)
        self.frames.setAccessibleName("Number of maps along the path")
        self.frames.setToolTip("Number of maps along the path, at equal steps in the latent space.")
        self.ending = icon_button(
            tool_icon(TO_AND_FRO),
            SIZE - 4,
            "Back and forth",
            "At the end go back; else begin again.",
            checkable=True,
        )
        self.save = tool_button("Save", "Write the path as maps, movie or latents.")
        self.save.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.save.setMenu(self._menu())
        self.stop = tool_button("Stop", "Write no more; nothing half-written is kept.")
        self.clear = tool_button("✕", "Forget the path.")
        self.clear.setAccessibleName("Forget the path")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (self.way, self.play, self.slider, self.frames, self.ending, self.save, self.stop):
            layout.addWidget(widget, 1 if widget is self.slider else 0)
        layout.addWidget(self.clear)

    def _menu(self) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self._actions: dict[str, QAction] = {}
        self.actions_by_name = {
            "Maps…": ("A new folder of MRC files, with their latents and a ChimeraX script.", self._on_maps),
            "Movie…": ("An .mp4 or .gif file of the 3D view, as it is now.", self._on_movie),
            "Latents…": ("An .npy file (frames, dimensions) for volumes --latents.", self._on_latents),
        }
        for name, (tip, slot) in self.actions_by_name.items():
            action = menu.addAction(name)
            action.setToolTip(tip)
            self._actions[name] = action
            action.triggered.connect(lambda _=False, slot=slot: slot())
        return menu

    def _connect(self) -> None:
        self.way.activated.connect(self._on_way_chosen)
        self.play.toggled.connect(self._on_play_toggled)
        self.slider.valueChanged.connect(self._on_slider_moved)
        self.slider.sliderReleased.connect(lambda: self._paths.show(self.slider.value()))
        self.frames.valueChanged.connect(self._paths.set_frames)
        self.ending.toggled.connect(self._on_ending_toggled)
        self.clear.clicked.connect(lambda: self._paths.clear())
        self.stop.clicked.connect(self._on_stop_clicked)
        for signal, slot in self._slots():
            signal.connect(slot)
        self._list_ways()
        self._on_path_changed()

    def disconnect_model(self) -> None:
        """Follow the models no longer."""
        self._ticks.stop()
        for signal, slot in self._slots():
            signal.disconnect(slot)

    def _slots(self) -> tuple[tuple[SignalInstance, Any], ...]:
        events = self._paths.model.events
        watched = (
            events.weights,
            events.kind,
            events.component,
            events.frames,
            events.frame,
            events.playing,
            events.ending,
            events.saving,
        )
        return (
            (self._explorer.model.events.scene, self._list_ways),
            (self._explorer.model.events.scene, self._offer_maps),
            *((signal, self._on_path_changed) for signal in watched),
        )

    # -- from the model ----------------------------------------------------------------------------------------------

    def _list_ways(self) -> None:
        scene = self._explorer.model.scene
        size = 0 if scene is None else min(scene.latents.shape[1], MOST_COMPONENTS)
        if self.way.count() == len(WAYS) + size:
            return
        with QSignalBlocker(self.way):
            self.way.clear()
            for kind, name in WAYS.items():
                self.way.addItem(name, kind)
            for component in range(size):
                self.way.addItem(f"Component {component + 1}", component)

    def _offer_maps(self) -> None:
        """Offer what is made of maps where there are some."""
        scene = self._explorer.model.scene
        for name in ("Maps…", "Movie…"):
            has_decoder = scene is None or scene.has_decoder
            self._actions[name].setEnabled(has_decoder)
            self._actions[name].setToolTip(self.actions_by_name[name][0] if has_decoder else NO_MAP)

    def _on_path_changed(self) -> None:
        model = self._paths.model
        for widget in (self.play, self.slider):
            widget.setEnabled(model.ready and not model.saving)
        for widget in (self.way, self.frames):
            widget.setEnabled(not model.saving)
        self.save.setEnabled(model.ready)
        self.save.setVisible(not model.saving)
        self.stop.setVisible(bool(model.saving))
        self.clear.setEnabled(model.weights is not None and not model.saving)
        controls = (self.way, self.play, self.slider, self.frames, self.ending)
        for control in controls:
            control.blockSignals(True)
        way = model.kind if model.component is None else model.component
        self.way.setCurrentIndex(self.way.findData(way))
        self.play.setChecked(model.playing)
        self.play.setIcon(tool_icon(PAUSE if model.playing else PLAY))
        self.frames.setValue(model.frames)
        self.ending.setChecked(model.ending == BACK_AND_FORTH)
        self.slider.setRange(0, model.frames - 1)
        if not self.slider.isSliderDown():
            self.slider.setValue(model.frame)
        for control in controls:
            control.blockSignals(False)
        if model.playing and not self._ticks.isActive():
            self._ticks.start()
        elif not model.playing:
            self._ticks.stop()

    def _on_tick(self) -> None:
        if not self._explorer.busy:  # every frame is seen, as fast as maps are made
            self._paths.step()

    # -- from the user -----------------------------------------------------------------------------------------------

    def _on_way_chosen(self, index: int) -> None:
        way = self.way.itemData(index)
        if way in WAYS:
            self._paths.model.kind, self._paths.model.component = way, None
        else:
            self._paths.clear()
            self._paths.along_component(way)

    def _on_play_toggled(self, playing: bool) -> None:
        self._paths.play(playing)
        if not playing:
            self._paths.show(self._paths.model.frame)

    def _on_slider_moved(self, frame: int) -> None:
        self._paths.play(False)
        self._paths.show(frame, final=not self.slider.isSliderDown())

    def _on_ending_toggled(self, checked: bool) -> None:
        self._paths.model.ending = BACK_AND_FORTH if checked else LOOP

    def _on_stop_clicked(self) -> None:
        self._paths.model.saving = ""

    def _on_maps(self) -> None:
        self._ask("Save the maps to a new folder", "", "", self._explorer.path_writer.save_maps)

    def _on_movie(self) -> None:
        self._ask("Record a movie", ".mp4", "Movies (*.mp4 *.gif)", self.movie_wanted.emit)

    def _on_latents(self) -> None:
        self._ask("Save the latents", ".npy", "NumPy files (*.npy)", self._explorer.path_writer.save_latents)

    def _ask(self, title: str, ending: str, kinds: str, save: Callable[[Path], None]) -> None:
        if (scene := self._explorer.model.scene) is None:
            return
        folder = scene.run.volume_path("path").parent
        names = (folder / f"path_{number}{ending}" for number in range(1, 1000))
        free = next((name for name in names if not name.exists()), folder)
        unasked = QFileDialog.Option.DontConfirmOverwrite  # an existing file is refused
        name, _ = QFileDialog.getSaveFileName(self, title, str(free), kinds, options=unasked)
        if name:
            path = Path(name)
            save(path if path.suffix.lower() in MOVIE_ENDINGS else with_ending(path, ending))
