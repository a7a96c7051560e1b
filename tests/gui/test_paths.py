"""Paths through the latent space: the controller without Qt, then the tool under real events."""

import subprocess
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from conftest import TIMEOUT, Desk, Mouse, publish_again

from napari_sbackprop.analysis.trajectories import path_through
from napari_sbackprop.gui.paths import BACK_AND_FORTH, DENSE, LOOP

LINE = np.stack([np.linspace(-1, 1, 30), np.sin(np.linspace(0, 3, 30))], axis=1)


@pytest.fixture
def drawn(open_desk: Desk) -> Desk:
    """The explorer with a path of ten frames."""
    open_desk.explorer.paths.set_frames(10)
    open_desk.explorer.paths.draw(LINE)
    open_desk.until(lambda: open_desk.model.frame.title == "Frame 1 of 10")
    return open_desk


def test_the_map_of_a_frame_is_that_of_its_latent(drawn: Desk) -> None:
    paths, model = drawn.explorer.paths, drawn.model
    latents = paths.latents()
    assert latents.shape == (10, 2)
    steps = np.linalg.norm(np.diff(latents, axis=0), axis=1)
    assert steps.max() < 1.3 * steps.min()  # straight between its vertices, not between the frames
    for frame in (0, 4, 9):
        paths.show(frame)
        drawn.until(lambda frame=frame: model.frame.title == f"Frame {frame + 1} of 10")
        np.testing.assert_allclose(model.frame.volume, model.scene.decoder.volume(latents[frame]), atol=1e-4)
    np.testing.assert_allclose(paths.line()[[0, -1]], LINE[[0, -1]], atol=0.6)
    np.testing.assert_allclose(model.point, paths.line()[-1], atol=1e-4)


def test_points_are_joined_one_after_another(open_desk: Desk) -> None:
    paths, projection = open_desk.explorer.paths, open_desk.model.projection
    for x, y in [(-1.0, 0.0), (0.0, 0.5), (1.0, 0.0)]:
        paths.extend(x, y)
    places = [projection.anchor(point) for point in [(-1.0, 0.0), (0.0, 0.5), (1.0, 0.0)]]
    latents = np.stack([place.mean(open_desk.model.scene.latents) for place in places])
    np.testing.assert_allclose(paths.latents(), path_through(latents, 40), atol=1e-5)
    assert paths.model.frame == 39
    paths.clear()
    assert not paths.model.ready
    assert len(paths.line()) == 0


def test_a_dense_path_keeps_to_particles(open_desk: Desk) -> None:
    paths, model = open_desk.explorer.paths, open_desk.model
    paths.model.kind = DENSE
    paths.draw(LINE)
    open_desk.until(lambda: paths.model.ready)
    assert model.busy == ""
    joined = paths.model.weights.shape[0]
    distance, _ = model.projection.tree.query(paths.line())
    assert distance.max() < 0.5
    paths.extend(0.0, 0.0)
    open_desk.until(lambda: paths.model.weights.shape[0] > joined)
    assert paths.model.frame == 39


def test_places_clicked_while_a_dense_path_is_sought_are_joined_as_well(open_desk: Desk) -> None:
    paths, projection = open_desk.explorer.paths, open_desk.model.projection
    paths.model.kind = DENSE
    places = [(-1.0, 0.0), (1.0, 0.0), (0.0, 0.5), (-1.0, 0.3)]
    for place in places:  # faster than any path is found
        paths.extend(*place)
    open_desk.until(lambda: paths.model.ready and not open_desk.model.busy)
    wanted = [projection.anchor(place).mean(projection.coordinates) for place in places]
    nearest = [int(np.linalg.norm(paths.line() - place, axis=1).argmin()) for place in wanted]
    np.testing.assert_allclose(paths.line()[nearest], wanted, atol=1e-4)
    assert nearest == sorted(nearest)
    assert nearest[-1] == len(paths.line()) - 1
    paths.extend(0.0, 0.0)
    paths.draw(LINE[[0, -1]])  # another path, in the place of the one that is sought
    open_desk.until(lambda: not open_desk.model.busy)
    ends = [projection.anchor(point).mean(projection.coordinates) for point in LINE[[0, -1]]]
    np.testing.assert_allclose(paths.line()[[0, -1]], ends, atol=1e-4)


