"""Comparisons, slices and directions in the window, under real mouse and key events."""

from typing import Any

import numpy as np
import pytest
from conftest import TIMEOUT, Mouse
from napari._qt.layer_controls.qt_layer_controls_container import QtLayerControlsContainer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_sbackprop.gui.explorer_model import SURFACE, VOLUME
from napari_sbackprop.gui.map_view import BLINK_MILLISECONDS, MAP_LAYER, PINNED_LAYER
from napari_sbackprop.gui.region_view import REGION_LAYER

pytestmark = pytest.mark.gui


def settle(explore: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not explore.explorer.busy, timeout=TIMEOUT)
    qtbot.wait(20)


def choose(box: Any, text: str, qtbot: Any) -> None:
    """Type the first word of an entry, as people with a keyboard do."""
    qtbot.wait(QApplication.keyboardInputInterval() + 50)  # what was typed before counts no longer
    qtbot.keyClicks(box, text.split()[0])  # a space would open the list
    assert box.currentText() == text


@pytest.fixture
def compared(viewer: Any, explore: Any, mouse: Mouse, qtbot: Any) -> Any:
    """The dock with a map pinned and another one on screen."""
    mouse.click(*explore.scatter.pixel((-1.0, 0.0)))
    settle(explore, qtbot)
    qtbot.mouseClick(
        explore.map_panel.pin, Qt.MouseButton.LeftButton, pos=explore.map_panel.pin.rect().center()
    )
    assert explore.map_panel.pin.isChecked()
    mouse.click(*explore.scatter.pixel((1.0, 0.0)))
    settle(explore, qtbot)
    return explore


def test_two_maps_are_overlaid_and_lie_side_by_side(viewer: Any, compared: Any, qtbot: Any) -> None:
    panel = compared.map_panel
    assert panel.comparison.currentText() == "Overlay"
    assert viewer.layers[PINNED_LAYER].opacity < 1
    assert [layer.name for layer in viewer.layers] == [
        MAP_LAYER,
        PINNED_LAYER,
    ]  # what shines through comes last
    zoom, angles = viewer.scene.camera.zoom, viewer.scene.camera.angles
    choose(panel.comparison, "Side by side", qtbot)
    settle(compared, qtbot)
    assert viewer.canvas.grid.enabled
    assert viewer.canvas.grid.actual_shape(viewer.layers) == (1, 2)
    assert viewer.layers[PINNED_LAYER].opacity == 1
    np.testing.assert_allclose(viewer.scene.camera.angles, angles)
    choose(panel.comparison, "Map alone", qtbot)
    settle(compared, qtbot)
    assert not viewer.canvas.grid.enabled
    assert PINNED_LAYER not in viewer.layers
    assert viewer.scene.camera.zoom == pytest.approx(zoom)


def test_the_difference_has_two_colours_and_a_contour_of_its_own(
    viewer: Any, compared: Any, mouse: Mouse, qtbot: Any
) -> None:
    panel, model = compared.map_panel, compared.model
    contour = model.contour
    choose(panel.comparison, "Difference", qtbot)
    panel.contour.setFocus()
    qtbot.keyClick(panel.contour, Qt.Key.Key_Home)
    settle(compared, qtbot)
    assert panel.contour_label.text().startswith("±0.10 σ")
    assert model.contour == contour
    layer = viewer.layers[MAP_LAYER]
    assert set(np.unique(layer.data[2])) == {-1, 1}
    more, less = layer.colormap.map(np.array([1.0, 0.0]))[:, :3]
    assert more.argmax() == 2
    assert less.argmax() == 0  # blue and orange
    before = len(layer.data[0])
    mouse.drag(np.linspace(compared.scatter.pixel((1.0, 0.0)), compared.scatter.pixel((-0.9, 0.0)), 6))
    settle(compared, qtbot)
    assert len(viewer.layers[MAP_LAYER].data[0]) < before  # nearer to the pinned map, less differs
    assert "A: Map at the cursor · B: Map at the cursor" in compared.status.text()


