"""Ranking particles by the density in a sphere: the controller without Qt, then the tool under real events."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TIMEOUT, Desk, Mouse, publish_again

from napari_sbackprop.gui.explorer_model import REGION_DENSITY
from napari_sbackprop.gui.region_view import REGION_LAYER

CENTRE = (160.0, 150.0, 170.0)  # Å, of a box of 320 Å


def test_particles_are_ranked_by_the_density_of_their_maps(open_desk: Desk) -> None:
    regions, model = open_desk.explorer.regions, open_desk.model
    regions.resize(30.0)
    regions.place(CENTRE)
    open_desk.until(lambda: model.region_density is not None)
    z, y, x = np.mgrid[:32, :32, :32] * 10.0
    inside = np.linalg.norm(np.stack([x, y, z], -1) - CENTRE, axis=-1) <= 30.0
    maps = (model.scene.decoder.volume(latent) for latent in model.scene.latents)
    expected = np.array([volume[inside].mean() for volume in maps]) / model.scene.sigma
    np.testing.assert_allclose(model.region_density, expected, atol=1e-4)
    assert model.colour == REGION_DENSITY
    assert model.colour_values is model.region_density
    least = float(np.median(expected))
    regions.select(least)
    np.testing.assert_array_equal(model.selection.indices, np.flatnonzero(model.region_density >= least))
    made = model.selection.provenance
    assert made["region"] == [*CENTRE, 30.0]
    assert made["min_density"] == pytest.approx(least * model.scene.sigma)


def test_the_sphere_stays_with_the_next_epoch(open_desk: Desk, run: Path) -> None:
    regions, model = open_desk.explorer.regions, open_desk.model
    regions.place(CENTRE)
    open_desk.until(lambda: model.region_density is not None)
    before = model.region_density
    epoch = publish_again(run)  # mirrored
    open_desk.explorer.refresh()
    open_desk.until(lambda: model.scene.epoch == epoch and model.region_density is not before)
    assert np.corrcoef(before, model.region_density)[0, 1] < 0


def test_a_sphere_outside_complains(open_desk: Desk) -> None:
    regions, model = open_desk.explorer.regions, open_desk.model
    regions.resize(10.0)
    regions.place((0.0, 0.0, 0.0))
    open_desk.until(lambda: model.error)
    assert "outside the mask" in model.error
    assert model.region_density is None


@pytest.mark.gui
def test_a_click_on_the_map_places_the_sphere_and_the_slider_selects(
    viewer: Any, explore: Any, qtbot: Any
) -> None:
    from qtpy.QtCore import Qt

    model, regions = explore.model, explore.explorer.regions
    explore.window().activateWindow()
    explore.scatter.native.setFocus()
    qtbot.waitUntil(explore.scatter.native.hasFocus, timeout=TIMEOUT)
    qtbot.keyClick(explore.scatter.native, Qt.Key.Key_S)
    options = explore.scatter_panel.options.region
    assert explore.scatter_panel.options.currentWidget() is options
    (canvas,) = explore.window().centralWidget().findChildren(type(explore.scatter.native))
    hand, middle = Mouse(canvas), (canvas.width() / 2, canvas.height() / 2)
    angles = viewer.scene.camera.angles
    hand.drag([middle, (middle[0] + 30, middle[1]), (middle[0] + 60, middle[1] + 9)])  # turns the view
    qtbot.waitUntil(lambda: viewer.scene.camera.angles != angles, timeout=TIMEOUT)
    assert regions.model.sphere is None
    hand.click(*middle)
    qtbot.waitUntil(lambda: model.region_density is not None, timeout=TIMEOUT)
    z, y, x = (round(value / 10) for value in regions.model.sphere.centre[::-1])
    around = model.frame.smooth[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2]
    assert around.min() < model.frame.threshold < around.max()  # on the surface
    layer = viewer.layers[REGION_LAYER]
    radius = np.linalg.norm(np.asarray(layer.data[0]) - regions.model.sphere.centre[::-1], axis=1)
    np.testing.assert_allclose(radius, regions.model.radius, rtol=1e-4)
    options.radius.setValue(40)
    assert regions.model.sphere.radius == 40
    options.place[2].setValue(200)
    assert regions.model.sphere.centre[2] == 200
    qtbot.waitUntil(lambda: not regions._worker.busy, timeout=TIMEOUT)
    options.least.setValue(100)
    least = (model.region_density.min() + model.region_density.max()) / 2
    np.testing.assert_array_equal(model.selection.indices, np.flatnonzero(model.region_density >= least))
    assert f"{len(model.selection.indices):,} particles" in options.found.text()
    assert explore.scatter_panel.colour.currentText() == REGION_DENSITY
    explore.scatter_panel.tools.buttons["explore"].click()
    assert REGION_LAYER not in viewer.layers
    hand.click(middle[0] + 5, middle[1])
    assert regions.model.sphere.centre[2] == 200


@pytest.mark.gui
def test_particles_can_be_coloured_by_what_the_epoch_says(explore: Any, run: Path, qtbot: Any) -> None:
    model, colour = explore.model, explore.scatter_panel.colour
    epoch = publish_again(run)  # mirrored, which is no movement
    qtbot.waitUntil(lambda: model.scene.epoch == epoch, timeout=TIMEOUT)
    qtbot.waitUntil(lambda: model.qualities["movement"].max() < 1e-4, timeout=TIMEOUT)
    for name in ("latent_sigma", "evidence", "movement"):
        colour.setCurrentIndex(colour.findData(name))
        assert model.colour == name
        assert len(model.colour_values) == 240
    assert "evidence" in explore.explorer.queries.names


@pytest.mark.gui
def test_the_crosshair_stays_at_its_place_when_options_take_room(explore: Any, qtbot: Any) -> None:
    explore.explorer.pick(0.5, 0.2)
    qtbot.waitUntil(lambda: not explore.explorer.busy, timeout=TIMEOUT)
    height = explore.scatter.native.height()
    explore.scatter_panel.tools.buttons["region"].click()
    qtbot.waitUntil(lambda: explore.scatter.native.height() != height, timeout=TIMEOUT)
    qtbot.wait(50)
    middle = explore.scatter._crosshair.geometry().center()
    np.testing.assert_allclose((middle.x(), middle.y()), explore.scatter.pixel((0.5, 0.2)), atol=1.5)


@pytest.mark.gui
def test_a_small_screen_holds_the_options_of_every_tool(explore: Any) -> None:
    for _ in range(3):
        explore.explorer.selections.select(np.arange(5), {})
        explore.explorer.selections.keep()
    for button in explore.scatter_panel.tools.buttons.values():
        button.click()
        assert explore.minimumSizeHint().height() < 700  # pixels: 768 less what napari needs
