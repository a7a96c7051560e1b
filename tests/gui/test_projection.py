import numpy as np
import pytest

from napari_sbackprop.gui.projection import Projection, aligned


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32)


def test_anchor_lies_near_the_point_asked_for(points: np.ndarray) -> None:
    anchor = Projection.build("pca", points).anchor((0.3, -0.2))
    assert anchor.weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(anchor.mean(points), [0.3, -0.2], atol=0.1)


def test_anchor_moves_smoothly_with_the_point(points: np.ndarray) -> None:
    projection = Projection.build("pca", points)
    values = np.random.default_rng(1).normal(size=(500, 8)).astype(np.float32)
    steps = np.linspace(-1, 1, 2001)
    path = np.stack([projection.anchor((x, 0.1)).mean(values) for x in steps])
    assert np.abs(np.diff(path, axis=0)).max() < 0.05


def test_a_cluster_far_from_the_rest_answers_for_itself() -> None:
    points = np.concatenate([np.zeros((40, 2)), np.full((40, 2), 100.0)]).astype(np.float32)
    latents = np.repeat([[1.0], [2.0]], 40, axis=0).astype(np.float32)
    projection = Projection.build("umap", points)
    assert projection.anchor((99.0, 99.0)).mean(latents) == pytest.approx(2.0)


def test_a_place_far_from_all_particles_is_outside(points: np.ndarray) -> None:
    projection = Projection.build("pca", points)
    among = [projection.anchor(point).outside for point in points]
    assert np.mean(among) == pytest.approx(0.01, abs=0.005)
    assert not projection.anchor((0.0, 0.0)).outside
    near, far = projection.anchor((6.0, 0.0)), projection.anchor((60.0, 0.0))
    assert near.outside
    assert far.remoteness > 10 * near.remoteness


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_particles_suffice(count: int) -> None:
    points = np.random.default_rng(2).normal(size=(count, 2)).astype(np.float32)
    anchor = Projection.build("pca", points).anchor((50.0, 50.0))
    assert np.isfinite(anchor.weights).all()
    assert anchor.weights.sum() == pytest.approx(1.0)


def test_aligned_undoes_a_mirrored_plot(points: np.ndarray) -> None:
    points = points - points.mean(axis=0)
    np.testing.assert_allclose(aligned(points * [-1, 1], points), points, atol=1e-4)