def test_blinking_shows_one_map_at_a_time(viewer: Any, compared: Any, qtbot: Any) -> None:
    choose(compared.map_panel.comparison, "Blink", qtbot)
    settle(compared, qtbot)
    ours, pinned = viewer.layers[MAP_LAYER], viewer.layers[PINNED_LAYER]
    seen = set()
    for _ in range(2):
        before = ours.visible
        qtbot.waitUntil(lambda before=before: ours.visible != before, timeout=20 * BLINK_MILLISECONDS)
        assert ours.visible != pinned.visible
        seen.add(ours.visible)
    assert seen == {True, False}
    choose(compared.map_panel.comparison, "Overlay", qtbot)
    settle(compared, qtbot)
    assert viewer.layers[MAP_LAYER].visible


def test_nothing_moves_in_a_dock_that_nobody_sees(viewer: Any, compared: Any, qtbot: Any) -> None:
    choose(compared.map_panel.comparison, "Blink", qtbot)
    settle(compared, qtbot)
    compared.explorer.paths.along_component(0)
    compared.explorer.paths.play(True)
    dock = compared.parentWidget()
    dock.hide()
    ours, seen = viewer.layers[MAP_LAYER], []
    ours.events.visible.connect(lambda: seen.append(ours.visible))
    qtbot.wait(2 * BLINK_MILLISECONDS)
    assert not seen
    assert not compared.explorer.paths.model.playing
    dock.show()
    qtbot.waitUntil(lambda: bool(seen), timeout=TIMEOUT)


def test_docks_leave_the_map_its_room(viewer: Any, explore: Any, qtbot: Any) -> None:
    window, dock = explore.window(), explore.parentWidget()
    window.resizeDocks([dock], [5000], Qt.Orientation.Horizontal)
    qtbot.wait(100)
    assert window.centralWidget().width() >= 200


@pytest.mark.parametrize("comparison", ["Side by side", "Blink"])
def test_a_closed_dock_leaves_the_map_alone_and_to_be_seen(
    viewer: Any, compared: Any, qtbot: Any, comparison: str
) -> None:
    zoom = viewer.scene.camera.zoom
    compared.scatter_panel.tools.buttons["region"].click()
    compared.explorer.regions.place((150.0, 150.0, 150.0))
    choose(compared.map_panel.comparison, comparison, qtbot)
    settle(compared, qtbot)
    region = set() if comparison == "Side by side" else {REGION_LAYER}  # it would get a view of its own
    assert {layer.name for layer in viewer.layers} == {MAP_LAYER, PINNED_LAYER} | region
    layer = viewer.layers[MAP_LAYER]
    qtbot.waitUntil(lambda: viewer.canvas.grid.enabled or not layer.visible, timeout=TIMEOUT)
    compared.shut_down()
    assert not viewer.canvas.grid.enabled
    assert viewer.scene.camera.zoom == pytest.approx(zoom)
    assert [layer.name for layer in viewer.layers] == [MAP_LAYER]
    assert layer.visible