def test_a_path_tells_the_component_that_it_goes_along(open_desk: Desk) -> None:
    paths = open_desk.explorer.paths
    paths.along_component(1)
    assert paths.model.component == 1
    paths.draw(LINE)
    assert paths.model.component is None


def test_a_component_belongs_to_the_selection(open_desk: Desk) -> None:
    paths, model = open_desk.explorer.paths, open_desk.model
    paths.along_component(0)
    everything = paths.latents()
    open_desk.explorer.selections.select(np.arange(60), {})
    paths.along_component(0)
    ends = paths.latents()[[0, -1]]
    centred = model.scene.latents[:60] - model.scene.latents[:60].mean(0)
    axis = np.linalg.svd(centred)[2][0]
    direction = np.diff(ends, axis=0)[0]
    assert abs(direction @ axis) == pytest.approx(np.linalg.norm(direction), rel=1e-4)
    assert np.abs(everything[[0, -1]] - ends).max() > 0.01
    open_desk.explorer.selections.select(np.array([3]), {})
    paths.along_component(0)
    assert "at least two particles" in model.error


def test_playing_goes_back_and_forth_or_round(drawn: Desk) -> None:
    paths = drawn.explorer.paths
    paths.set_frames(3)
    paths.show(0)
    for ending, expected in [(BACK_AND_FORTH, [1, 2, 1, 0, 1, 2]), (LOOP, [0, 1, 2, 0, 1, 2])]:
        paths.model.ending = ending
        seen = []
        for _ in range(6):
            paths.step()
            seen.append(paths.model.frame)
        assert seen == expected


def test_a_path_stops_for_another_map(drawn: Desk) -> None:
    explorer, model, paths = drawn.explorer, drawn.model, drawn.explorer.paths
    explorer.selections.select_nearest(30)
    explorer.walk.follow()
    drawn.until(lambda: explorer.walk.model.directions is not None)
    for title, ask in [
        ("Map at the cursor", lambda: explorer.pick(0.5, 0.0)),
        ("Consensus of all particles", explorer.show_consensus),
        ("Map of selection", explorer.show_selection),
        ("Back-projection of selection", explorer.reconstruct_selection),
        ("Mean of the particles", explorer.walk.reset),
        ("PC 2 at", lambda: explorer.walk.show(1)),
    ]:
        paths.play(True)
        paths.step()
        assert paths.model.playing
        ask()
        drawn.until(lambda title=title: model.frame.title.startswith(title))
        assert not paths.model.playing


def test_a_path_lives_on_in_the_next_epoch(drawn: Desk, run: Path) -> None:
    before = drawn.explorer.paths.latents()
    epoch = publish_again(run)  # mirrored
    drawn.explorer.refresh()
    drawn.until(lambda: drawn.model.scene.epoch == epoch)
    np.testing.assert_allclose(drawn.explorer.paths.latents(), -before, atol=1e-5)


def test_maps_and_latents_are_written_and_nothing_is_replaced(drawn: Desk, tmp_path: Path) -> None:
    explorer, model = drawn.explorer, drawn.model
    explorer.path_writer.save_maps(tmp_path / "new" / "maps")
    drawn.until(lambda: "Saved 10 maps" in model.message)
    files = sorted((tmp_path / "new" / "maps").iterdir())
    assert [file.name for file in files[:2]] == ["latents.npy", "volume_000.mrc"]
    assert len(files) == 12
    assert "vseries" in (tmp_path / "new" / "maps" / "volumes.cxc").read_text()
    latents = np.load(files[0])
    np.testing.assert_allclose(mrcfile.read(files[4]), model.scene.decoder.volume(latents[3]), atol=1e-6)
    explorer.path_writer.save_maps(tmp_path / "new" / "maps")
    drawn.until(lambda: "not empty" in model.error)
    explorer.path_writer.save_latents(tmp_path / "path.npy")
    drawn.until(lambda: "path.npy" in model.message)
    np.testing.assert_array_equal(np.load(tmp_path / "path.npy"), latents)
    explorer.path_writer.save_latents(tmp_path / "path.npy")
    drawn.until(lambda: "exists already" in model.error)


