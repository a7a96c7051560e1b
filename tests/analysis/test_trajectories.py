"""Paths through the latent space."""

import networkx
import numpy as np
import pytest
from sklearn.decomposition import PCA

from napari_sbackprop.analysis.trajectories import (
    NeighbourGraph,
    along_component,
    at_positions,
    equal_steps,
    path_through,
)
from napari_sbackprop.errors import InputError


def horseshoe(count: int = 1500) -> np.ndarray:
    """Latents (N, 3) of particles along three quarters of a ring; the last two are its ends, in an empty gap."""
    random = np.random.default_rng(0)
    angle = np.concatenate([random.uniform(0, 1.5 * np.pi, count - 2), [0, 1.5 * np.pi]])
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], axis=1)
    ring[:-2] += random.normal(0, 0.05, (count - 2, 3))
    return ring.astype(np.float32)


def test_a_path_through_dense_regions_goes_round_a_gap() -> None:
    latents = horseshoe()
    weights = NeighbourGraph.build(latents).path(latents[-2], latents[-1])
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    path = path_through(weights @ latents, 60)
    np.testing.assert_allclose(path[[0, -1]], latents[-2:], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(path[:, :2], axis=1), 1, atol=0.12)
    turned = np.unwrap(np.arctan2(path[:, 1], path[:, 0]))
    assert turned[-1] - turned[0] == pytest.approx(1.5 * np.pi, abs=0.05)
    assert (np.diff(turned) > 0).all()  # smooth: never back


def test_the_way_is_the_shortest_by_steps_to_the_power_of_the_dimensions_and_one() -> None:
    latents = np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32)
    graph = NeighbourGraph.build(latents)
    judge = networkx.Graph()
    for row, near in enumerate(graph.neighbours):
        steps = np.linalg.norm(latents[row] - latents[near], axis=1)
        judge.add_weighted_edges_from(zip([row] * len(near), near, steps**4, strict=True))
    nodes = networkx.shortest_path(judge, 0, 59, weight="weight")
    members = graph.path(latents[0], latents[59])
    assert members.shape == (len(nodes), 60)
    expected = np.unique(np.concatenate([[0, 59], graph.neighbours[nodes[1:-1]].ravel()]))
    np.testing.assert_array_equal(np.unique(members.nonzero()[1]), expected)


def test_separate_clouds_are_bridged_where_they_are_nearest() -> None:
    random = np.random.default_rng(2)
    latents = random.uniform(0, 1, (800, 2)).astype(np.float32)
    latents[400:, 0] += 5
    path = NeighbourGraph.build(latents).path(latents[0], latents[-1]) @ latents
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    assert (steps > 0.5).sum() <= 5  # the bridge, as smoothed
    np.testing.assert_allclose(path[[0, -1]], latents[[0, -1]], atol=1e-6)


def test_particles_alike_and_very_many_particles_have_paths() -> None:
    alike = np.zeros((50, 2), np.float32)
    assert (NeighbourGraph.build(alike).path(alike[0], alike[1]) @ alike).shape[1] == 2
    many = np.random.default_rng(3).normal(size=(25_000, 2)).astype(np.float32)
    weights = NeighbourGraph.build(many).path(many[0], many[1])
    assert weights.shape[1] == 25_000
    np.testing.assert_allclose((weights @ many)[[0, -1]], many[:2], atol=0.2)  # of the sample


def test_a_component_is_that_of_principal_component_analysis() -> None:
    random = np.random.default_rng(4)
    latents = (random.normal(size=(800, 3)) * [3, 1, 0.3] + 5).astype(np.float32)
    members = np.arange(0, 800, 2)
    judge = PCA(3).fit(latents[members])
    scores = judge.transform(latents[members])
    for component in range(3):
        weights = along_component(latents, members, component)
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-9)
        ends = judge.transform(weights @ latents)
        expected = np.percentile(scores[:, component], [5, 95])
        if ends[0, component] > ends[1, component]:  # of the other sign
            ends = ends[::-1]
        np.testing.assert_allclose(ends[:, component], expected, rtol=0.02)
        np.testing.assert_allclose(np.delete(ends, component, axis=1), 0, atol=1e-3)


def test_a_component_lies_in_another_plane_where_regression_puts_it() -> None:
    random = np.random.default_rng(5)
    latents = random.normal(size=(500, 2)).astype(np.float32) * [2, 1]
    plane = latents @ [[0.0, 1.0], [1.0, 0.0]] + random.normal(0, 0.1, (500, 2))
    ends = along_component(latents, np.arange(500), 0)
    slope = np.polyfit((latents - latents.mean(0))[:, 0], plane[:, 1], 1)[0]
    difference = np.diff(ends @ plane, axis=0)[0, 1] / np.diff(ends @ latents, axis=0)[0, 0]
    assert difference == pytest.approx(slope, abs=0.01)


def test_impossible_components_are_refused() -> None:
    latents = np.zeros((10, 2), np.float32)
    with pytest.raises(InputError, match="at least two"):
        along_component(latents, np.array([1]), 0)
    with pytest.raises(InputError, match="alike along principal component 2"):
        along_component(latents, np.arange(10), 1)


def test_positions_are_equally_far_apart_and_hold_in_every_plane() -> None:
    points = np.array([[0, 0], [3, 0], [3, 1]], np.float32)
    positions = equal_steps(points, 5)
    np.testing.assert_allclose(positions, [0, 1 / 3, 2 / 3, 1, 2])
    np.testing.assert_allclose(at_positions(points, positions), path_through(points, 5))
