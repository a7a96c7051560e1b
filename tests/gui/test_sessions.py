"""What was on screen of a run comes back with it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, TIMEOUT, Desk, publish_again
from hypothesis import given
from hypothesis import strategies as st

from napari_sbackprop.gui.directions import BASIS, PRINCIPAL
from napari_sbackprop.gui.docks import open_explore
from napari_sbackprop.gui.explorer_model import (
    ALONE,
    BLINK,
    DIFFERENCE,
    OVERLAY,
    SIDE_BY_SIDE,
    SLICE,
    VARIABILITY,
)
from napari_sbackprop.gui.paths import LOOP
from napari_sbackprop.gui.session import packed, unpacked
from napari_sbackprop.run_directory import RunDirectory

LINE = np.array([[-1.0, 0.0], [0.0, 0.3], [1.0, 0.0]])


@pytest.fixture
def again() -> Iterator[Callable[[Path], Desk]]:
    """Opens a run in a window of its own, as on another day."""
    desks = []

    def open_again(run: Path) -> Desk:
        desk = Desk()
        desks.append(desk)
        desk.explorer.open(run)
        desk.until(lambda: desk.model.frame is not None and not desk.explorer.busy)
        desk.until(lambda: desk.model.columns.values)
        return desk

    yield open_again
    for desk in desks:
        desk.explorer.close()


def keep(desk: Desk, run: Path) -> dict[str, Any]:
    """Keep the session of a desk, and read it."""
    desk.until(lambda: not desk.explorer.busy)
    desk.explorer.sessions.keep()
    written: list[None] = []
    desk.explorer._files.submit(lambda: None, written.append)  # comes after all that was asked before
    desk.until(lambda: written)
    return dict(json.loads((run / "session.json").read_text()))


def volumes(desk: Desk) -> tuple[np.ndarray, np.ndarray | None]:
    desk.until(lambda: not desk.explorer.busy)
    pinned = desk.model.pinned
    return desk.model.frame.volume, None if pinned is None else pinned.volume


def test_everything_on_screen_comes_back(open_desk: Desk, run: Path, again: Callable[[Path], Desk]) -> None:
    explorer, model = open_desk.explorer, open_desk.model
    explorer.selections.select(np.arange(7, 200, 3), {"query": "z1 < 0"})
    explorer.paths.model.ending = LOOP
    explorer.paths.set_frames(12)
    explorer.paths.draw(LINE)
    explorer.paths.show(5)
    explorer.pick(-0.8, 0.1)
    open_desk.until(lambda: not explorer.busy)
    explorer.comparison.pin()
    explorer.pick(*np.float32([0.9, 0.2]))  # as scripts have them
    explorer.set_contour(2.3)
    explorer.set_smoothing(1.4)
    explorer.comparison.choose(DIFFERENCE)
    explorer.set_contour(0.7)
    explorer.set_renderer(SLICE)
    model.slice_axis, model.slice_offset, model.colour = 2, 12.5, "rlnDefocusU"
    before = volumes(open_desk)
    keep(open_desk, run)

    other = again(run)
    found = other.model
    for name in ("contour", "difference_contour", "smoothing", "comparison", "renderer"):
        assert getattr(found, name) == getattr(model, name), name
    assert (found.slice_axis, found.slice_offset, found.colour) == (2, 12.5, "rlnDefocusU")
    assert found.point == pytest.approx((0.9, 0.2))
    assert found.frame.title == "Map at the cursor"
    for one, two in zip(before, volumes(other), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
    assert (found.contour, found.difference_contour) == (2.3, 0.7)
    np.testing.assert_array_equal(found.selection.indices, model.selection.indices)
    assert found.selection.provenance == model.selection.provenance
    assert not other.explorer.selections.history.can_undo
    path = other.explorer.paths
    np.testing.assert_allclose(path.line(), explorer.paths.line(), atol=1e-6)
    assert (path.model.frames, path.model.frame, path.model.ending) == (12, 5, LOOP)
    assert (found.message, found.error) == ("Opened as it was left.", "")


def walk_along(kind: str) -> Callable[[Desk], None]:
    def go(desk: Desk) -> None:
        walk = desk.explorer.walk
        walk.choose(kind)
        desk.until(lambda: walk.model.position is not None)
        walk.move(1, 1.5)

    return go


def go_along_component(desk: Desk) -> None:
    desk.explorer.paths.along_component(1)
    desk.explorer.paths.show(30)


def show_the_selection(desk: Desk) -> None:
    desk.explorer.selections.select(np.arange(60), {})
    desk.explorer.show_selection()


@pytest.mark.parametrize(
    "act",
    [walk_along(PRINCIPAL), walk_along(BASIS), go_along_component, show_the_selection],
    ids=["principal component", "basis volume", "path along a component", "selection"],
)
def test_any_map_comes_back_as_it_was(
    act: Callable[[Desk], None], open_desk: Desk, run: Path, again: Callable[[Path], Desk]
) -> None:
    consensus = volumes(open_desk)[0]
    act(open_desk)
    shown, _ = volumes(open_desk)
    assert np.abs(shown - consensus).max() > 0.05 * np.abs(consensus).max()
    keep(open_desk, run)
    other = again(run)
    np.testing.assert_allclose(volumes(other)[0], shown, atol=2e-4 * float(shown.max()))
    assert other.model.frame.title == open_desk.model.frame.title
    assert (other.model.point is None) == (open_desk.model.point is None)
    if open_desk.model.point is not None:
        assert other.model.point == pytest.approx(open_desk.model.point, abs=1e-4)
    np.testing.assert_allclose(other.explorer.paths.line(), open_desk.explorer.paths.line(), atol=1e-4)


def test_a_place_belongs_to_its_particles_when_an_epoch_has_come(
    open_desk: Desk, run: Path, again: Callable[[Path], Desk]
) -> None:
    open_desk.explorer.pick(0.9, 0.0)
    keep(open_desk, run)
    anchor = open_desk.model.anchor
    publish_again(run)  # mirrored latents
    other = again(run)
    scene = other.model.scene
    assert scene.epoch > open_desk.model.scene.epoch
    np.testing.assert_array_equal(np.sort(other.model.anchor.indices), np.sort(anchor.indices))
    expected = scene.decoder.volume(anchor.mean(scene.latents))
    np.testing.assert_allclose(volumes(other)[0], expected, atol=1e-5)
    assert other.model.point == pytest.approx(tuple(anchor.mean(scene.projections["pca"].coordinates)))


def test_a_run_without_maps_keeps_its_place(desk: Desk, adopted: Path, again: Callable[[Path], Desk]) -> None:
    def opened(desk: Desk) -> Desk:
        desk.explorer.open(adopted)
        desk.until(lambda: desk.model.scene is not None and desk.model.columns.values)
        return desk

    opened(desk).explorer.pick(0.9, 0.0)
    keep(desk, adopted)
    other = Desk()
    opened(other)
    assert other.model.point == pytest.approx((0.9, 0.0))
    assert other.model.error == ""
    other.explorer.close()


def test_the_session_of_a_run_is_kept_when_another_is_opened(
    open_desk: Desk, run: Path, tmp_path: Path
) -> None:
    import shutil

    second = Path(shutil.copytree(run, tmp_path / "second"))
    open_desk.explorer.set_contour(1.9)
    open_desk.explorer.comparison.choose(BLINK)
    open_desk.explorer.open(second)
    open_desk.until(lambda: open_desk.model.scene and open_desk.model.scene.run.path == second)
    assert (open_desk.model.comparison, second / "session.json") == (ALONE, second / "session.json")
    assert open_desk.model.contour != 1.9
    open_desk.explorer.open(run)
    open_desk.until(lambda: open_desk.model.scene and open_desk.model.scene.run.path == run)
    assert (open_desk.model.contour, open_desk.model.comparison) == (1.9, BLINK)


def test_a_session_is_kept_while_one_works(open_desk: Desk, run: Path) -> None:
    open_desk.explorer.set_contour(1.7)
    end = time.monotonic() + 60
    while not (run / "session.json").is_file():
        assert time.monotonic() < end
        open_desk.explorer.refresh()
        open_desk.until(lambda: not open_desk.explorer.busy)
    assert '"contour":1.7' in (run / "session.json").read_text()
    assert {path.suffix for path in run.iterdir()} <= {".json", ".star", ".csv", ".log", ".safetensors", ""}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read"),
        ("", "cannot be read"),
        ("[1]", "cannot be read"),
        ('{"format": 1}', "cannot be read"),
        ('{"format": 1, "parts": []}', "cannot be read"),
        ('{"format": 1, "parts": {"path": 3}}', "cannot be read"),
        ('{"format": 99, "parts": {}}', "has format 99"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_of_and_stays(
    content: str, words: str, desk: Desk, run: Path
) -> None:
    (run / "session.json").write_text(content)
    desk.explorer.open(run)
    desk.until(lambda: desk.model.frame is not None)
    assert words in desk.model.error
    assert "session.json" in desk.model.error
    assert "\n" not in desk.model.error
    desk.explorer.set_contour(1.7)
    desk.explorer.sessions.keep()
    done: list[None] = []
    desk.explorer._files.submit(lambda: None, done.append)
    desk.until(lambda: done)
    assert (run / "session.json").read_text() == content


JUNK = (None, "nonsense", -5, [1e9], {}, [], float("inf"), True, 10**30, [10**30], [1.0, 2.0])


def fields(state: dict[str, Any], *above: str) -> Iterator[tuple[str, ...]]:
    """Names that lead to each value of a state."""
    for name, value in state.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from fields(value, *above, name)


def changed(state: dict[str, Any], names: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A state with another value in one place."""
    first, *rest = names
    return state | {first: changed(state[first], tuple(rest), value) if rest else value}


