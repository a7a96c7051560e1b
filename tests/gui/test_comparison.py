"""Comparing maps with a pinned one, and colouring them, without Qt."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Desk

from napari_sbackprop.gui.explorer_model import (
    ALONE,
    CHANGE,
    DIFFERENCE,
    OVERLAY,
    PLAIN,
    SIDE_BY_SIDE,
    VARIABILITY,
    VOLUME,
)


def settle(desk: Desk) -> None:
    desk.until(lambda: not desk.explorer.busy)


def look_at(desk: Desk, x: float) -> None:
    desk.explorer.pick(x, 0.0)
    settle(desk)


def test_a_pinned_map_has_its_own_surface(open_desk: Desk) -> None:
    model, comparison = open_desk.model, open_desk.explorer.comparison
    look_at(open_desk, -1.0)
    alone = model.frame
    comparison.pin()
    assert model.pinned.faces is alone.faces  # the one that is there
    settle(open_desk)
    comparison.choose(DIFFERENCE)
    look_at(open_desk, 1.0)
    comparison.pin()  # while the surface on screen is that of the difference
    comparison.choose(OVERLAY)
    settle(open_desk)
    assert model.pinned.meaning == model.frame.meaning.replace(CHANGE, "")
    np.testing.assert_array_equal(model.pinned.vertices, model.frame.vertices)
    assert len(model.pinned.faces)


def test_the_contour_of_a_volume_is_no_work_while_it_is_dragged(open_desk: Desk) -> None:
    model, explorer = open_desk.model, open_desk.explorer
    explorer.set_renderer(VOLUME)
    frame = model.frame
    explorer.set_contour(model.contour + 0.5, final=False)
    assert not explorer.busy
    explorer.set_contour(model.contour + 0.5)
    settle(open_desk)
    assert model.frame is not frame
    assert model.frame.threshold == pytest.approx(model.contour * model.scene.sigma)


def test_another_run_begins_in_the_middle_of_its_slices(open_desk: Desk, run: Path) -> None:
    open_desk.model.slice_offset = 50.0
    open_desk.explorer.open(run)
    assert open_desk.model.slice_offset == 0.0


def test_a_difference_is_the_map_less_the_pinned_one(open_desk: Desk, tmp_path: Path) -> None:
    from napari_sbackprop.data.mrc import read_volume

    model, explorer = open_desk.model, open_desk.explorer
    look_at(open_desk, -1.0)
    explorer.comparison.pin()
    first = model.frame.volume
    explorer.comparison.choose(DIFFERENCE)
    look_at(open_desk, 1.0)
    frame = model.frame
    np.testing.assert_array_equal(model.pinned.volume, first)
    np.testing.assert_array_equal(frame.difference, frame.smooth - model.pinned.smooth)
    level = frame.difference.max() / 2 / model.scene.sigma
    explorer.set_contour(level)
    settle(open_desk)
    frame, contour = model.frame, model.contour
    assert contour == model.scene.contour
    z, y, x = frame.vertices[frame.values == 1].round().astype(int).T
    assert len(z)
    assert (frame.difference[z, y, x] > 0).mean() > 0.95  # at the nearest voxel: small at a steep edge
    z, y, x = frame.vertices[frame.values == -1].round().astype(int).T
    assert (
        (frame.difference[z, y, x] < 0).mean() > 0.95 if len(z) else frame.difference.min() > -frame.threshold
    )
    explorer.save_map(tmp_path / "difference.mrc")
    open_desk.until(lambda: "Saved" in model.message)
    np.testing.assert_allclose(read_volume(tmp_path / "difference.mrc")[0], frame.volume - first, atol=1e-6)


def test_without_a_pinned_map_the_consensus_is_compared_with(open_desk: Desk) -> None:
    model, explorer = open_desk.model, open_desk.explorer
    look_at(open_desk, 1.0)
    explorer.comparison.choose(SIDE_BY_SIDE)
    open_desk.until(lambda: model.pinned is not None)
    np.testing.assert_array_equal(model.pinned.volume, model.scene.decoder.consensus())
    assert model.frame.difference is None
    assert model.colouring == PLAIN


def test_the_pinned_map_follows_contour_and_smoothing(open_desk: Desk) -> None:
    model, explorer = open_desk.model, open_desk.explorer
    explorer.comparison.pin()
    explorer.set_contour(1.2 * model.contour)
    settle(open_desk)
    assert model.pinned.threshold == model.frame.threshold == pytest.approx(model.contour * model.scene.sigma)
    np.testing.assert_array_equal(model.pinned.vertices, model.frame.vertices)
    explorer.set_smoothing(0.0)
    settle(open_desk)
    assert model.pinned.smooth is model.pinned.volume


def test_pinning_overlays_and_colours_the_change_and_unpinning_ends_it(open_desk: Desk) -> None:
    model, explorer = open_desk.model, open_desk.explorer
    explorer.comparison.pin()
    assert (model.comparison, model.colouring) == (OVERLAY, CHANGE)
    look_at(open_desk, 1.0)
    z, y, x = model.frame.vertices.round().astype(int).T
    change = (model.frame.smooth - model.pinned.smooth)[z, y, x] / model.scene.sigma
    np.testing.assert_allclose(model.frame.values, change, atol=1e-5)
    explorer.pick(-1.0, 0.0)
    explorer.comparison.unpin()  # what is being made beside the pinned map comes too late
    settle(open_desk)
    assert model.pinned is None
    assert model.frame.values is None
    assert (model.comparison, model.colouring) == (ALONE, PLAIN)


def test_variability_is_the_spread_of_the_maps_of_all_particles(open_desk: Desk) -> None:
    model, explorer = open_desk.model, open_desk.explorer
    explorer.set_colouring(VARIABILITY)
    settle(open_desk)
    decoder = model.scene.decoder
    maps = np.stack([decoder.volume(latent) for latent in model.scene.latents])
    expected = maps.std(axis=0, ddof=1) / model.scene.sigma
    np.testing.assert_allclose(model.scene.variability, expected, atol=1e-3 * expected.max())
    z, y, x = model.frame.vertices.round().astype(int).T
    np.testing.assert_array_equal(model.frame.values, model.scene.variability[z, y, x])
    assert expected.max() / 3 < model.frame.limit <= expected.max() * 1.001
