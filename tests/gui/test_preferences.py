"""Preferences and recent runs, which all windows share."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TIMEOUT, Desk
from qtpy.QtCore import Qt
from qtpy.QtGui import QTextDocument

from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.docks import open_explore, open_preferences, open_train
from napari_sbackprop.gui.explorer_model import SLICE, SURFACE
from napari_sbackprop.gui.preferences import FITTING, Preferences, preferences, preferences_path
from napari_sbackprop.gui.recent_runs import MOST_RUNS, recent_runs, remember_run


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Configuration and state of a person who starts for the first time."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    preferences.cache_clear()
    yield
    preferences.cache_clear()


def begin_anew() -> Preferences:
    """The preferences of the next start of the program."""
    preferences.cache_clear()
    return preferences()


def test_preferences_are_there_at_the_next_start() -> None:
    assert preferences() == Preferences()
    assert not preferences_path().exists()  # nothing is written before somebody prefers something
    preferences().device = "cpu"
    preferences().reopening = False
    assert begin_anew() == Preferences(device="cpu", reopening=False)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"device": ["cpu"]}', '{"device": "abacus"}'])
def test_a_damaged_file_means_defaults(text: str) -> None:
    preferences_path().parent.mkdir(parents=True)
    preferences_path().write_text(text)
    assert preferences() == Preferences()
    preferences().renderer = SLICE
    assert begin_anew() == Preferences(renderer=SLICE)


def test_what_is_understood_counts() -> None:
    preferences_path().parent.mkdir(parents=True)
    preferences_path().write_text(json.dumps({"device": "cpu", "renderer": 7, "of a later version": 1}))
    assert preferences() == Preferences(device="cpu")


def test_without_reopening_a_run_opens_as_at_first(open_desk: Desk, run: Path) -> None:
    first = open_desk.model.contour
    open_desk.explorer.set_contour(1.9)
    preferences().reopening = False
    open_desk.explorer.open(run)
    open_desk.until(lambda: open_desk.model.frame is not None)
    assert open_desk.model.contour == first
    done: list[None] = []
    open_desk.explorer._files.submit(lambda: None, done.append)  # comes after the run was put on the list
    open_desk.until(lambda: done)


def test_without_reopening_too_a_damaged_session_is_told_of(desk: Desk, run: Path) -> None:
    preferences().reopening = False
    (run / "session.json").write_text("{")
    desk.explorer.open(run)
    desk.until(lambda: desk.model.frame is not None)
    assert "what is on screen is not kept" in desk.model.error


def test_recent_runs_are_listed_the_newest_first(tmp_path: Path) -> None:
    runs = [tmp_path / f"run{number}" for number in range(MOST_RUNS + 3)]
    for run in runs:
        run.mkdir()
        (run / "config.json").write_text("{}")
        remember_run(run)
    remember_run(runs[5])
    expected = [runs[5], *(run for run in reversed(runs) if run != runs[5])][:MOST_RUNS]
    assert recent_runs() == expected
    shutil.move(runs[5], tmp_path / "unplugged")
    assert recent_runs() == expected[1:]
    remember_run(runs[0])
    shutil.move(tmp_path / "unplugged", runs[5])
    assert recent_runs()[:2] == [runs[0], runs[5]]  # a disk that was away for a while


def test_a_damaged_list_of_runs_begins_anew(tmp_path: Path) -> None:
    place = tmp_path / "state" / "napari-sbackprop" / "recent_runs.json"
    place.parent.mkdir(parents=True)
    for text in ("", "{", "3", "[3]"):
        place.write_text(text)
        assert recent_runs() == []


def test_a_run_that_cannot_be_reached_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    place = tmp_path / "state" / "napari-sbackprop" / "recent_runs.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(["/" + 300 * "x", "/\0", str(tmp_path)]))
    assert recent_runs() == [tmp_path]


@pytest.mark.gui
def test_any_name_of_a_run_is_shown_as_it_is(viewer: Any, run: Path, qtbot: Any) -> None:
    odd = run.rename(run.with_name("R&D <b>1<i> é"))
    explore, train = open_explore(viewer), open_train(viewer)
    explore.open_run(odd)
    qtbot.waitUntil(lambda: recent_runs() == [odd], timeout=TIMEOUT)
    shown = QTextDocument()
    shown.setHtml(explore.header.text())
    assert shown.toPlainText().startswith("R&D <b>1<i> é")
    for menu in (explore.recent_button.menu(), train.comparison.menu):
        menu.aboutToShow.emit()
        assert menu.actions()[0].text() == "R&&D <b>1<i> é"  # a single one underlines the next letter
    explore.explorer.model.complain(InputError(f"{odd} is odd."))
    assert explore.status.textFormat() == Qt.TextFormat.PlainText
    explore.shut_down()


@pytest.mark.gui
def test_the_dock_sets_what_trainings_and_maps_begin_with(viewer: Any, run: Path, qtbot: Any) -> None:
    train = open_train(viewer)
    dock = open_preferences(viewer)
    dock.device.setCurrentText("Processor")
    assert train.form.config().device == "cpu"
    dock.renderer.setCurrentText("Slice")
    assert json.loads(preferences_path().read_text())["renderer"] == SLICE
    explore = open_explore(viewer)
    explore.open_run(run)
    qtbot.waitUntil(lambda: explore.model.frame is not None, timeout=TIMEOUT)
    assert explore.model.renderer == SLICE
    dock.renderer.setCurrentIndex(dock.renderer.findData(FITTING))
    explore.explorer.sessions.open(None)  # whose renderer would count
    explore.open_run(run)
    qtbot.waitUntil(lambda: explore.model.frame is not None, timeout=TIMEOUT)
    assert explore.model.renderer == SURFACE  # on the processor
    explore.shut_down()


@pytest.mark.gui
def test_a_run_that_was_explored_is_in_the_menu(viewer: Any, explore: Any, run: Path, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: recent_runs() == [run.resolve()], timeout=TIMEOUT)
    menu = explore.recent_button.menu()
    menu.aboutToShow.emit()
    (action,) = menu.actions()
    assert (action.text(), action.toolTip()) == ("run", str(run.resolve()))
    explore.explorer.set_contour(1.3)
    action.trigger()
    assert explore.model.scene is None
    qtbot.waitUntil(lambda: explore.model.scene is not None, timeout=TIMEOUT)
    shutil.rmtree(run)
    menu.aboutToShow.emit()
    (action,) = menu.actions()
    assert not action.isEnabled()