@pytest.mark.parametrize("part", ["settings", "selection", "map", "path"])
def test_no_value_keeps_a_run_from_opening(
    part: str, open_desk: Desk, run: Path, again: Callable[[Path], Desk]
) -> None:
    open_desk.explorer.selections.select(np.arange(50), {})
    open_desk.explorer.paths.draw(LINE)
    walk_along(PRINCIPAL)(open_desk)
    open_desk.explorer.set_contour(2.1)
    document = keep(open_desk, run)
    for number, names in enumerate([*fields(document["parts"][part])] * 2):
        broken = changed(document, ("parts", part, *names), JUNK[number % len(JUNK)])
        (run / "session.json").write_text(json.dumps(broken))
        model = again(run).model
        assert model.frame is not None
        assert model.error == "" or "session of this run does not fit" in model.error
        if part != "settings":
            assert model.contour == 2.1  # what can be read counts
        if part != "selection":
            assert len(model.selection.indices) == 50


@pytest.mark.parametrize(
    ("names", "value"),
    [
        (("settings", "smoothing"), 1e30),
        (("map", "subject", "particles"), [10**30]),
        (("map", "subject", "latent"), [0.5]),
        (("map", "subject", "coefficients"), [0.5]),
        (("path", "kind"), "straight"),
        (("path", "ending"), "stop"),
    ],
)
def test_a_value_that_does_not_fit_is_told_of(
    names: tuple[str, ...], value: Any, open_desk: Desk, run: Path, again: Callable[[Path], Desk]
) -> None:
    walk_along(PRINCIPAL)(open_desk)
    document = keep(open_desk, run)
    (run / "session.json").write_text(json.dumps(changed(document, ("parts", *names), value)))
    model = again(run).model
    assert f"does not fit it in its {names[0]}" in model.error
    assert model.frame is not None