def test_a_slice_moves_through_map_and_difference(viewer: Any, compared: Any, qtbot: Any) -> None:
    panel, model = compared.map_panel, compared.model
    camera = (viewer.scene.camera.zoom, viewer.scene.camera.angles)
    choose(panel.renderer, "Slice", qtbot)
    layer = viewer.layers[MAP_LAYER]
    assert layer.depiction == "plane"
    np.testing.assert_allclose(layer.plane.position, [16, 15.5, 15.5])
    np.testing.assert_allclose(layer.data, model.frame.smooth / model.scene.sigma)
    assert viewer.layers[PINNED_LAYER].depiction == "plane"
    panel.slice.place.setFocus()
    qtbot.keyClick(panel.slice.place, Qt.Key.Key_Right)
    assert panel.slice.label.text() == "z = 10 Å"
    choose(panel.slice.axis, "x", qtbot)
    for name in (MAP_LAYER, PINNED_LAYER):
        np.testing.assert_allclose(viewer.layers[name].plane.position, [15.5, 15.5, 17])
        np.testing.assert_allclose(viewer.layers[name].plane.normal, [0, 0, 1])
    choose(panel.comparison, "Difference", qtbot)
    settle(compared, qtbot)
    assert [layer.name for layer in viewer.layers] == [MAP_LAYER]
    expected = (model.frame.smooth - model.pinned.smooth) / model.scene.sigma
    np.testing.assert_allclose(viewer.layers[MAP_LAYER].data, expected, atol=1e-5)
    choose(panel.renderer, "Surface", qtbot)
    assert (viewer.scene.camera.zoom, viewer.scene.camera.angles) == camera


def test_states_differ_where_the_surface_is_bright(viewer: Any, explore: Any, qtbot: Any) -> None:
    choose(explore.map_panel.colouring, "Variability", qtbot)
    settle(explore, qtbot)
    layer, scene = viewer.layers[MAP_LAYER], explore.model.scene
    assert layer.colormap.name == "viridis"
    assert layer.colorbar.visible
    z, y, x = np.asarray(layer.data[0]).round().astype(int).T
    np.testing.assert_array_equal(layer.data[2], scene.variability[z, y, x])
    choose(explore.map_panel.colouring, "One colour", qtbot)
    settle(explore, qtbot)
    assert not layer.colorbar.visible


def test_a_slider_moves_map_and_crosshair_while_it_is_dragged(viewer: Any, explore: Any, qtbot: Any) -> None:
    panel, model = explore.directions_panel, explore.model
    explore.tabs.setCurrentWidget(panel)
    qtbot.waitUntil(lambda: len(panel.rows) == 2, timeout=TIMEOUT)
    settle(explore, qtbot)
    slider, frames = panel.rows[0].slider, []
    model.events.frame.connect(frames.append)
    handle = slider.width() * (0 - slider.minimum()) / (slider.maximum() - slider.minimum())
    mouse, middle = Mouse(slider), slider.height() / 2
    mouse.press(handle, middle)
    for x in np.linspace(handle, 0.9 * slider.width(), 5):
        mouse.move(x, middle)
        qtbot.wait(30)
    assert frames
    mouse.release(0.9 * slider.width(), middle)
    settle(explore, qtbot)
    place = slider.value() / 50
    assert place > 0.8
    assert panel.rows[0].value.text() == f"{place:+.2f} σ"
    deviation = explore.explorer.walk.model.directions.axes.deviation[0]
    assert model.point[0] == pytest.approx(place * deviation, abs=1e-3)
    assert "<b>PC 1</b>" in panel.text.text()
    choose(panel.kind, "Basis volumes", qtbot)
    settle(explore, qtbot)
    qtbot.mouseClick(panel.rows[1].show, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: explore.map_panel.comparison.currentText() == "Difference", timeout=TIMEOUT)
    settle(explore, qtbot)
    assert "<b>V 2</b>" in panel.text.text()
    assert panel.rows[1].value.text() == "+1.00 σ"
    assert len(viewer.layers[MAP_LAYER].data[0]) > 3  # its contour lets something be seen


def test_a_crosshair_far_from_particles_says_so(explore: Any, mouse: Mouse, qtbot: Any) -> None:
    mouse.click(*explore.scatter.pixel((0.0, 0.0)))
    settle(explore, qtbot)
    assert "outside" not in explore.status.text()
    mouse.click(5, 5)
    settle(explore, qtbot)
    assert "outside the particles" in explore.status.text()


