"""Directions through the particles' states."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from napari_sbackprop.analysis.axes import Axes, principal_directions
from napari_sbackprop.analysis.embedding import pca


@pytest.fixture
def states() -> np.ndarray:
    random = np.random.default_rng(0)
    return (random.normal(size=(4000, 4)) @ random.normal(size=(4, 4)) + 3).astype(np.float32)


def test_principal_directions_are_those_of_another_program(states: np.ndarray) -> None:
    expected = PCA().fit(states).components_
    found = principal_directions(states)
    np.testing.assert_allclose(np.abs((found * expected).sum(1)), 1, atol=1e-4)
    assert (found[np.arange(4), np.abs(found).argmax(1)] > 0).all()


def test_positions_count_standard_deviations_from_the_mean(states: np.ndarray) -> None:
    axes = Axes.through(states, principal_directions(states))
    position = axes.position(states)
    np.testing.assert_allclose(position.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(position.std(0), 1, rtol=1e-4)
    np.testing.assert_allclose(axes.state(position), states, atol=1e-4)
    for low, high, column in zip(axes.low, axes.high, position.T, strict=True):
        assert np.mean(column < low) == pytest.approx(0.02, abs=1e-3)
        assert np.mean(column > high) == pytest.approx(0.02, abs=1e-3)


def test_the_plane_of_the_scatter_is_that_of_the_first_two_directions(states: np.ndarray) -> None:
    axes = Axes.through(states, principal_directions(states))
    np.testing.assert_allclose(pca(states), (axes.position(states) * axes.deviation)[:, :2], atol=1e-4)


def test_a_state_that_never_changes_stays_where_it_is() -> None:
    states = np.array([[1, 7], [2, 7], [3, 7]], np.float32)
    axes = Axes.through(states, np.eye(2, dtype=np.float32))
    np.testing.assert_allclose(axes.state(np.array([0, 2], np.float32)), [2, 7], atol=1e-6)
    single = Axes.through(states[:, :1], principal_directions(states[:, :1]))
    np.testing.assert_allclose(single.directions, [[1]])
