"""What the stations of the tour share: the window, the person before it, and the notes that are taken."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from event_loop import EventLoop
from person import Person
from PIL import Image
from qtpy.QtWidgets import QDockWidget, QWidget

from napari_sbackprop.gui.docks import open_explore
from napari_sbackprop.gui.screenshot import close_notifications
from napari_sbackprop.run_directory import RunDirectory

COLOURS = 256  # of a picture's palette: smaller by far, and hardly to be told from the original
Array = npt.NDArray[np.float64]


@dataclass
class Report:
    """What one station showed: claims that hold, and those that do not."""

    station: str
    held: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Guide:
    """Leads through one window.

    Attributes
    ----------
    viewer, dock : of napari; the Explore dock in it.
    files : folder for what the tour exports.
    particles : the STAR file that the run was trained on.
    """

    def __init__(self, viewer: Any, loop: EventLoop, files: Path, pictures: Path, particles: Path) -> None:
        self.viewer = viewer
        self.dock = open_explore(viewer)
        self.loop, self.person = loop, Person(loop)
        self.files, self.particles = files, particles
        self.report = Report("")
        self._pictures = pictures
        self._number = 0

    # -- the parts of the window -------------------------------------------------------------------------------------

    @property
    def model(self) -> Any:
        return self.dock.model

    @property
    def scatter(self) -> QWidget:
        """The canvas of the particles."""
        return self.dock.scatter.native

    @property
    def map(self) -> QWidget:
        """The canvas of the map."""
        (canvas,) = self.viewer.window._qt_window.centralWidget().findChildren(type(self.scatter))
        return canvas

    @property
    def explore_dock(self) -> QDockWidget:
        parent = self.dock.parentWidget()
        while not isinstance(parent, QDockWidget):
            parent = parent.parentWidget()
        return parent

    @property
    def map_names(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers]

    def layer(self, name: str = "Map") -> Any:
        return self.viewer.layers[name]

    # -- what people do over and over --------------------------------------------------------------------------------

    def does(self, action: str) -> None:
        """Name what happens next, for the notes of the event loop."""
        self.loop.action = action

    def settle(self) -> None:
        """Wait until the map that was asked for is on screen."""
        self.loop.until(lambda: not self.dock.explorer.busy, "a map")
        self.loop.run(0.1)

    def open(self, run: Path) -> None:
        """Open a run as a script does, and as at first: stations do not depend on each other."""
        self.dock.explorer.sessions.open(None)
        RunDirectory(run).session_path.unlink(missing_ok=True)
        self.open_again(run)

    def open_again(self, run: Path) -> None:
        """Open a run as it was left."""
        with self.loop.listening():
            self.dock.open_run(run)
        self.loop.until(lambda: self.model.frame is not None and self.model.columns.values, "the run")
        self.settle()

    def quantile(self, x: float, y: float) -> Array:
        """Pixel of the scatter at the quantiles x and y of the particles' coordinates."""
        coordinates = self.model.projection.coordinates
        return self.pixel(np.quantile(coordinates[:, 0], x), np.quantile(coordinates[:, 1], y))

    def pixel(self, x: float, y: float) -> Array:
        """Pixel of the scatter at a point of the plane."""
        return np.array(self.dock.scatter.pixel((x, y)))

    def crowded(self, share: float) -> Array:
        """Pixel of the particle that a share of the particles have to their left."""
        coordinates = self.model.projection.coordinates
        return self.pixel(*coordinates[np.argsort(coordinates[:, 0])[int(share * (len(coordinates) - 1))]])

    def click_particle(self, share: float) -> None:
        """Click the particle that a share of the particles have to their left, and wait for its map."""
        self.person.click(self.scatter, self.crowded(share))
        self.settle()

    def show_tab(self, panel: QWidget) -> None:
        """Click the tab of a panel."""
        bar, index = self.dock.tabs.tabBar(), self.dock.tabs.indexOf(panel)
        middle = bar.tabRect(index).center()
        self.person.click(bar, (middle.x(), middle.y()))
        self.loop.run(0.1)

    def save_path(self, entry: str, path: Path) -> None:
        """Save the path by an entry of its menu, and wait until it is written."""
        self.person.answer(path)
        self.person.take(self.dock.scatter_panel.options.path.save, entry)
        self.loop.until(
            lambda: self.model.message.startswith("Saved") and str(path) in self.model.message, f"{path.name}"
        )

    def hold(self, tool: str) -> None:
        """Take a tool in hand by its key."""
        self.focus()
        self.person.key(self.scatter, tool)
        self.loop.run(0.1)

    def focus(self) -> None:
        """Give the keys to the scatter."""
        self.dock.window().activateWindow()
        self.scatter.setFocus()
        self.loop.until(self.scatter.hasFocus, "the focus")

    # -- notes -------------------------------------------------------------------------------------------------------

    def check(self, claim: str, holds: Any) -> None:
        """Note whether a claim holds."""
        (self.report.held if holds else self.report.failed).append(claim)

    def picture(self, name: str) -> None:
        """Leave a picture of the whole window."""
        close_notifications()
        self._number += 1
        image = np.asarray(self.viewer.screenshot(canvas_only=False, flash=False))[..., :3]
        path = self._pictures / f"{self._number:02d}-{name}.png"
        few = Image.fromarray(image).quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
