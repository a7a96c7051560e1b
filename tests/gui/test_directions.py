"""Moving along directions, without Qt."""

import numpy as np
import pytest
from conftest import Desk, publish_again

from napari_sbackprop.gui.directions import BASIS, PRINCIPAL
from napari_sbackprop.gui.explorer_model import DIFFERENCE, UMAP
from napari_sbackprop.gui.projection import Projection


def settle(desk: Desk) -> None:
    desk.until(lambda: not desk.explorer.busy)


@pytest.fixture
def walking(open_desk: Desk) -> Desk:
    """The explorer with principal components found."""
    open_desk.explorer.walk.follow()
    settle(open_desk)
    return open_desk


def test_a_principal_component_moves_map_and_crosshair(walking: Desk) -> None:
    model, walk = walking.model, walking.explorer.walk
    latents = model.scene.latents.astype(float)
    walk.move(0, 1.5)
    settle(walking)
    values, vectors = np.linalg.eigh(np.cov(latents.T, ddof=0))
    widest = vectors[:, -1] * np.sign(vectors[np.abs(vectors[:, -1]).argmax(), -1])
    expected = latents.mean(0) + 1.5 * np.sqrt(values[-1]) * widest
    decoded = model.scene.decoder.volume(expected.astype(np.float32))
    np.testing.assert_allclose(model.frame.volume, decoded, atol=1e-3 * decoded.max())
    np.testing.assert_allclose(model.point, [1.5 * np.sqrt(values[-1]), 0], atol=1e-3)
    assert model.frame.title == "PC 1 at +1.5 standard deviations"
    share = walk.model.directions.share
    np.testing.assert_allclose(share, np.sort(values)[::-1] / values.sum(), rtol=1e-3)
    walk.move(1, -1.0)
    np.testing.assert_allclose(walk.model.position, [1.5, -1.0])
    walk.reset()
    settle(walking)
    np.testing.assert_allclose(model.point, 0, atol=1e-3)


def test_far_along_a_direction_is_outside_the_particles(walking: Desk) -> None:
    walking.explorer.walk.move(0, 0.5)
    assert not walking.model.anchor.outside
    walking.explorer.walk.move(0, 9.0)
    assert walking.model.anchor.outside


def test_a_basis_volume_moves_by_its_coefficient_alone(walking: Desk) -> None:
    model, walk = walking.model, walking.explorer.walk
    walk.choose(BASIS)
    settle(walking)
    walk.move(1, 2.0)
    settle(walking)
    decoder = model.scene.decoder
    coefficients = decoder.coefficients(model.scene.latents)
    weights = coefficients.mean(0)
    weights[2] += 2 * coefficients[:, 2].std()
    expected = sum(weight * decoder.basis_volume(k) for k, weight in enumerate(weights) if k)
    np.testing.assert_allclose(model.frame.volume, decoder.consensus() + expected, atol=1e-4)


def test_a_basis_volume_is_shown_as_a_difference_of_one_standard_deviation(walking: Desk) -> None:
    model, walk = walking.model, walking.explorer.walk
    walk.choose(BASIS)
    settle(walking)
    walk.show(0)
    walking.until(lambda: model.comparison == DIFFERENCE)
    settle(walking)
    decoder = model.scene.decoder
    deviation = decoder.coefficients(model.scene.latents)[:, 1].std()
    expected = deviation * decoder.basis_volume(1)
    np.testing.assert_allclose(model.frame.volume - model.pinned.volume, expected, atol=1e-4)
    change = walk.model.change
    assert change.strength == pytest.approx(np.abs(expected).max() / model.scene.sigma, rel=1e-2)
    assert model.difference_contour < change.strength
    weight = expected.astype(float) ** 2
    z, y, x = np.meshgrid(*[(np.arange(decoder.box) - decoder.box // 2) * 10.0] * 3, indexing="ij")
    centre = [(weight * axis).sum() / weight.sum() for axis in (x, y, z)]
    np.testing.assert_allclose(change.centre, centre, atol=0.1)
    assert 0 < change.part <= 1


@pytest.mark.parametrize("kind", [PRINCIPAL, BASIS])
def test_positions_follow_the_crosshair(walking: Desk, kind: str) -> None:
    model, walk = walking.model, walking.explorer.walk
    walk.choose(kind)
    walking.explorer.pick(1.0, 0.2)
    settle(walking)
    picked = model.frame.volume
    walk.follow()
    settle(walking)
    np.testing.assert_allclose(walk.model.directions.decode(walk.model.position), picked, atol=1e-4)


def test_in_another_plane_the_crosshair_goes_to_the_nearest_particles(walking: Desk) -> None:
    from dataclasses import replace

    model, walk = walking.model, walking.explorer.walk
    plane = np.random.default_rng(0).normal(size=(model.scene.count, 2)).astype(np.float32)
    umap = Projection.build(UMAP, plane)
    model.scene = replace(model.scene, projections={**model.scene.projections, UMAP: umap})
    model.method = UMAP
    walk.move(0, 1.0)
    np.testing.assert_allclose(model.point, model.anchor.mean(plane), atol=1e-6)


def test_a_new_epoch_shows_the_particles_that_were_near(walking: Desk, run: object) -> None:
    model, walk = walking.model, walking.explorer.walk
    walk.move(0, 1.0)
    settle(walking)
    anchor, epoch = model.anchor, publish_again(run)
    walking.explorer.refresh()
    walking.until(lambda: model.scene.epoch == epoch)
    settle(walking)
    expected = model.scene.decoder.volume(anchor.mean(model.scene.latents))
    np.testing.assert_allclose(model.frame.volume, expected, atol=1e-5)
    walk.move(0, 1.0)  # along directions of the epoch before: nothing happens
    settle(walking)
    np.testing.assert_allclose(model.frame.volume, expected, atol=1e-5)
    walk.follow()
    settle(walking)
    assert walk.model.directions.scene is model.scene
