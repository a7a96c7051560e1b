"""Time from a click in the explorer to the new surface on screen: a table on stderr, JSON on stdout.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/explorer.py RUN [--clicks 40]

A click is a press and a release of the mouse at a particle, sent through Qt, and ends when napari has drawn the new surface.
`drag` is the time between new surfaces (coarse ones in large boxes) while the mouse moves every 15 ms.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_sbackprop.gui.app import open_viewer
from napari_sbackprop.gui.docks import open_explore
from napari_sbackprop.gui.opengl import renderer_name
from napari_sbackprop.gui.screenshot import close_notifications

SECONDS = 60.0
SETTLING = 8.0  # napari's own messages go away meanwhile
WINDOW = (1600, 1000)


class Screen:
    """Watches which map has reached the screen."""

    def __init__(self, widget: Any) -> None:
        self.widget = widget
        self.shown: list[tuple[float, Any]] = []
        scatter = widget.scatter.native
        for canvas in widget.window().findChildren(QWidget):
            if hasattr(canvas, "frameSwapped") and canvas is not scatter:
                canvas.frameSwapped.connect(self._on_drawn)

    def _on_drawn(self) -> None:
        frame = self.widget.model.frame
        if frame is not None and (not self.shown or self.shown[-1][1] is not frame):
            self.shown.append((time.perf_counter(), frame))

    def wait(self, condition: Any) -> None:
        """Run Qt until a condition holds."""
        end = time.monotonic() + SECONDS
        while not condition():
            QApplication.processEvents()
            time.sleep(0.0005)
            if time.monotonic() > end:
                raise TimeoutError("the explorer did not answer")


def send(widget: QWidget, kind: QEvent.Type, place: np.ndarray) -> None:
    """A mouse event of the left button."""
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    held = none if kind == QEvent.Type.MouseButtonRelease else left
    point = QPointF(*place)
    button = none if kind == QEvent.Type.MouseMove else left
    event = QMouseEvent(kind, point, point, button, held, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(widget, event)


def time_clicks(screen: Screen, places: np.ndarray) -> list[float]:
    """Seconds from each click to the new surface on screen."""
    widget, canvas = screen.widget, screen.widget.scatter.native
    seconds = []
    for place in places:
        screen.shown = screen.shown[-1:]
        started = time.perf_counter()
        send(canvas, QEvent.Type.MouseButtonPress, place)
        send(canvas, QEvent.Type.MouseButtonRelease, place)
        screen.wait(lambda: not widget.explorer.busy and screen.shown[-1][1] is widget.model.frame)
        seconds.append(screen.shown[-1][0] - started)
        end = time.monotonic() + 0.1  # what a person needs at the very least
        screen.wait(lambda end=end: time.monotonic() > end)
    return seconds


def time_drag(screen: Screen, places: np.ndarray) -> list[float]:
    """Seconds between new surfaces on screen while the mouse moves through all places."""
    canvas = screen.widget.scatter.native
    screen.shown = screen.shown[-1:]
    send(canvas, QEvent.Type.MouseButtonPress, places[0])
    for place in places[1:]:
        next_move = time.monotonic() + 0.015
        send(canvas, QEvent.Type.MouseMove, place)
        screen.wait(lambda next_move=next_move: time.monotonic() > next_move)
    moments = [moment for moment, _ in screen.shown[1:]]
    send(canvas, QEvent.Type.MouseButtonRelease, places[-1])
    return list(np.diff(moments))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--clicks", type=int, default=40)
    options = parser.parse_args()
    started = time.perf_counter()
    viewer = open_viewer(options.run)
    viewer.window.resize(*WINDOW)
    widget = open_explore(viewer)
    screen = Screen(widget)
    screen.wait(lambda: widget.model.frame is not None and screen.shown)
    opened = time.perf_counter() - started
    screen.wait(lambda: time.perf_counter() > started + opened + SETTLING)
    widget.explorer.training = True  # keeps UMAP from taking a core
    close_notifications()

    scatter, coordinates = widget.scatter, widget.model.projection.coordinates
    chosen = coordinates[np.random.default_rng(0).choice(len(coordinates), options.clicks)]
    places = np.array([scatter.pixel(tuple(point)) for point in chosen])
    time_clicks(screen, places[:3])
    clicks = time_clicks(screen, places)
    line = np.linspace(places[0], places[1], 100)
    drag = time_drag(screen, line)
    scatter.canvas.set_current()
    results: dict[str, Any] = {
        "gl_renderer": renderer_name(),
        "box": len(widget.model.frame.volume),
        "particles": len(coordinates),
        "faces": len(widget.model.frame.faces),
        "window_and_run_open_s": round(opened, 2),
    }
    for name, seconds in (("click", clicks), ("drag", drag)):
        results[f"{name}_ms_median"] = round(1e3 * float(np.median(seconds)), 1)
        results[f"{name}_ms_90_percent"] = round(1e3 * float(np.percentile(seconds, 90)), 1)
    print(json.dumps(results, indent=2))
    for name in ("click", "drag"):
        median, high = results[f"{name}_ms_median"], results[f"{name}_ms_90_percent"]
        print(f"{name:<6} median {median:7.1f} ms   90 % within {high:7.1f} ms", file=sys.stderr)
    viewer.close()


if __name__ == "__main__":
    main()
