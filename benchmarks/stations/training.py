"""The window while a training writes the run on screen."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from guide import Guide

from napari_sbackprop.config import Config
from napari_sbackprop.gui.docks import open_explore, open_train
from napari_sbackprop.run_directory import RunDirectory

OPTIONS = {"resolution": 15.0, "latent_size": 4, "basis_size": 4, "held_out": 0.0}
"""Small, so that epochs come every few seconds; without left-out particles, by which a training may end itself."""
MANY = 1000  # epochs: more than there is time for


def train(guide: Guide) -> None:
    """Train from the dock with the explorer open; stop, and go on."""
    run = guide.files / "training"
    start_training(guide, run, MANY)
    guide.check("the explorer opens at the first epoch", guide.model.scene.run.path == run)
    _keep_what_is_at_hand(guide)
    _work(guide)
    _stop_and_resume(guide, run)


def start_training(guide: Guide, run: Path, epochs: int) -> None:
    """Fill in the form, start, and wait for the first map."""
    train = open_train(guide.viewer)
    guide.does("filling in the form")
    guide.person.type(train.star.line, str(guide.particles))
    guide.loop.until(lambda: "Reading" not in train.report.text() and train.run.path, "the report")
    guide.person.type(train.run.line, str(run))
    if not train.form.more_button.isChecked():
        guide.person.click(train.form.more_button)
    for name, value in {**OPTIONS, "epochs": epochs}.items():
        guide.person.type(train.form.controls[name].native, f"{value:g}")
    guide.person.click(train.form.more_button)
    expected = Config(**OPTIONS, epochs=epochs)
    guide.check("the form holds what was typed", train.form.config() == expected)
    guide.does("start of a training")
    guide.loop.training = True
    guide.person.click(train.start_button)
    guide.loop.until(lambda: guide.model.scene and guide.model.scene.run.path == run, "the first epoch", 180)
    guide.settle()


def _keep_what_is_at_hand(guide: Guide) -> None:
    guide.does("waiting for an epoch")
    model, camera = guide.model, guide.viewer.scene.camera
    guide.hold("E")
    guide.click_particle(0.2)
    guide.hold("N")
    guide.person.slide(guide.dock.map_panel.contour, guide.dock.map_panel.contour.value() + 20)
    width, height = guide.map.width(), guide.map.height()
    guide.person.drag(guide.map, np.linspace((width / 2, height / 2), (width / 2 + 60, height / 2), 8))
    guide.settle()
    epoch, points, frame = model.scene.epoch, model.projection.coordinates, model.frame
    kept = (model.selection, model.contour, camera.angles, camera.zoom)
    guide.loop.until(lambda: model.scene.epoch > epoch and model.frame is not frame, "another epoch")
    guide.settle()
    guide.check("points move", not np.array_equal(points, model.projection.coordinates))
    guide.check("the map moves", not np.array_equal(frame.volume, model.frame.volume))
    guide.check(
        "selection, contour and camera stay",
        kept == (model.selection, model.contour, camera.angles, camera.zoom),
    )
    guide.check(
        "progress is in the dock", guide.dock.training.isVisible() and guide.dock.training.value() > 0
    )
    guide.picture("training-explored")


def _work(guide: Guide) -> None:
    """A little of everything, for the notes of the event loop."""
    panel, scatter = guide.dock.map_panel, guide.dock.scatter_panel
    guide.does("drag")
    guide.person.drag(guide.scatter, np.linspace(guide.crowded(0.9), guide.crowded(0.1), 60))
    guide.settle()
    guide.does("lasso")
    middle, angle = guide.crowded(0.5), np.linspace(0, 2 * np.pi, 30)
    circle = middle + 60 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    guide.person.drag(guide.scatter, circle, held="Shift")
    guide.check("a lasso selects while a training runs", guide.model.selection is not None)
    for box, choices in (
        (scatter.colour, ("latent_sigma", "density")),
        (panel.colouring, ("Variability", "One colour")),
        (panel.renderer, ("Slice", "Surface")),
        (panel.comparison, ("Overlay", "Difference", "Side by side", "Blink", "Map alone")),
    ):
        for text in choices:
            guide.does(text.lower())
            guide.person.choose(box, text)
            guide.settle()
            guide.click_particle(0.3)
    guide.does("pin")
    guide.person.click(panel.pin)
    guide.settle()
    guide.person.click(panel.pin)
    guide.settle()
    guide.does("contour")
    guide.person.slide(panel.contour, panel.contour.value() + 10)
    guide.settle()
    guide.does("images of a selection")
    guide.show_tab(guide.dock.images_panel)
    guide.loop.run(2.0)
    guide.does("directions")
    guide.show_tab(guide.dock.directions_panel)
    guide.loop.run(1.0)
    guide.person.slide(guide.dock.directions_panel.rows[0].slider, 40)
    guide.settle()
    guide.show_tab(guide.dock.scatter_panel)


def _compare_runs(guide: Guide, train: Any) -> None:
    guide.does("comparing runs")
    guide.person.click(train.compare)
    comparison = train.comparison
    guide.loop.until(lambda: comparison.figure.count() > 0, "the figures of the run")
    guide.person.take(comparison.runs, "run")
    guide.loop.until(lambda: len(comparison.curves.lines().named) == 2, "both runs")
    guide.person.choose(comparison.figure, "evidence")
    guide.loop.run(0.3)
    lines = comparison.curves.lines()
    finished = csv.DictReader(io.StringIO((guide.files / "run" / "metrics.csv").read_text()))
    expected = [float(row["evidence"]) for row in finished if row["evidence"]]
    guide.check("a finished run is drawn", [value for _, value in lines.named["run"]] == expected)
    guide.check("beside the one that is trained", len(lines.named["training"]) > 0)
    guide.picture("runs-compared")
    guide.person.click(train.compare)


def _stop_and_resume(guide: Guide, run: Path) -> None:
    guide.does("stopping a training")
    train = open_train(guide.viewer)
    guide.loop.run(0.5)
    guide.check("the curve has its figures", {"loss", "evidence"} & {*train.curve.figures})
    guide.picture("training")
    _compare_runs(guide, train)
    guide.person.click(train.stop_button)
    guide.loop.until(lambda: not train.training, "the end of the training")
    epochs, model = RunDirectory(run).epochs(), guide.model
    guide.check("stopped, it says what stays", "Finished epochs stay" in train.status.text())
    guide.check("and offers to go on", train.start_button.text() == "Continue training")
    guide.does("resuming a training")
    kept = (model.selection, model.contour)
    guide.person.click(train.start_button)
    guide.loop.until(lambda: RunDirectory(run).epochs()[-1] > epochs[-1], "an epoch of the resumed training")
    guide.check(
        "resumed, it has new epochs and all before", RunDirectory(run).epochs()[: len(epochs)] == epochs
    )
    guide.loop.until(lambda: model.scene and model.scene.epoch > epochs[-1], "the new epoch on screen")
    guide.check(
        "selection and contour stay when a training goes on", kept == (model.selection, model.contour)
    )
    open_train(guide.viewer)
    guide.person.click(train.stop_button)
    guide.loop.until(lambda: not train.training, "the end of the training")
    guide.loop.training = False
    open_explore(guide.viewer)
    guide.loop.run(0.3)
