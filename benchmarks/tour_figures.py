"""The figures that the tour measures in the window."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from decode import vae_rates
from event_loop import Blocks
from explorer import Screen, places_of_particles, time_clicks, time_drag
from guide import Guide
from made_up_runs import enlarged, run_of_latents, run_of_many
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication
from stations.training import OPTIONS, start_training

from napari_sbackprop.gui.docks import open_explore, open_train
from napari_sbackprop.run_directory import RunDirectory

CLICKS = 40
MILLION, MANY = 1_000_000, 300_000
EPOCHS = 150  # of the trainings that are compared: half a minute, with little of it the opening of the window
STARTS = 4  # of napari, with the plugin and without


@dataclass(frozen=True)
class Figure:
    """What was measured, and what it should be; load is that of the machine while it was."""

    what: str
    measured: float
    unit: str
    target: float
    most: bool
    load: float

    @property
    def reached(self) -> bool:
        return self.measured <= self.target if self.most else self.measured >= self.target


def figure(what: str, measured: float, unit: str, *, most: float | None = None, least: float = 0.0) -> Figure:
    """A figure with its target, `most` or `least`."""
    target = least if most is None else most
    return Figure(
        what, round(float(measured), 2), unit, target, most is not None, round(os.getloadavg()[0], 2)
    )


def maps(guide: Guide) -> list[Figure]:
    """Drag and click, in the run's box and in one of 160."""
    found = _map_figures(guide, 96, least=10, most=120)
    scene = guide.model.scene
    decoder = enlarged(scene.decoder, 160)
    guide.model.scene = replace(scene, decoder=decoder).contoured_by(decoder.consensus())
    guide.model.contour = guide.model.scene.contour
    guide.click_particle(0.5)
    return [*found, *_map_figures(guide, 160, least=5, most=250)]


def _map_figures(guide: Guide, box: int, least: float, most: float) -> list[Figure]:
    guide.does(f"drag and click at {box}^3")
    screen = Screen(guide.dock)
    places = places_of_particles(guide.dock, CLICKS)
    guide.click_particle(0.5)
    time_clicks(screen, guide.person, guide.loop, places[:3])
    clicks = time_clicks(screen, guide.person, guide.loop, places)
    drag = time_drag(screen, guide.person, np.linspace(guide.crowded(0.05), guide.crowded(0.95), 150))
    return [
        figure(f"drag: map updates a second, surface, {box}^3", 1 / np.mean(drag), "1/s", least=least),
        figure(f"click to finished map, 95 %, {box}^3", 1e3 * np.percentile(clicks, 95), "ms", most=most),
    ]


def million_points(guide: Guide) -> list[Figure]:
    """Move, zoom, recolour and select among a million particles."""
    guide.does("a million points")
    _open(guide, run_of_latents(guide.files / "million", MILLION, guide.model.scene.latents))
    guide.loop.until(lambda: guide.model.qualities, "what the epoch says of a million particles")
    guide.loop.run(1.0)
    scatter, panel = guide.scatter, guide.dock.scatter_panel
    middle = np.array([scatter.width() / 2, scatter.height() / 2])
    guide.person.press(scatter, middle, button="Right")
    moves = [middle + step for step in range(5, 105, 5)]
    pan = [
        _drawn(guide, lambda place=place: guide.person.move(scatter, place, button="Right"))
        for place in moves
    ]
    guide.person.release(scatter, moves[-1], button="Right")
    zoom = [_drawn(guide, lambda turn=turn: _turn_wheel(guide, turn)) for turn in [120] * 6 + [-120] * 6]
    recolour = [
        _drawn(guide, lambda row=row: panel.colour.setCurrentIndex(row))
        for row in [
            panel.colour.findText(name) for name in ("contrast", "latent_sigma", "rlnDefocusU", "density")
        ]
    ]
    lasso = [_lasso(guide, middle, radius) for radius in (60, 90, 120, 150)]
    return [
        figure(
            "1,000,000 points: redraw of a move or a zoom, median", 1e3 * np.median(pan + zoom), "ms", most=50
        ),
        figure("1,000,000 points: recolour, median", 1e3 * np.median(recolour), "ms", most=150),
        figure("1,000,000 points: lasso, median", 1e3 * np.median(lasso), "ms", most=150),
    ]


