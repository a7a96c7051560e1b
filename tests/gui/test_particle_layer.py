"""The selection as a Points layer of napari."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import starfile
from conftest import TIMEOUT, Desk
from sklearn.decomposition import PCA

from napari_sbackprop.analysis.selection import ParticleSelection
from napari_sbackprop.gui.map_layer import LOADING
from napari_sbackprop.gui.map_view import MAP_LAYER
from napari_sbackprop.gui.particle_layer import COMPONENTS, EVERY_PARTICLE, NOT_KEPT, PARTICLE, points_layer
from napari_sbackprop.run_directory import RunDirectory

pytestmark = pytest.mark.gui
CHOSEN = np.arange(3, 240, 5)


def add_layer(viewer: Any, explore: Any, qtbot: Any) -> Any:
    """What the menu's entry adds."""
    qtbot.waitUntil(lambda: bool(explore.model.columns.values and explore.model.qualities), timeout=TIMEOUT)
    count = len(viewer.layers)
    explore.selection_panel.menu.layer.trigger()
    qtbot.waitUntil(lambda: len(viewer.layers) > count, timeout=TIMEOUT)
    return viewer.layers[-1]


def test_a_layer_has_the_columns_of_its_particles_and_the_colour_of_its_set(
    viewer: Any, explore: Any, run: Path, qtbot: Any
) -> None:
    explore.explorer.selections.select(CHOSEN, {"nearest": 48})
    explore.explorer.selections.keep()
    explore.explorer.selections.rename(0, "open")
    explore.explorer.selections.use(0, "replace")
    layer = add_layer(viewer, explore, qtbot)
    assert layer.name == "open"
    np.testing.assert_array_equal(layer.features["particle"], CHOSEN)
    star = starfile.read(run / "particles.star")["particles"].iloc[CHOSEN]
    np.testing.assert_allclose(layer.features["rlnDefocusU"], star["rlnDefocusU"])
    assert list(layer.features["rlnImageName"]) == list(star["rlnImageName"])
    latents = RunDirectory(run).read_latents(explore.model.scene.epoch)
    np.testing.assert_array_equal(layer.features["z2"], latents.mean[CHOSEN, 1])
    assert {"contrast", "evidence", "latent_sigma"} <= set(layer.features)
    rgb = np.round(255 * np.unique(layer.face_color, axis=0)[:, :3]).astype(int)
    assert ["#" + "".join(f"{part:02x}" for part in colour) for colour in rgb] == [
        explore.model.sets[0].colour
    ]
    assert layer.metadata["napari_sbackprop"]["selection"]["nearest"] == 48
    assert "The layer open has 48 particles" in explore.status.text()


def test_layers_share_the_space_of_the_principal_components(
    viewer: Any, explore: Any, run: Path, qtbot: Any
) -> None:
    every = add_layer(viewer, explore, qtbot)
    assert every.name == EVERY_PARTICLE
    assert len(every.data) == 240
    latents = RunDirectory(run).read_latents(explore.model.scene.epoch).mean
    scores = PCA(2).fit_transform(latents)  # the run has two latents
    found = every.features[["pc1", "pc2", "pc3"]].to_numpy()
    np.testing.assert_allclose(np.abs(found[:, :2]), np.abs(scores), atol=1e-4)
    np.testing.assert_array_equal(found[:, 2], 0)
    place = every.data[:, ::-1] - every.data[:, ::-1].mean(0)
    np.testing.assert_allclose(place / place.std(), found / found.std(), atol=1e-3)
    explore.explorer.selections.select(CHOSEN, {})
    chosen = add_layer(viewer, explore, qtbot)
    np.testing.assert_array_equal(chosen.data, every.data[CHOSEN])
    np.testing.assert_allclose(chosen.face_color[:, :3], 1.0)
    assert NOT_KEPT == "#ffffff"


def test_a_layer_leaves_the_map_as_it_is(viewer: Any, explore: Any, qtbot: Any) -> None:
    camera, world = viewer.scene.camera, np.array(viewer.layers[MAP_LAYER].extent.world)
    before = (camera.angles, camera.zoom, camera.center)
    layer = add_layer(viewer, explore, qtbot)
    assert (camera.angles, camera.zoom, camera.center) == before
    assert viewer.dims.ndisplay == 3
    assert not layer.visible
    side = explore.model.scene.decoder.box * explore.model.scene.decoder.pixel_size
    low, high = layer.extent.world
    assert (low > -0.02 * side).all()  # in the box of the map, whose points are a little wide
    assert (high < 1.02 * side).all()
    assert world.max() <= side
    frame = explore.model.frame
    explore.explorer.pick(0.0, 0.0)
    qtbot.waitUntil(lambda: explore.model.frame is not frame, timeout=TIMEOUT)
    assert layer in viewer.layers


def test_rows_and_components_are_ours_whatever_columns_are_called(open_desk: Desk) -> None:
    scene, selection = open_desk.model.scene, ParticleSelection("some", CHOSEN, {})
    features = points_layer(scene, selection, {}, NOT_KEPT).features
    columns = {name: np.full(240, "text") for name in (PARTICLE, *COMPONENTS, "wiener")}
    found = points_layer(scene, selection, columns, NOT_KEPT).features
    assert list(found) == [*features, "wiener"]
    np.testing.assert_array_equal(found[list(features)], features)


def test_the_map_waits_for_no_layer_of_particles(open_desk: Desk) -> None:
    free = []

    class Column(np.ndarray):
        """Asked for its rows while the layer is made, which takes seconds for a million."""

        def __getitem__(self, rows: Any) -> Any:
            free.append(LOADING.acquire(blocking=False))
            if free[-1]:
                LOADING.release()
            return np.asarray(self)[rows]

    selection = ParticleSelection("some", CHOSEN, {})
    points_layer(open_desk.model.scene, selection, {"slow": np.zeros(240).view(Column)}, NOT_KEPT)
    assert free
    assert all(free)