@pytest.mark.gui
def test_an_outline_that_cannot_be_drawn_is_told_of(viewer: Any, explore: Any, run: Path, qtbot: Any) -> None:
    model = explore.model
    explore.explorer.selections.select(np.arange(50), {"polygon": 5, "method": "umap"})
    explore.explorer.set_contour(2.1)
    explore.explorer.sessions.keep()
    qtbot.waitUntil(lambda: (run / "session.json").is_file(), timeout=TIMEOUT)
    document = json.loads((run / "session.json").read_text())
    drawn = ("parts", "selection", "provenance", "method")
    (run / "session.json").write_text(json.dumps(changed(document, drawn, "pca")))
    explore.explorer.sessions.open(None)
    explore.open_run(run)
    qtbot.waitUntil(lambda: model.frame is not None and model.contour == 2.1, timeout=TIMEOUT)
    assert "does not fit it in its selection" in model.error
    assert "\n" not in model.error


def test_particles_beyond_the_run_are_refused(
    open_desk: Desk, run: Path, again: Callable[[Path], Desk]
) -> None:
    open_desk.explorer.selections.select(np.arange(50), {})
    document = keep(open_desk, run)
    document["parts"]["selection"]["particles"] = packed(np.array([3, 5000]))
    (run / "session.json").write_text(json.dumps(document))
    model = again(run).model
    assert "names particle 5000" in model.error
    assert model.selection is None


