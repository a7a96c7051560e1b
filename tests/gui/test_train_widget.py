"""The Train dock in a viewer: a real training, watched by the explorer."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TIMEOUT

from napari_sbackprop.config import Config
from napari_sbackprop.gui.docks import open_train
from napari_sbackprop.gui.map_view import MAP_LAYER
from napari_sbackprop.run_directory import RunDirectory

pytestmark = pytest.mark.gui


@pytest.fixture
def train(viewer: Any, tiny_options: dict[str, Any], qtbot: Any) -> Iterator[Any]:
    widget = open_train(viewer)
    widget.form.set_config(Config(**tiny_options))
    yield widget
    widget.stop()
    qtbot.waitUntil(lambda: not widget.training, timeout=TIMEOUT)
    qtbot.waitUntil(lambda: widget._check is None or not widget._check.running, timeout=TIMEOUT)
    if widget._explore is not None and not widget._explore.closed:
        widget._explore.shut_down()


def test_particles_and_map_update_while_training_runs(
    viewer: Any, train: Any, particles: Path, tmp_path: Path, qtbot: Any
) -> None:
    from qtpy.QtCore import Qt

    run = tmp_path / "new_run"
    train.set_particles(particles)
    qtbot.waitUntil(lambda: "240" in train.report.text(), timeout=TIMEOUT)
    assert train.run.path.parent == particles.parent  # suggested beside the particles
    train.run.set_path(run)
    qtbot.mouseClick(train.start_button, Qt.MouseButton.LeftButton)
    assert train.training
    assert not train.start_button.isEnabled()

    qtbot.waitUntil(lambda: train._explore is not None, timeout=TIMEOUT)
    explore = train._explore
    seen: list[tuple[int, bool]] = []
    explore.model.events.scene.connect(lambda scene: seen.append((scene.epoch, train.training)))
    frames: list[bool] = []
    explore.model.events.frame.connect(lambda frame: frames.append(train.training))
    qtbot.waitUntil(lambda: not train.training, timeout=TIMEOUT)

    assert "Finished" in train.status.text()
    assert any(running for _, running in seen)
    assert any(frames)
    last = RunDirectory(run).latest_epoch()
    qtbot.waitUntil(lambda: explore.model.scene.epoch == last, timeout=TIMEOUT)
    qtbot.waitUntil(lambda: MAP_LAYER in viewer.layers, timeout=TIMEOUT)
    assert not explore.training.isVisible()
    assert train.progress.value() == 1000
    assert train.curve.points("evidence")
    assert np.isfinite([value for _, value in train.curve.points("held_out_evidence")]).all()
    assert train.information.text().startswith("information")
    train.figure.setCurrentText("FSC of half sets")
    assert train.fsc.isVisible()
    curves = train.fsc.lines().named
    halved = [
        RunDirectory(run).read_description(epoch).get("half_set_fsc") for epoch in RunDirectory(run).epochs()
    ]
    newest = [fsc for fsc in halved if fsc is not None][-1]
    assert [value for _, value in curves["consensus"]] == newest[0]
    assert [value for _, value in curves["direction 1"]] == newest[1]
    assert "half_set_fsc" not in RunDirectory(run).read_description(
        last
    )  # of the auto-encoder: the curve is older
    assert train.start_button.text() == "Continue training"


def test_no_file_of_an_epoch_is_read_where_the_window_would_wait(
    train: Any, particles: Path, tmp_path: Path, qtbot: Any
) -> None:
    readers, listening = [], True

    def listen(event: str, arguments: tuple[Any, ...]) -> None:
        if listening and event == "open" and str(arguments[0]).endswith("epoch.json"):
            readers.append(threading.current_thread())

    sys.addaudithook(listen)  # no hook can be taken away
    train.star.set_path(particles)
    train.run.set_path(tmp_path / "run")
    train.start()
    qtbot.waitUntil(lambda: not train.training, timeout=TIMEOUT)
    listening = False
    assert train.figure.findText("FSC of half sets") >= 0
    assert readers
    assert threading.main_thread() not in readers


def test_stop_ends_the_training_and_keeps_its_epochs(
    train: Any, particles: Path, tmp_path: Path, qtbot: Any
) -> None:
    from qtpy.QtCore import Qt

    run = tmp_path / "stopped"
    train.form.controls["epochs"].value = 1000
    train.star.set_path(particles)
    train.run.set_path(run)
    qtbot.mouseClick(train.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: train._explore is not None, timeout=TIMEOUT)
    qtbot.mouseClick(train.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not train.training, timeout=TIMEOUT)
    assert "Stopped" in train.status.text()
    assert RunDirectory(run).epochs()


def test_a_training_that_goes_on_leaves_the_selection_alone(
    train: Any, particles: Path, run: Path, tmp_path: Path, qtbot: Any
) -> None:
    train.form.controls["epochs"].value = 1000
    train.form.controls["held_out"].value = 0.0  # nothing ends it
    train.star.set_path(particles)
    train.run.set_path(tmp_path / "resumed")
    train.start()
    qtbot.waitUntil(lambda: train._explore is not None, timeout=TIMEOUT)
    explore = train._explore
    qtbot.waitUntil(explore.training.isVisible, timeout=TIMEOUT)
    explore.open_run(run)  # another one, of which the bar would say nothing
    qtbot.waitUntil(lambda: not explore.training.isVisible(), timeout=TIMEOUT)
    explore.open_run(tmp_path / "resumed")
    qtbot.waitUntil(lambda: explore.model.frame is not None, timeout=TIMEOUT)
    train.stop()
    qtbot.waitUntil(lambda: not train.training, timeout=TIMEOUT)
    assert not train.form.controls["latent_size"].enabled
    train.form.controls["kl_weight"].value = 0.5
    explore.explorer.selections.select(np.arange(5), {})
    chosen, epoch = explore.model.selection, RunDirectory(tmp_path / "resumed").latest_epoch()
    train.start()
    qtbot.waitUntil(lambda: explore.model.scene.epoch > epoch, timeout=TIMEOUT)
    assert explore.model.selection is chosen
    assert RunDirectory(tmp_path / "resumed").config.kl_weight == 0.5
    train.stop()
    qtbot.waitUntil(lambda: not train.training, timeout=TIMEOUT)


def test_what_is_missing_is_said_in_the_dock(train: Any, tmp_path: Path, qtbot: Any) -> None:
    train.start()
    assert "choose their file" in train.status.text()
    star = tmp_path / "nothing.star"
    train.star.set_path(star)
    qtbot.waitUntil(lambda: "nothing.star" in train.report.text() and "Reading" not in train.report.text())
    train.run.set_path(tmp_path / "run")
    train.start()
    qtbot.waitUntil(lambda: not train.training, timeout=TIMEOUT)
    assert "nothing.star" in train.status.text()
    train.form.controls["resolution"].value = "fine"
    train.start()
    assert "resolution is 'fine'" in train.status.text()


def test_an_error_of_torch_is_said_in_the_dock(
    train: Any, particles: Path, tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import napari_sbackprop.training.trainer as trainer

    def broken(*arguments: object) -> Iterator[None]:
        raise RuntimeError("CUDA error: device-side assert")
        yield None

    monkeypatch.setattr(trainer, "train", broken)
    train.star.set_path(particles)
    train.run.set_path(tmp_path / "run")
    train.start()
    qtbot.waitUntil(lambda: not train.training, timeout=TIMEOUT)
    assert "device-side assert" in train.status.text()
    assert train.start_button.isEnabled()
