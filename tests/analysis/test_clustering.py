"""Clusters, judged by points whose origin is known."""

import numpy as np
import pytest

from napari_sbackprop.analysis import clustering
from napari_sbackprop.analysis.clustering import GMM, HDBSCAN, KMEANS, NO_CLUSTER, Clustering, cluster, kmeans
from napari_sbackprop.errors import InputError

CENTRES = np.array([[5.0, 0], [-5, 0], [0, 8]])
RANK = np.array([2, 0, 1])  # by the first coordinate


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3, 400)


@pytest.fixture
def latents(truth: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).normal(scale=0.7, size=(len(truth), 2))
    return (CENTRES[truth] + noise).astype(np.float32)


@pytest.mark.parametrize(("method", "number"), [(KMEANS, 3), (GMM, 3), (HDBSCAN, 40)])
def test_clusters_are_found_and_ordered(
    latents: np.ndarray, truth: np.ndarray, method: str, number: int
) -> None:
    labels = cluster(latents, method, number)
    assert set(labels) - {NO_CLUSTER} == {0, 1, 2}
    assert (labels == RANK[truth]).mean() > 0.9
    assert (labels[labels != NO_CLUSTER] == RANK[truth][labels != NO_CLUSTER]).mean() > 0.99


def test_kmeans_gives_its_centres(latents: np.ndarray) -> None:
    np.testing.assert_allclose(kmeans(latents, 3)[1], CENTRES[[1, 2, 0]], atol=0.3)


def test_a_mixture_parts_what_differs_in_shape_alone() -> None:
    generator = np.random.default_rng(0)
    spread = np.repeat([[0.1, 3.0], [3.0, 0.1]], 300, axis=0)  # two bars, crossed
    labels = cluster(generator.normal(size=(600, 2)) * spread, GMM, 2)
    truth = np.arange(600) // 300
    assert max((labels == truth).mean(), (labels != truth).mean()) > 0.9


def test_hdbscan_calls_stray_particles_noise(latents: np.ndarray) -> None:
    strays = np.array([[40.0, 40], [-40, 40], [40, -40]], dtype=np.float32)
    labels = cluster(np.concatenate([latents, strays]), HDBSCAN, 40)
    assert (labels[-3:] == NO_CLUSTER).all()
    made = Clustering(HDBSCAN, 40, labels, 7)
    assert len(made.sizes) == 3
    assert made.sizes.sum() == (labels != NO_CLUSTER).sum()
    assert made.provenance == {"hdbscan": 40, "epoch": 7}


def test_hdbscan_finds_the_same_where_it_links_only_some(
    latents: np.ndarray, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "MOST_LINKED", 150)
    labels = cluster(latents, HDBSCAN, 40)
    assert (labels == RANK[truth]).mean() > 0.85


def test_one_cloud_has_no_clusters_for_hdbscan() -> None:
    labels = cluster(np.random.default_rng(0).uniform(size=(200, 2)), HDBSCAN, 90)
    assert len(Clustering(HDBSCAN, 90, labels, 0).sizes) == 0


@pytest.mark.parametrize(
    ("method", "number"), [(KMEANS, 0), (KMEANS, 5), (GMM, 5), (HDBSCAN, 1), (HDBSCAN, 5)]
)
def test_numbers_that_do_not_fit_are_refused(method: str, number: int) -> None:
    with pytest.raises(InputError, match=rf"{number}.* of 4 particles: give a number from \d to 4"):
        cluster(np.zeros((4, 2)), method, number)