def test_other_layers_have_no_cell_of_their_own_beside_two_maps(
    viewer: Any, compared: Any, qtbot: Any
) -> None:
    centre = np.full((1, 3), 160.0)
    viewer.add_points(centre, name="before")
    panel, grid, layers = compared.map_panel, viewer.canvas.grid, viewer.layers
    choose(panel.comparison, "Side by side", qtbot)
    settle(compared, qtbot)

    def cell(name: str) -> tuple[int, int]:
        return grid.position([layer.name for layer in layers].index(name), layers)

    def check(*others: str) -> None:
        assert grid.actual_shape(layers) == (1, 2)
        assert [cell(PINNED_LAYER), cell(MAP_LAYER)] == [(0, 0), (0, 1)]
        assert {cell(name) for name in others} == {(0, 0)}

    check("before")
    viewer.add_points(centre, name="later")
    check("before", "later")
    choose(panel.renderer, "Slice", qtbot)  # which makes both layers anew
    settle(compared, qtbot)
    check("before", "later")
    compared.explorer.set_renderer(VOLUME)
    settle(compared, qtbot)
    check("before", "later")
    compared.explorer.set_smoothing(2.5)  # whose map fills more of the box, which makes its layer anew
    settle(compared, qtbot)
    check("before", "later")
    compared.explorer.set_renderer(SURFACE)
    settle(compared, qtbot)
    layers.remove(MAP_LAYER)  # by hand
    compared.explorer.pick(0.0, 0.0)
    settle(compared, qtbot)
    check("before", "later")
    layers.remove("before")
    check("later")
    stride = grid.stride
    choose(panel.comparison, "Map alone", qtbot)
    settle(compared, qtbot)
    assert not grid.enabled
    viewer.add_points(centre, name="last")
    assert grid.stride == 1 != stride  # napari's own again


def test_the_layer_that_somebody_works_with_stays_so(viewer: Any, compared: Any, qtbot: Any) -> None:
    own = viewer.add_points(np.full((1, 3), 160.0), name="own")
    for renderer in (VOLUME, SURFACE):
        compared.explorer.set_renderer(renderer)
        settle(compared, qtbot)
        assert [layer.name for layer in viewer.layers.selection] == [own.name]
    choose(compared.map_panel.comparison, "Side by side", qtbot)
    settle(compared, qtbot)
    assert [layer.name for layer in viewer.layers.selection] == [own.name]


def test_a_map_that_somebody_works_with_may_become_another_kind_of_layer(
    viewer: Any, explore: Any, qtbot: Any
) -> None:
    (controls,) = explore.window().findChildren(QtLayerControlsContainer)
    viewer.layers.selection.active = viewer.layers[MAP_LAYER]
    assert controls.currentWidget() is controls.widgets[viewer.layers[MAP_LAYER]]
    for renderer in ("Slice", "Surface"):
        choose(explore.map_panel.renderer, renderer, qtbot)
        settle(explore, qtbot)
        assert [layer.name for layer in viewer.layers] == [MAP_LAYER]
        assert not viewer.layers.selection
        assert controls.currentWidget() is controls.empty_widget


def test_another_kind_of_layer_takes_the_place_of_the_map(viewer: Any, explore: Any, qtbot: Any) -> None:
    own = viewer.add_points(np.full((1, 3), 160.0), name="own")
    viewer.layers[MAP_LAYER].name = "mine"
    viewer.layers["mine"].visible = False
    for renderer in ("Slice", "Surface"):
        choose(explore.map_panel.renderer, renderer, qtbot)
        settle(explore, qtbot)
        assert [layer.name for layer in viewer.layers] == ["mine", own.name]
        assert not viewer.layers["mine"].visible


def test_a_grid_that_was_closed_by_hand_stays_closed(viewer: Any, compared: Any, qtbot: Any) -> None:
    choose(compared.map_panel.comparison, "Side by side", qtbot)
    settle(compared, qtbot)
    viewer.canvas.grid.enabled = False
    viewer.add_points(np.full((1, 3), 160.0))
    assert not viewer.canvas.grid.enabled