def _drawn(guide: Guide, act: Callable[[], Any]) -> float:
    """Seconds from an act to the scatter drawn anew."""
    drawn: list[float] = []

    def note() -> None:
        drawn.append(time.perf_counter())

    guide.loop.run(0.15)
    guide.scatter.frameSwapped.connect(note)
    started = time.perf_counter()
    with guide.loop.listening():
        act()
    guide.loop.until(lambda: drawn, "the scatter")
    guide.scatter.frameSwapped.disconnect(note)
    return drawn[0] - started


def _turn_wheel(guide: Guide, turn: int) -> None:
    middle = QPointF(guide.scatter.rect().center())
    none, phase = Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase
    place = QPointF(guide.scatter.mapToGlobal(guide.scatter.rect().center()))
    button = Qt.MouseButton.NoButton
    event = QWheelEvent(middle, place, QPoint(0, 0), QPoint(0, turn), button, none, phase, False)
    QApplication.sendEvent(guide.scatter, event)


def _lasso(guide: Guide, middle: np.ndarray, radius: float) -> float:
    """Seconds from the release of a lasso to its particles on screen."""
    angle = np.linspace(0, 2 * np.pi, 30)
    circle = middle + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    guide.person.press(guide.scatter, circle[0], held="Shift")
    for place in circle[1:]:
        guide.person.move(guide.scatter, place, held="Shift")
    return _drawn(guide, lambda: guide.person.release(guide.scatter, circle[-1], held="Shift"))


def many_particles(guide: Guide) -> list[Figure]:
    """The first picture of a large run."""
    guide.does("opening 300,000 particles")
    many = run_of_many(guide.model.scene.run.path, guide.files / "many", MANY)
    screen = Screen(guide.dock)
    started = time.perf_counter()
    _open(guide, many)
    guide.loop.until(lambda: screen.settled, "the first picture")
    return [figure("first picture of a run of 300,000 particles", screen.shown[0][0] - started, "s", most=3)]


def _open(guide: Guide, run: Path) -> None:
    with guide.loop.listening():
        open_explore(guide.viewer).open_run(run)
    guide.loop.until(
        lambda: guide.model.scene and guide.model.scene.run.path == run, f"the run {run.name}", 180
    )


def training_speed(guide: Guide) -> list[Figure]:
    """How much slower the VAE is with the window open on it, hands off."""
    alone = guide.files / "alone"
    flags = [
        word for name, value in OPTIONS.items() for word in (f"--{name.replace('_', '-')}", f"{value:g}")
    ]
    command = "from napari_sbackprop.cli import main; main()"
    arguments = ["train", str(guide.particles), str(alone), *flags, "--epochs", str(EPOCHS)]
    guide.does("a training without a window")
    subprocess.run([sys.executable, "-c", command, *arguments], check=True, capture_output=True)
    watched = guide.files / "watched"
    start_training(guide, watched, EPOCHS)
    train = open_train(guide.viewer)
    open_explore(guide.viewer)
    guide.does("a training that is watched")
    guide.loop.until(lambda: not train.training, "the end of the training", 300)
    guide.loop.training = False
    ratio = np.median(vae_rates(RunDirectory(alone))) / np.median(vae_rates(RunDirectory(watched)))
    return [figure("training slowed by an open window", 100 * (ratio - 1), "%", most=10)]


def blocked(blocks: Sequence[Blocks], stations: set[str]) -> list[Figure]:
    """The longest times without an answer, with a training and without one; `blocks` begin with the longest."""
    found = []
    for training, name in ((True, "while a training runs"), (False, "without a training")):
        one = next(
            (block for block in blocks if block.training is training and block.station in stations), None
        )
        if one is not None:
            what = f"event loop blocked, longest {name} ({one.station}: {one.action})"
            found.append(Figure(what, one.longest_ms, "ms", 100, True, one.load))
    return found


def start(_guide: Guide) -> list[Figure]:
    """What the plugin adds to the start of napari."""
    seconds = {known: [] for known in (False, True)}
    for _ in range(STARTS):
        for known, times in seconds.items():
            times.append(_seconds_to_start(known))
    share = np.median(seconds[True]) - np.median(seconds[False])
    return [figure("plugin's share of napari's start", share, "s", most=0.3)]


def _seconds_to_start(known: bool) -> float:
    register = "from napari_sbackprop.gui.app import _make_known; _make_known();" if known else ""
    code = (
        "import time; started = time.perf_counter(); import napari;"
        f"{register} napari.Viewer(show=False); print(time.perf_counter() - started)"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(result.stdout.split()[-1])