def test_writing_can_be_stopped_and_leaves_nothing(drawn: Desk, tmp_path: Path) -> None:
    paths = drawn.explorer.paths
    paths.model.frames = 400
    drawn.explorer.path_writer.save_maps(tmp_path / "maps")
    drawn.until(lambda: "Writing maps" in drawn.model.busy)
    before = paths.model.weights
    paths.draw(LINE[::-1])
    paths.extend(0.0, 0.0)
    paths.along_component(0)
    paths.set_frames(3)
    paths.play(True)
    assert (paths.model.weights, paths.model.frames, paths.model.playing) == (before, 400, False)
    paths.model.saving = ""
    drawn.until(lambda: "Stopped" in drawn.model.message)
    assert not [file for file in tmp_path.iterdir() if "maps" in file.name]


@pytest.mark.gui
def test_the_path_tool_draws_scrubs_and_plays(explore: Any, mouse: Mouse, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    panel, paths, model = explore.scatter_panel, explore.explorer.paths, explore.model
    explore.window().activateWindow()
    explore.scatter.native.setFocus()
    qtbot.waitUntil(explore.scatter.native.hasFocus, timeout=TIMEOUT)
    qtbot.keyClick(explore.scatter.native, Qt.Key.Key_P)
    assert panel.options.currentWidget() is panel.options.path
    options = panel.options.path
    assert not options.play.isEnabled()
    mouse.drag([explore.scatter.pixel(point) for point in LINE[::3]])
    assert paths.model.ready
    np.testing.assert_allclose(paths.line()[[0, -1]], LINE[[0, -3]], atol=0.6)
    assert all(line.visible for line in explore.scatter._path)
    options.slider.setValue(30)
    qtbot.waitUntil(lambda: model.frame.title == "Frame 31 of 40", timeout=TIMEOUT)
    options.frames.setValue(5)
    assert options.slider.maximum() == 4
    assert paths.model.frame == 3
    titles = []
    model.events.frame.connect(lambda frame: titles.append(frame.title))
    qtbot.mouseClick(options.play, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(set(titles)) == 5, timeout=TIMEOUT)
    panel.tools.buttons["explore"].click()
    assert not paths.model.playing
    panel.tools.buttons["path"].click()
    qtbot.mouseClick(options.clear, Qt.MouseButton.LeftButton)
    for x in (-0.5, 0.0, 0.5):
        mouse.click(*explore.scatter.pixel((x, 0.0)))
    assert paths.model.weights.shape[0] == 3
    options.way.setCurrentIndex(3)
    options.way.activated.emit(3)
    assert paths.model.weights.shape[0] == 2  # component 2


@pytest.mark.gui
@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_a_movie_of_the_path_is_recorded(
    explore: Any, qtbot: Any, tmp_path: Path, monkeypatch: Any, ending: str
) -> None:
    from qtpy.QtWidgets import QFileDialog

    imageio = pytest.importorskip("imageio.v2")
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    explorer, model = explore.explorer, explore.model
    movie = tmp_path / f"morph.{ending}"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args, **options: (str(movie), ""))
    explorer.paths.set_frames(4)
    explorer.paths.draw(LINE)
    options = explore.scatter_panel.options.path
    options.actions_by_name["Movie…"][1]()
    assert options.stop.isVisibleTo(options)
    controls = (options.play, options.slider, options.way, options.frames, options.clear)
    assert not any(control.isEnabled() for control in controls)
    said: list[str] = []
    model.events.busy.connect(said.append)
    qtbot.waitUntil(lambda: f"Saved {movie}" in model.message, timeout=TIMEOUT)
    assert f"Recording {movie.name}: 4 of 4" in said
    assert all(control.isEnabled() for control in controls)
    pictures = [
        ffmpeg.get_ffmpeg_exe(),
        "-i",
        str(movie),
        "-fps_mode",
        "passthrough",
        str(tmp_path / "frame_%d.png"),
    ]
    subprocess.run(pictures, check=True, capture_output=True)
    images = [imageio.imread(file)[..., :3] for file in sorted(tmp_path.glob("frame_*.png"))]
    assert len(images) == 4
    assert images[0].std() > 5  # something is to be seen
    assert np.abs(images[0].astype(float) - images[3]).max() > 20
    assert not options.stop.isVisibleTo(options)
    size = movie.stat().st_size
    options.actions_by_name["Movie…"][1]()
    qtbot.waitUntil(lambda: "exists already" in model.error, timeout=TIMEOUT)
    assert movie.stat().st_size == size
    movie.unlink()
    options.actions_by_name["Movie…"][1]()
    options.stop.click()
    qtbot.waitUntil(lambda: model.message == "No movie was kept.", timeout=TIMEOUT)
    assert not list(tmp_path.glob("*morph*"))
