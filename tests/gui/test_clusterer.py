"""Clusters in the explorer, without Qt but with the real process."""

import numpy as np
import pytest
from conftest import Desk

from napari_sbackprop.analysis.clustering import GMM, HDBSCAN, KMEANS, NO_CLUSTER, Clustering, cluster
from napari_sbackprop.analysis.query import CLUSTER
from napari_sbackprop.analysis.selection import ADD, SUBTRACT
from napari_sbackprop.gui import clusterer
from napari_sbackprop.gui.cluster_options import summary
from napari_sbackprop.gui.point_colours import MISSING, cluster_colours


@pytest.fixture
def clustered(open_desk: Desk) -> Desk:
    """Four clusters by the order of the particles, and two particles outside."""
    labels = np.repeat(np.arange(4), 60)
    labels[:2] = NO_CLUSTER
    open_desk.model.clustering = Clustering(KMEANS, 4, labels, open_desk.model.scene.epoch)
    return open_desk


def test_clusters_are_those_of_the_command_line_and_colour_the_plot(open_desk: Desk) -> None:
    model = open_desk.model
    open_desk.explorer.clusterer.start(KMEANS, 9)
    open_desk.explorer.clusterer.start(GMM, 3)  # the newest counts
    assert model.clustering_running
    open_desk.until(lambda: model.clustering is not None)
    assert not model.clustering_running
    assert (model.clustering.method, model.clustering.number) == (GMM, 3)
    np.testing.assert_array_equal(model.clustering.labels, cluster(model.scene.latents, GMM, 3))
    assert model.colour == CLUSTER


def test_a_failure_is_said(open_desk: Desk) -> None:
    open_desk.explorer.clusterer.start(KMEANS, 999)
    open_desk.until(lambda: open_desk.model.error)
    assert "k-means cannot make 999 clusters of 240 particles" in open_desk.model.error
    assert not open_desk.model.clustering_running


def test_stopped_clusters_never_come(open_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = []
    real = clusterer.ClusterProcess
    monkeypatch.setattr(
        clusterer, "ClusterProcess", lambda *given: processes.append(real(*given)) or processes[-1]
    )
    open_desk.explorer.clusterer.start(KMEANS, 3)
    open_desk.until(lambda: processes)
    open_desk.explorer.clusterer.stop()
    open_desk.until(lambda: processes[0]._process.poll() is not None)
    assert open_desk.model.clustering is None
    assert not open_desk.model.clustering_running


def test_a_click_selects_the_cluster_of_the_nearest_particle(clustered: Desk) -> None:
    model, selections = clustered.model, clustered.explorer.selections
    plane = model.projection.coordinates
    selections.select_cluster_at(*map(float, plane[70]))
    assert model.selection.indices.tolist() == list(range(60, 120))
    assert model.selection.provenance == {"kmeans": 4, "cluster": 1, "epoch": model.scene.epoch}
    selections.select_cluster_at(*map(float, plane[239]), ADD)
    assert model.selection.indices.tolist() == [*range(60, 120), *range(180, 240)]
    selections.select_cluster_at(*map(float, plane[70]), SUBTRACT)
    assert model.selection.indices.tolist() == list(range(180, 240))
    selections.select_cluster_at(*map(float, plane[0]))
    assert "belongs to no cluster" in model.message
    assert model.selection.indices.tolist() == list(range(180, 240))


def test_colours_and_counts_tell_the_clusters(clustered: Desk) -> None:
    clustering = clustered.model.clustering
    colours = cluster_colours(clustering)
    assert [name for name, _ in colours.classes] == ["none: 2", "0: 58", "1: 60", "2: 60", "3: 60"]
    assert len({tuple(colours.rgba[i]) for i in (2, 60, 120, 180)}) == 4
    np.testing.assert_allclose(colours.rgba[0], MISSING)
    for number, (_, colour) in enumerate(colours.classes[1:]):
        rgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        np.testing.assert_allclose(colours.rgba[clustering.labels == number][0, :3], rgb, atol=1e-6)
    assert summary(clustering) == "<b>4</b> clusters of 58 to 60"
    nothing = Clustering(HDBSCAN, 9, np.full(240, NO_CLUSTER), 1)
    assert "No cluster" in summary(nothing)
    assert (cluster_colours(nothing).rgba == np.float32(MISSING)).all()


def test_another_run_has_no_clusters_yet(clustered: Desk) -> None:
    clustered.explorer.open(clustered.model.scene.run.path)
    assert clustered.model.clustering is None
