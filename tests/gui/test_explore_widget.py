"""The Explore dock in a viewer, on a run that the training made, under real mouse events."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TIMEOUT, Mouse, publish_again

from napari_sbackprop.analysis.clustering import Clustering
from napari_sbackprop.gui import map_view
from napari_sbackprop.gui.docks import open_explore
from napari_sbackprop.gui.explorer_model import SURFACE, VOLUME, Columns
from napari_sbackprop.gui.map_view import MAP_LAYER, PINNED_LAYER
from napari_sbackprop.gui.set_table import COLOUR, COUNT, NAME, SHARE

pytestmark = pytest.mark.gui


def settle(explore: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not explore.explorer.busy, timeout=TIMEOUT)
    qtbot.wait(20)


def vertices(viewer: Any) -> np.ndarray:
    return np.array(viewer.layers[MAP_LAYER].data[0])


def test_an_open_run_shows_particles_and_a_map_in_angstrom(viewer: Any, explore: Any) -> None:
    layer = viewer.layers[MAP_LAYER]
    assert viewer.dims.ndisplay == 3
    np.testing.assert_allclose(layer.scale, 10.0)
    assert {str(unit) for unit in layer.units} == {"angstrom"}
    assert "240 particles" in explore.header.text()
    assert explore.model.renderer == SURFACE
    assert explore.width() >= 500


def test_a_click_shows_the_map_under_it(viewer: Any, explore: Any, mouse: Mouse, qtbot: Any) -> None:
    maps = []
    for x in (-1.0, 1.0):
        mouse.click(*explore.scatter.pixel((x, 0.0)))
        settle(explore, qtbot)
        maps.append(vertices(viewer))
        np.testing.assert_allclose(explore.model.point, (x, 0.0), atol=0.05)
    assert maps[0].shape != maps[1].shape or np.abs(maps[0] - maps[1]).max() > 0


def test_a_drag_morphs_the_map_on_the_way(viewer: Any, explore: Any, mouse: Mouse, qtbot: Any) -> None:
    frames = []
    explore.model.events.frame.connect(frames.append)
    path = np.linspace(explore.scatter.pixel((-1.0, 0.0)), explore.scatter.pixel((1.0, 0.0)), 12)
    mouse.press(*path[0])
    for x, y in path[1:]:
        mouse.move(x, y)
        qtbot.wait(30)
    on_the_way = len(frames)
    mouse.release(*path[-1])
    settle(explore, qtbot)
    assert on_the_way >= 2
    assert not frames[-1].coarse


def test_shift_drag_selects_and_counts(
    viewer: Any, explore: Any, mouse: Mouse, qtbot: Any, tmp_path: Path
) -> None:
    corners = [(0.0, -9.0), (9.0, -9.0), (9.0, 9.0), (0.0, 9.0)]
    mouse.drag([explore.scatter.pixel(corner) for corner in corners], modifier="ShiftModifier")
    inside = int((explore.model.projection.coordinates[:, 0] > 0).sum())
    assert abs(len(explore.model.selection.indices) - inside) <= 2  # points on the line
    assert f"<b>{len(explore.model.selection.indices)}</b> of 240" in explore.selection_panel.count.text()
    assert explore.model.frame.title == "Consensus of all particles"  # a lasso is no click
    explore.explorer.selections.export(tmp_path / "closed.star")
    qtbot.waitUntil(lambda: "Wrote" in explore.status.text(), timeout=TIMEOUT)
    assert (tmp_path / "closed.star").is_file()


def test_buttons_of_the_selection_work(
    viewer: Any, explore: Any, qtbot: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QFileDialog

    panel, left = explore.selection_panel, Qt.MouseButton.LeftButton
    assert not panel.export.isEnabled()
    explore.explorer.selections.select_polygon(np.array([[-9, -9], [9, -9], [9, 9], [-9, 9.0]]))
    qtbot.mouseClick(panel.show_map, left)
    settle(explore, qtbot)
    assert explore.model.frame.title == "Map of selection"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args, **options: (str(tmp_path / "all"), ""))
    qtbot.mouseClick(panel.export, left)
    qtbot.waitUntil(lambda: "Wrote 240 particles" in explore.status.text(), timeout=TIMEOUT)
    assert (tmp_path / "all.star").is_file()
    assert not panel.remove.isVisible()
    qtbot.mouseClick(panel.keep, left)
    panel.table.item(0, NAME).setText("every one")
    assert [kept.name for kept in explore.model.sets] == ["every_one"]
    qtbot.mouseClick(panel.clear, left)
    assert explore.model.selection is None
    qtbot.mouseClick(panel.remove, left)
    assert not explore.model.sets
    for _ in range(3):
        qtbot.mouseClick(panel.undo, left)
    assert [kept.name for kept in explore.model.sets] == ["set_1"]
    qtbot.mouseClick(panel.redo, left)
    assert panel.table.item(0, NAME).text() == "every_one"


def test_file_names_keep_their_dots_and_only_confirmed_files_are_replaced(
    viewer: Any, explore: Any, qtbot: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    from qtpy.QtWidgets import QFileDialog

    options: list[Any] = []

    def choose(name: str) -> None:
        def answer(*args: Any, **given: Any) -> tuple[str, str]:
            options.append(given.get("options"))
            return str(tmp_path / name), ""

        monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)

    target = tmp_path / "map_8.5A.mrc"
    target.write_text("precious")
    choose("map_8.5A")  # the dialog asked about another name
    explore.map_panel.save.click()
    qtbot.waitUntil(lambda: "exists already" in explore.model.error, timeout=TIMEOUT)
    assert target.read_text() == "precious"
    choose("map_8.5A.mrc")
    explore.map_panel.save.click()
    qtbot.waitUntil(lambda: "Saved" in explore.model.message, timeout=TIMEOUT)
    assert target.stat().st_size > 1024
    explore.explorer.selections.select_polygon(np.array([[-9, -9], [9, -9], [9, 9], [-9, 9.0]]))
    choose("part_1.2")
    explore.selection_panel.export.click()
    qtbot.waitUntil(lambda: "Wrote 240 particles" in explore.model.message, timeout=TIMEOUT)
    assert (tmp_path / "part_1.2.star").is_file()
    assert options[-1] == QFileDialog.Option.DontConfirmOverwrite


def test_particles_can_be_coloured_by_a_column(explore: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: explore.scatter_panel.colour.findData("rlnDefocusU") > 0, timeout=TIMEOUT)
    before = explore.scatter._rgba
    explore.scatter_panel.colour.setCurrentIndex(explore.scatter_panel.colour.findData("rlnDefocusU"))
    assert not np.allclose(explore.scatter._rgba, before)
    low = explore.model.columns.values["rlnDefocusU"].min()
    assert f"{low:,.2g}"[0] in explore.scatter_panel.legend.text()
    explore.scatter_panel.colour.setCurrentIndex(explore.scatter_panel.colour.findData("rlnRandomSubset"))
    assert "&nbsp;1" in explore.scatter_panel.legend.text()


def test_the_contour_slider_is_in_sigma_and_stays(
    viewer: Any, explore: Any, mouse: Mouse, qtbot: Any
) -> None:
    panel = explore.map_panel
    panel.contour.setValue(60)
    settle(explore, qtbot)
    assert explore.model.contour == pytest.approx(3.0)
    assert panel.contour_label.text().startswith("3.00 σ")
    high = len(vertices(viewer))
    panel.contour.setValue(30)
    settle(explore, qtbot)
    assert len(vertices(viewer)) > high
    mouse.click(*explore.scatter.pixel((0.5, 0.0)))
    settle(explore, qtbot)
    assert explore.model.contour == pytest.approx(1.5)
    panel.contour.setValue(panel.contour.maximum())
    panel.contour.setMaximum(10_000)
    panel.contour.setValue(10_000)  # above the map: nothing to see, nothing breaks
    settle(explore, qtbot)
    assert len(vertices(viewer)) == 3


def test_particles_can_be_coloured_by_their_contrast(explore: Any) -> None:
    explore.scatter_panel.colour.setCurrentIndex(explore.scatter_panel.colour.findData("contrast"))
    contrast = explore.model.scene.contrast
    assert np.isfinite(contrast).all()
    np.testing.assert_array_equal(explore.model.colour_values, contrast)
    assert explore.model.colour == "contrast"


def test_a_pinned_map_stays_and_colours_the_difference(
    viewer: Any, explore: Any, mouse: Mouse, qtbot: Any
) -> None:
    explore.map_panel.pin.setChecked(True)
    pinned = np.array(viewer.layers[PINNED_LAYER].data[0])
    mouse.click(*explore.scatter.pixel((1.2, 0.0)))
    settle(explore, qtbot)
    np.testing.assert_array_equal(viewer.layers[PINNED_LAYER].data[0], pinned)
    assert np.ptp(viewer.layers[MAP_LAYER].data[2]) > 0
    explore.map_panel.pin.setChecked(False)
    settle(explore, qtbot)
    assert PINNED_LAYER not in viewer.layers
    assert np.ptp(viewer.layers[MAP_LAYER].data[2]) == 0


def test_the_volume_renderer_shows_sigma_units(viewer: Any, explore: Any, qtbot: Any) -> None:
    explore.map_panel.renderer.setCurrentIndex(explore.map_panel.renderer.findData(VOLUME))
    layer = viewer.layers[MAP_LAYER]
    assert layer.iso_threshold == pytest.approx(explore.model.contour)
    assert layer.data.max() == pytest.approx(explore.model.scene.contour_limit, rel=1e-4)
    explore.map_panel.contour.setValue(40)
    settle(explore, qtbot)
    assert layer.iso_threshold == pytest.approx(2.0)


def test_a_coarse_volume_lies_where_the_map_is(
    viewer: Any, explore: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_view, "COARSE_ABOVE", 16)
    explore.map_view.volume_step = 2
    explore.map_panel.renderer.setCurrentIndex(explore.map_panel.renderer.findData(VOLUME))
    layer, frame, scene = viewer.layers[MAP_LAYER], explore.model.frame, explore.model.scene
    assert layer.data.size < frame.smooth.size / 8
    peak = np.unravel_index(layer.data.argmax(), layer.data.shape)
    voxel = tuple(np.divide(layer.data_to_world(peak), scene.decoder.pixel_size).round().astype(int))
    assert layer.data[peak] == pytest.approx(frame.smooth[voxel] / scene.sigma, rel=1e-5)
    solid = (frame.smooth >= scene.contour * scene.sigma).sum()
    assert 8 * (layer.data >= scene.contour).sum() == pytest.approx(solid, rel=0.25)


def test_what_the_libraries_hold_is_no_garbage_while_the_dock_is_on_screen(explore: Any) -> None:
    assert gc.get_freeze_count() > 100_000
    explore.hide()
    assert gc.get_freeze_count() == 0


def test_a_new_epoch_updates_particles_and_map(viewer: Any, explore: Any, run: Path, qtbot: Any) -> None:
    frame, points = explore.model.frame, explore.scatter._coordinates
    epoch = publish_again(run)
    qtbot.waitUntil(lambda: explore.model.scene.epoch == epoch, timeout=TIMEOUT)  # its own timer looks
    settle(explore, qtbot)
    assert f"epoch {epoch}" in explore.header.text()
    assert explore.model.frame is not frame
    assert explore.scatter._coordinates is not points


def test_deleting_the_layer_does_no_harm(viewer: Any, explore: Any, mouse: Mouse, qtbot: Any) -> None:
    viewer.layers.clear()
    mouse.click(*explore.scatter.pixel((0.3, 0.0)))
    settle(explore, qtbot)
    assert MAP_LAYER in viewer.layers


def test_other_exports_are_offered_where_they_can_be_written(
    explore: Any, particles: Path, qtbot: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    from qtpy.QtWidgets import QFileDialog

    from napari_sbackprop.data.star import read_columns

    model, menu = explore.model, explore.selection_panel.menu
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(particles), ""))

    def choose(name: str) -> None:
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **options: (str(tmp_path / name), ""))

    def offered() -> list[bool]:
        menu.aboutToShow.emit()
        return [action.isEnabled() for action in menu.actions()]

    qtbot.waitUntil(lambda: bool(model.columns.values), timeout=TIMEOUT)
    assert explore.selection_panel.more.menu() is menu
    assert offered() == [False, False, False, True]  # a layer is also made of all particles
    explore.explorer.selections.select(np.arange(5, 9), {})
    assert offered() == [True, False, False, True]
    choose("other")
    menu.other.trigger()
    qtbot.waitUntil(lambda: "Wrote 4 particles" in model.message, timeout=TIMEOUT)
    names = read_columns(particles)["rlnImageName"]
    assert read_columns(tmp_path / "other.star")["rlnImageName"].tolist() == names[5:9].tolist()
    model.clustering = Clustering("kmeans", 2, np.arange(240) % 2, model.scene.epoch)
    assert offered() == [True, False, True, True]
    choose("classes.star")
    menu.classes.trigger()
    qtbot.waitUntil(lambda: "Wrote 240 particles in 2 classes" in model.message, timeout=TIMEOUT)
    assert read_columns(tmp_path / "classes.star")["rlnClassNumber"].tolist() == [1, 2] * 120
    model.columns = Columns({**model.columns.values, "rlnImageOriginalName": names})
    assert offered() == [True, True, True, True]
    choose("before.star")
    menu.reverted.trigger()  # its file has no such column
    qtbot.waitUntil(lambda: "has no rlnImageOriginalName" in model.error, timeout=TIMEOUT)


def test_a_run_without_a_decoder_says_so_in_place_of_the_map(
    viewer: Any, adopted: Path, run: Path, qtbot: Any
) -> None:
    from napari_sbackprop.gui.readers import get_run_reader

    get_run_reader(str(adopted))(str(adopted))  # as dropped on napari
    widget = open_explore(viewer)
    model, panel = widget.model, widget.map_panel
    qtbot.waitUntil(lambda: model.scene is not None and model.clustering is not None, timeout=TIMEOUT)
    assert viewer.canvas.overlays.text.visible
    assert "this run holds latents alone" in viewer.canvas.overlays.text.text.replace("\n", " ")
    assert panel.isVisible()
    assert not panel.isEnabled()
    assert widget.scatter_panel.colour.findData("cluster") > 0
    sphere, directions = widget.scatter_panel.tools.buttons["region"], widget.directions_panel
    saving = {action.text(): action for action in widget.scatter_panel.options.path.save.menu().actions()}
    assert not sphere.isEnabled()
    assert not directions.isEnabled()
    for reason in (sphere.toolTip(), directions.text.text(), saving["Maps…"].toolTip()):
        assert "this run holds latents alone" in reason
    assert [action.isEnabled() for action in saving.values()] == [False, False, True]
    Mouse(widget.scatter.native).click(*widget.scatter.pixel((0.5, 0.0)))
    np.testing.assert_allclose(widget.scatter._crosshair_at, (0.5, 0.0), atol=0.05)
    widget.explorer.selections.invert()
    assert not widget.selection_panel.show_map.isEnabled()
    assert widget.images_panel.fsc.lines() is None
    widget.selection_panel.reconstruct.click()
    qtbot.waitUntil(lambda: model.frame is not None, timeout=TIMEOUT)
    assert not viewer.canvas.overlays.text.visible
    assert [layer.name for layer in viewer.layers] == [MAP_LAYER]
    assert {*widget.images_panel.fsc.lines().named} == {"corrected", "masked", "unmasked", "0.143"}
    assert panel.contour.isEnabled()
    assert panel.save.isEnabled()
    assert not panel.consensus.isEnabled()
    panel.pin.click()
    assert (model.pinned is not None, model.colouring) == (True, "one colour")
    widget.open_run(run)
    qtbot.waitUntil(lambda: model.frame is not None and model.scene.has_decoder, timeout=TIMEOUT)
    assert widget.images_panel.fsc.lines() is None  # of the other run
    assert panel.consensus.isEnabled()
    assert sphere.isEnabled()
    assert "latents alone" not in sphere.toolTip()
    assert saving["Movie…"].isEnabled()
    sphere.click()
    explorer = widget.explorer
    explorer.walk.follow()
    qtbot.waitUntil(lambda: explorer.walk.model.position is not None, timeout=TIMEOUT)
    assert explorer.regions.model.side > 0
    widget.open_run(adopted)
    assert explorer.walk.model.directions is explorer.walk.model.position is None
    assert explorer.regions.model.side == 0
    qtbot.waitUntil(lambda: viewer.canvas.overlays.text.visible, timeout=TIMEOUT)
    assert widget.scatter.mode == "explore"
    widget.shut_down()
    assert not viewer.canvas.overlays.text.visible


def test_an_empty_dock_says_what_to_do(viewer: Any, tmp_path: Path) -> None:
    widget = open_explore(viewer)
    assert "No run is open" in widget._pages.currentWidget().findChildren(type(widget.header))[0].text()
    assert not widget.map_panel.isVisible()
    widget.open_run(tmp_path)
    assert "is not a run directory" in widget.status.text()
    widget.model.busy = "Writing maps: 10 %"
    assert widget.status.text().endswith(" · Writing maps: 10 %")
    assert open_explore(viewer) is widget


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_sentences_can_be_read_in_every_theme(explore: Any, monkeypatch: Any, theme: str) -> None:
    from napari.settings import get_settings

    explore.status.complain("An error.")
    monkeypatch.setattr(get_settings().appearance, "theme", theme)
    for show in (explore.status.complain, explore.status.say):
        show("A sentence.")
        palette = explore.status.palette()
        text, ground = (
            _luminance(palette.color(role))
            for role in (palette.ColorRole.WindowText, palette.ColorRole.Window)
        )
        assert (ground > 0.5) == (theme == "light")
        assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) >= 4.5  # WCAG 2.1, 1.4.3


def _luminance(colour: Any) -> float:
    """Relative luminance as WCAG 2.1 defines it."""
    channels = np.array(colour.getRgbF()[:3])
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_closing_the_dock_ends_its_work(viewer: Any, explore: Any, qtbot: Any) -> None:
    dock = explore.parentWidget()
    while type(dock).__name__ != "QtViewerDockWidget":
        dock = dock.parentWidget()
    dock.destroyOnClose()
    assert explore.closed
    assert not explore._timer.isActive()
    explore.explorer.pick(0.0, 0.0)
    assert open_explore(viewer) is not explore


def test_the_table_of_sets_selects_shows_and_changes(explore: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    selections, table = explore.explorer.selections, explore.selection_panel.table
    x = explore.model.projection.coordinates[:, 0]
    for corners in ([(-99, -99), (0, -99), (0, 99), (-99, 99)], [(0.5, -99), (99, -99), (99, 99), (0.5, 99)]):
        selections.select_polygon(np.array(corners, dtype=float))
        selections.keep()
    left = int((x < 0).sum())
    assert table.item(0, COUNT).text() == f"{left:,}"
    assert table.item(0, SHARE).text() == f"{100 * left / 240:.1f} %"

    def click(row: int, modifier: str) -> None:
        place = table.visualItemRect(table.item(row, COUNT)).center()
        keys = getattr(Qt.KeyboardModifier, modifier)
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, keys, place)

    click(0, "NoModifier")
    assert set(explore.model.selection.indices) == set(np.flatnonzero(x < 0))
    click(1, "ControlModifier")
    assert set(explore.model.selection.indices) == set(np.flatnonzero((x < 0) | (x > 0.5)))
    click(0, "AltModifier")
    assert set(explore.model.selection.indices) == set(np.flatnonzero(x > 0.5))
    first = int(np.flatnonzero(x < 0)[0])
    coloured = explore.scatter._rgba[first].copy()
    table.item(0, COLOUR).setCheckState(Qt.CheckState.Unchecked)
    assert not np.allclose(explore.scatter._rgba[first], coloured)
    table.item(0, NAME).setText("set_2")  # is taken
    assert table.item(0, NAME).text() == "set_1"
    assert "no other set has" in explore.model.error
    menu = table.menu(0)
    names = [action.text() for action in menu.actions() if action.text()]
    assert names[-3:] == ["Rename", "Colour", "Remove"]
    menu.actions()[-1].trigger()
    assert [kept.name for kept in explore.model.sets] == ["set_2"]


def test_tools_of_the_strip_select(explore: Any, mouse: Mouse, qtbot: Any) -> None:
    panel, plane = explore.scatter_panel, explore.model.projection.coordinates
    panel.tools.buttons["rectangle"].click()
    mouse.drag([explore.scatter.pixel(place) for place in [(0.0, -2.5), (0.5, 0.5), (2.0, 2.5)]])
    inside = ((plane > [0, -2.5]) & (plane < [2, 2.5])).all(axis=1)
    assert abs(len(explore.model.selection.indices) - inside.sum()) <= 2
    panel.tools.buttons["subtract"].click()
    panel.tools.buttons["brush"].click()
    panel.options.brush.setValue(30)
    assert explore.scatter.brush_radius == 30
    before = set(explore.model.selection.indices)
    stroke = [explore.scatter.pixel(place) for place in [(0.0, 0.0), (0.5, 0.0), (1.0, 0.0)]]
    mouse.drag(stroke)
    left = before - set(explore.model.selection.indices)
    assert left
    pixels = np.array([explore.scatter.pixel(tuple(plane[index])) for index in left])
    assert np.abs(pixels[:, 1] - stroke[0][1]).max() <= 31
    panel.tools.buttons["replace"].click()
    panel.tools.buttons["explore"].click()
    mouse.click(*explore.scatter.pixel((1.0, 0.0)))
    panel.options.nearest.setValue(25)
    panel.options.select_nearest.click()
    assert len(explore.model.selection.indices) == 25


def test_the_cluster_tool_clusters_counts_and_selects(explore: Any, mouse: Mouse, qtbot: Any) -> None:
    panel, model = explore.scatter_panel, explore.model
    panel.tools.buttons["clusters"].click()
    assert panel.options.clusters.found.text() == "Clustering …"
    qtbot.waitUntil(lambda: model.clustering is not None, timeout=TIMEOUT)
    assert panel.options.clusters.found.text().startswith("<b>6</b> clusters of ")
    assert panel.colour.currentText() == "cluster"
    panel.options.clusters.number.setValue(3)
    qtbot.waitUntil(lambda: len(model.clustering.sizes) == 3, timeout=TIMEOUT)
    labels, plane = model.clustering.labels, model.projection.coordinates
    first, last = plane[:, 0].argmin(), plane[:, 0].argmax()
    mouse.click(*explore.scatter.pixel(tuple(plane[first])))
    assert set(model.selection.indices) == set(np.flatnonzero(labels == labels[first]))
    mouse.click(*explore.scatter.pixel(tuple(plane[last])), modifier="ControlModifier")
    assert set(model.selection.indices) == set(np.flatnonzero(np.isin(labels, labels[[first, last]])))
    assert f"0:&nbsp;{model.clustering.sizes[0]}" in panel.legend.text()
    panel.options.clusters.method.setCurrentText("HDBSCAN")
    qtbot.waitUntil(lambda: model.clustering.method == "hdbscan", timeout=TIMEOUT)
    panel.colour.setCurrentText("density")
    assert model.colour == "density"


def test_the_query_line_counts_completes_and_selects(explore: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    line, model = explore.selection_panel.query, explore.model
    qtbot.waitUntil(lambda: bool(model.columns.values), timeout=TIMEOUT)
    explore.window().activateWindow()
    line.text.setFocus()
    qtbot.waitUntil(line.text.hasFocus, timeout=TIMEOUT)
    qtbot.keyClicks(line.text, "z1 < 0 & usV")
    popup = line.text.completer().popup()
    assert popup.isVisible()
    qtbot.keyClick(popup, Qt.Key.Key_Down)
    qtbot.keyClick(popup, Qt.Key.Key_Return)
    assert line.text.text() == "z1 < 0 & rlnDefocusV"
    qtbot.waitUntil(lambda: "says nothing about rlnDefocusV" in explore.status.text(), timeout=TIMEOUT)
    assert not line.select.isEnabled()
    qtbot.keyClicks(line.text, " > 0")
    expected = int((model.scene.latents[:, 0] < 0).sum())
    qtbot.waitUntil(lambda: line.count.text() == f"{expected} particles", timeout=TIMEOUT)
    assert not model.error
    qtbot.keyClick(line.text, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: model.selection is not None, timeout=TIMEOUT)
    assert len(model.selection.indices) == expected


def test_keys_choose_tools_and_change_the_selection(explore: Any, mouse: Mouse, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    canvas, model, modifier = explore.scatter.native, explore.model, Qt.KeyboardModifier
    explore.window().activateWindow()
    mouse.click(*explore.scatter.pixel((0.5, 0.0)))
    canvas.setFocus()
    qtbot.waitUntil(canvas.hasFocus, timeout=TIMEOUT)

    def press(key: str, held: Any = modifier.NoModifier) -> None:
        qtbot.keyClick(canvas, getattr(Qt.Key, f"Key_{key}"), held)

    for key, tool in [("L", "lasso"), ("R", "rectangle"), ("B", "brush"), ("M", "pan"), ("E", "explore")]:
        press(key)
        assert explore.scatter.mode == tool
        assert explore.scatter_panel.tools.buttons[tool].isChecked()
    press("N")
    assert len(model.selection.indices) == 100
    press("K")
    assert len(model.sets) == 1
    press("I")
    assert len(model.selection.indices) == 140
    press("Z", modifier.ControlModifier)
    assert len(model.selection.indices) == 100
    press("Z", modifier.ControlModifier | modifier.ShiftModifier)
    assert len(model.selection.indices) == 140
    press("3")
    assert model.combining == "subtract"
    press("1")
    press("Escape")
    assert model.selection is None
    press("Slash")
    qtbot.waitUntil(explore.selection_panel.query.text.hasFocus, timeout=TIMEOUT)
    qtbot.keyClicks(explore.selection_panel.query.text, "ib")  # letters are letters there
    assert explore.selection_panel.query.text.text() == "ib"
    assert explore.scatter.mode == "explore"
    explore.selection_panel.table.setFocus()
    qtbot.keyClick(explore.selection_panel.table, Qt.Key.Key_Delete)
    assert not model.sets


def test_every_control_has_a_name_and_an_explanation(explore: Any, qtbot: Any) -> None:
    from qtpy.QtWidgets import (
        QAbstractButton,
        QAbstractSlider,
        QAbstractSpinBox,
        QComboBox,
        QLineEdit,
        QScrollBar,
        QTabBar,
    )

    explore.tabs.setCurrentWidget(explore.directions_panel)
    qtbot.waitUntil(lambda: bool(explore.directions_panel.rows), timeout=TIMEOUT)
    controls = [
        control
        for kind in (QAbstractButton, QComboBox, QAbstractSpinBox, QAbstractSlider, QLineEdit)
        for control in explore.findChildren(kind)
        if not isinstance(control, QScrollBar)
        and not isinstance(
            control.parent(),
            (QAbstractSpinBox, QComboBox, QLineEdit, QTabBar, type(explore.selection_panel.table)),
        )
    ]
    assert len(controls) > 30
    for control in controls:
        name = control.accessibleName() or getattr(control, "text", str)()
        assert name, f"{control} has no name for a screen reader"
        assert control.toolTip(), f"{name} explains nothing"


def test_the_dock_leaves_room_for_the_canvas(viewer: Any, explore: Any, qtbot: Any) -> None:
    for _ in range(6):
        explore.explorer.selections.invert()
        explore.explorer.selections.keep()
    assert explore.minimumSizeHint().width() <= 560
    assert explore.minimumSizeHint().height() <= 700


def test_a_small_screen_holds_the_dock(explore: Any) -> None:
    for _ in range(6):
        explore.explorer.selections.select(np.arange(5), {})
        explore.explorer.selections.keep()
    assert len(explore.model.sets) == 6
    assert explore.minimumSizeHint().height() < 720  # pixels: 800 less what napari needs
