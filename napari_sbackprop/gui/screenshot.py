"""A picture of the explorer at work, without a person: for reports and for machines without a screen."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SECONDS = 90.0
SIZE = (1600, 1000)


def explorer_screenshot(run: Path, output: Path) -> None:
    """Open a run in the explorer, show a map, select particles, and write a PNG of the whole window.

    Needs a display; Xvfb is enough.

    Raises
    ------
    TimeoutError
        The explorer did not show a map in time; the message says what it said.
    """
    from napari_sbackprop.gui.app import open_viewer

    viewer = open_viewer(run)
    try:
        viewer.window.resize(*SIZE)
        widget = viewer.window.add_plugin_dock_widget("napari-sbackprop", "Explore")[1]
        model = widget.model
        _wait(lambda: model.scene is not None and not widget.explorer.busy, model)
        coordinates = model.projection.coordinates
        vertices = outline_of_a_cluster(coordinates)
        widget.explorer.selections.select_polygon(vertices)
        frame = model.frame
        widget.explorer.pick(*map(float, vertices.mean(axis=0)))
        if model.scene.has_decoder:
            _wait(lambda: model.frame is not frame and not widget.explorer.busy, model)
        _process_events(1.0)
        close_notifications()
        viewer.screenshot(str(output), canvas_only=False, flash=False)
    finally:
        viewer.close()


def outline_of_a_cluster(coordinates: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """A round outline (V, 2) around one crowded part of the points (N, 2), at the side of the cloud."""
    from napari_sbackprop.analysis.clustering import kmeans

    labels, centres = kmeans(coordinates, min(4, len(coordinates)))
    inside = coordinates[labels == len(centres) - 1]
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radius = 1.2 * inside.std(axis=0) + 1e-6
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.asarray(centres[-1] + radius * circle, dtype=np.float64)


def close_notifications() -> None:
    """Take napari's own messages out of the picture."""
    from qtpy.QtWidgets import QApplication

    for widget in QApplication.allWidgets():
        if type(widget).__name__ == "NapariQtNotification":
            widget.close()
    _process_events(0.3)


def _wait(until: Callable[[], bool], model: Any) -> None:
    end = time.monotonic() + SECONDS
    while not until():
        _process_events(0.05)
        if time.monotonic() > end:
            raise TimeoutError(
                f"the explorer shows no map after {SECONDS:.0f} s ({model.error or model.busy})"
            )


def _process_events(seconds: float) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)
