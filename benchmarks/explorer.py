"""Time from a click in the explorer to the new surface on screen: a table on stderr, JSON on stdout.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/explorer.py RUN [--clicks 40]

A click is a press and a release of the mouse at a particle, sent through Qt, and ends when napari has drawn the new surface.
`drag` is the time between new surfaces (coarse ones in large boxes) while the mouse moves every 15 ms. Nothing is written
into the run.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from event_loop import EventLoop
from person import Person
from qtpy.QtWidgets import QWidget

from napari_sbackprop.gui.app import open_viewer
from napari_sbackprop.gui.docks import open_explore
from napari_sbackprop.gui.opengl import renderer_name
from napari_sbackprop.gui.screenshot import close_notifications

SETTLING = 8.0  # napari's own messages go away meanwhile
PAUSE = 0.1  # seconds between clicks, what a person needs at the very least
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

    @property
    def settled(self) -> bool:
        """Whether the newest map is on screen, and none is on its way there."""
        return bool(
            not self.widget.explorer.busy and self.shown and self.shown[-1][1] is self.widget.model.frame
        )


def time_clicks(screen: Screen, person: Person, loop: EventLoop, places: np.ndarray) -> list[float]:
    """Seconds from each click to the new surface on screen."""
    canvas = screen.widget.scatter.native
    seconds = []
    for place in places:
        screen.shown = screen.shown[-1:]
        started = time.perf_counter()
        person.click(canvas, place)
        loop.until(lambda: screen.settled, "the map of a click")
        seconds.append(screen.shown[-1][0] - started)
        loop.run(PAUSE)
    return seconds


def time_drag(screen: Screen, person: Person, places: np.ndarray) -> list[float]:
    """Seconds between new surfaces on screen while the mouse moves through all places."""
    screen.shown = screen.shown[-1:]
    person.drag(screen.widget.scatter.native, places)
    moments = [moment for moment, _ in screen.shown[1:]]
    return list(np.diff(moments))


def places_of_particles(widget: Any, count: int) -> np.ndarray:
    """Pixels (count, 2) of particles drawn at random."""
    coordinates = widget.model.projection.coordinates
    chosen = coordinates[np.random.default_rng(0).choice(len(coordinates), count)]
    return np.array([widget.scatter.pixel(tuple(point)) for point in chosen])


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
    widget, loop = open_explore(viewer), EventLoop()
    widget.explorer.sessions.open(None)  # neither restored nor kept: the run stays as it is
    widget.explorer.umaps.training = True  # keeps UMAP from taking a core, and from being stored
    screen, person = Screen(widget), Person(loop)
    loop.until(lambda: screen.settled, "the first map")
    opened = time.perf_counter() - started
    loop.run(SETTLING)
    close_notifications()

    places = places_of_particles(widget, options.clicks)
    time_clicks(screen, person, loop, places[:3])
    clicks = time_clicks(screen, person, loop, places)
    drag = time_drag(screen, person, np.linspace(places[0], places[1], 100))
    widget.scatter.canvas.set_current()
    results: dict[str, Any] = {
        "gl_renderer": renderer_name(),
        "box": len(widget.model.frame.volume),
        "particles": widget.model.scene.count,
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
