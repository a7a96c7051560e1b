"""The query line's controller, without Qt."""

import json
from pathlib import Path

import numpy as np
import starfile
from conftest import Desk, publish_again

from napari_sbackprop.analysis.clustering import KMEANS, Clustering


def test_a_query_counts_then_selects(open_desk: Desk, run: Path) -> None:
    model, queries = open_desk.model, open_desk.explorer.queries
    table = starfile.read(run / "particles.star")["particles"]
    middle = float(table["rlnDefocusU"].median())
    text = f"rlnDefocusU > {middle} & z1 < 0"
    expected = np.flatnonzero((table["rlnDefocusU"] > middle) & (model.scene.latents[:, 0] < 0))
    queries.ask(text)
    open_desk.until(lambda: model.matching is not None)
    np.testing.assert_array_equal(model.matching.indices, expected)
    assert model.selection is None
    queries.select(text)
    open_desk.until(lambda: model.selection is not None)
    np.testing.assert_array_equal(model.selection.indices, expected)
    assert model.selection.provenance == {"query": text, "epoch": model.scene.epoch}


def test_a_query_that_cannot_be_read_complains_until_it_can(open_desk: Desk) -> None:
    model, queries = open_desk.model, open_desk.explorer.queries
    queries.ask("rlnDefocus > 3")
    open_desk.until(lambda: model.error)
    assert "names rlnDefocus, " in model.error
    assert model.matching is None
    queries.ask("z1 > 1e9")
    open_desk.until(lambda: model.matching is not None)
    assert model.error == ""
    model.error = "Something else."
    queries.ask("z1 > 0")
    open_desk.until(lambda: len(model.matching.indices))
    assert model.error == "Something else."
    queries.ask(" ")
    assert model.matching is None


def test_clusters_have_a_name_once_there_are_some(open_desk: Desk, tmp_path: Path) -> None:
    model, queries = open_desk.model, open_desk.explorer.queries
    assert "cluster" not in queries.names
    assert {"rlnDefocusU", "rlnImageName", "z1", "z2", "contrast"} <= set(queries.names)
    queries.ask("cluster == 1")
    open_desk.until(lambda: "no clusters yet" in model.error)
    model.clustering = Clustering(KMEANS, 3, np.arange(240) % 3, model.scene.epoch)
    assert "cluster" in queries.names
    queries.select("cluster == 1")
    open_desk.until(lambda: model.selection is not None)
    assert model.selection.indices.tolist() == list(range(1, 240, 3))
    open_desk.explorer.selections.export(tmp_path / "one.star")
    open_desk.until(lambda: "Wrote" in model.message)
    note = json.loads((tmp_path / "one.json").read_text())
    assert (note["query"], note["kmeans"], note["count"]) == ("cluster == 1", 3, 80)


def test_a_new_epoch_changes_what_the_latents_answer(open_desk: Desk, run: Path) -> None:
    model, queries = open_desk.model, open_desk.explorer.queries
    before = set(np.flatnonzero(model.scene.latents[:, 0] > 0.2))
    epoch = publish_again(run)  # mirrored
    open_desk.explorer.refresh()
    open_desk.until(lambda: model.scene.epoch == epoch)
    queries.ask("z1 < -0.2")
    open_desk.until(lambda: model.matching is not None)
    assert set(model.matching.indices) == before