def test_the_session_of_a_read_only_run_is_in_the_state_folder(
    desk: Desk, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: Callable[[Path], Desk]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (run / "session.json").mkdir()  # which nobody can replace by a file, not even the administrator
    desk.explorer.open(run)
    desk.until(lambda: desk.model.frame is not None)
    desk.explorer.set_colouring(VARIABILITY)
    desk.explorer.comparison.choose(OVERLAY)
    desk.explorer.sessions.keep()
    desk.until(lambda: list((tmp_path / "state").rglob("run-*.json")))
    other = again(run)
    assert (other.model.colouring, other.model.comparison) == (VARIABILITY, OVERLAY)
    (run / "session.json").rmdir()
    inside = json.loads(next((tmp_path / "state").rglob("run-*.json")).read_text())
    inside["parts"]["settings"]["contour"] = 1.1
    (run / "session.json").write_text(json.dumps(inside))  # a later one, by somebody who may write there
    later = time.time() + 10
    os.utime(run / "session.json", (later, later))
    assert again(run).model.contour == 1.1


def test_a_run_that_is_opened_twice_at_once_comes_back(open_desk: Desk, run: Path) -> None:
    open_desk.explorer.set_contour(1.9)
    keep(open_desk, run)
    open_desk.explorer.open(run)
    open_desk.explorer.open(run)  # while it is being read
    open_desk.until(lambda: open_desk.model.frame is not None and not open_desk.explorer.busy)
    assert open_desk.model.contour == 1.9


def test_no_session_is_kept_of_a_run_that_is_gone(
    open_desk: Desk, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    keep(open_desk, run)  # after which nothing more is read
    run.rename(tmp_path / "moved")
    open_desk.explorer.set_contour(1.9)
    open_desk.explorer.sessions.keep()
    open_desk.until(lambda: open_desk.model.error)
    assert open_desk.model.error == (
        f"What is on screen is not kept, as {run} is gone: open the run where it is now."
    )
    assert not list((tmp_path / "state").rglob("run-*.json"))  # which the next run of that name would get


@given(st.sets(st.integers(0, 3000)))
def test_packed_particles_come_out_again(particles: set[int]) -> None:
    indices = np.array(sorted(particles), np.int64)
    np.testing.assert_array_equal(unpacked(packed(indices)), indices)


def test_a_large_selection_makes_a_small_file(open_desk: Desk, run: Path) -> None:
    half = np.flatnonzero(np.random.default_rng(0).random(1_000_000) < 0.5)
    assert len(packed(half)) < 200_000
    open_desk.explorer.selections.select(np.arange(240), {})
    keep(open_desk, run)
    assert RunDirectory(run).session_path.stat().st_size < 4000


@pytest.mark.gui
def test_cameras_and_controls_come_back_with_the_run(
    viewer: Any, explore: Any, run: Path, qtbot: Any
) -> None:
    from qtpy.QtWidgets import QDockWidget

    camera = viewer.scene.camera
    camera.angles, camera.zoom, camera.center = (20.0, 30.0, 40.0), 1.25, (150.0, 160.0, 170.0)
    explore.scatter.show_rectangle(-1.5, -1.0, 2.0, 1.0)
    qtbot.waitUntil(lambda: bool(explore.model.columns.values), timeout=TIMEOUT)
    explore.model.colour = "rlnDefocusU"
    colours = explore.scatter._rgba
    explore.explorer.set_renderer(SLICE)
    qtbot.waitUntil(lambda: not explore.explorer.busy, timeout=TIMEOUT)
    dock = explore.parentWidget()
    while not isinstance(dock, QDockWidget):
        dock = dock.parentWidget()
    viewer.window.remove_dock_widget(dock)  # as its cross does
    assert explore.closed
    camera.angles, camera.zoom = (1.0, 2.0, 3.0), 9.0
    viewer.layers.clear()

    other = open_explore(viewer)
    other.open_run(run)
    qtbot.waitUntil(lambda: other.model.frame is not None, timeout=TIMEOUT)
    qtbot.waitUntil(lambda: bool(other.model.columns.values), timeout=TIMEOUT)
    assert camera.angles == pytest.approx((20, 30, 40))
    assert camera.zoom == pytest.approx(1.25)
    assert camera.center == pytest.approx((150, 160, 170))
    assert other.scatter.rectangle == pytest.approx((-1.5, -1.0, 2.0, 1.0))
    assert other.scatter_panel.colour.currentText() == "rlnDefocusU"
    np.testing.assert_array_equal(other.scatter._rgba, colours)
    assert other.map_panel.renderer.currentText() == "Slice"
    other.shut_down()


@pytest.mark.gui
def test_the_grid_of_maps_side_by_side_comes_back_with_its_zoom(
    viewer: Any, explore: Any, run: Path, qtbot: Any
) -> None:
    explore.explorer.comparison.choose(SIDE_BY_SIDE)
    qtbot.waitUntil(lambda: viewer.canvas.grid.enabled, timeout=TIMEOUT)
    zoom = viewer.scene.camera.zoom
    explore.open_run(run)
    qtbot.waitUntil(lambda: explore.model.scene is None, timeout=TIMEOUT)
    qtbot.waitUntil(lambda: explore.model.pinned is not None, timeout=TIMEOUT)
    qtbot.waitUntil(lambda: viewer.canvas.grid.enabled, timeout=TIMEOUT)
    assert viewer.scene.camera.zoom == pytest.approx(zoom)
    explore.explorer.comparison.choose(ALONE)
    assert not viewer.canvas.grid.enabled
    assert viewer.scene.camera.zoom == pytest.approx(2 * zoom)


@pytest.mark.gui
@pytest.mark.slow
def test_the_benchmark_of_clicks_leaves_a_run_as_it_is(open_desk: Desk, run: Path) -> None:
    open_desk.explorer.set_contour(1.9)
    keep(open_desk, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    command = [sys.executable, str(ROOT / "benchmarks" / "explorer.py"), str(run), "--clicks", "3"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT / 1000, check=False)
    assert result.returncode == 0, result.stderr
    assert '"particles": 240' in result.stdout
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
