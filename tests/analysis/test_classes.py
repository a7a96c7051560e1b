"""Clusters leave as classes that RELION splits a file by."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import starfile

from napari_sbackprop.analysis.classes import export_classes
from napari_sbackprop.analysis.clustering import HDBSCAN, KMEANS, NO_CLUSTER, Clustering
from napari_sbackprop.config import Config
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory

LABELS = np.random.default_rng(0).integers(0, 3, 40)


@pytest.fixture(scope="module")
def star(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("set") / "set", states=2, particles=40, box=36, pixel_size=8.0)


@pytest.fixture
def run(star: Path, tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", star, Config(), {})


def clustering(labels: np.ndarray = LABELS, method: str = KMEANS) -> Clustering:
    return Clustering(method, 3, labels, 1)


def test_a_new_column_is_all_that_changes(run: RunDirectory, star: Path, tmp_path: Path) -> None:
    output = tmp_path / "classes.star"
    assert export_classes(run, clustering(), output) == np.bincount(LABELS).tolist()
    assert starfile.read(output)["particles"]["rlnClassNumber"].tolist() == (LABELS + 1).tolist()
    text = re.sub(r"_rlnClassNumber #\d+\n", "", output.read_text())
    assert re.sub(r"(@particles\.mrcs.*) \d\n", r"\1\n", text) == star.read_text()
    note = json.loads((tmp_path / "classes.json").read_text())
    assert (note["kmeans"], note["classes"]) == (3, np.bincount(LABELS).tolist())


def test_classes_of_before_are_replaced(run: RunDirectory, tmp_path: Path) -> None:
    export_classes(run, clustering(), tmp_path / "first.star")
    other = RunDirectory.create(tmp_path / "other", tmp_path / "first.star", Config(), {})
    export_classes(other, clustering(2 - LABELS), tmp_path / "second.star")
    export_classes(run, clustering(2 - LABELS), tmp_path / "direct.star")
    assert (tmp_path / "second.star").read_bytes() == (tmp_path / "direct.star").read_bytes()


def test_particles_in_no_cluster_are_the_last_class(run: RunDirectory, tmp_path: Path) -> None:
    labels = np.where(LABELS == 1, NO_CLUSTER, np.minimum(LABELS, 1))
    counts = export_classes(run, clustering(labels, HDBSCAN), tmp_path / "classes.star")
    classes = starfile.read(tmp_path / "classes.star")["particles"]["rlnClassNumber"]
    assert (classes == 3).tolist() == (labels == NO_CLUSTER).tolist()
    assert counts == [(classes == number).sum() for number in (1, 2, 3)]


@pytest.mark.oracle
@pytest.mark.skipif(shutil.which("relion_star_handler") is None, reason="RELION is not installed")
def test_relion_selects_a_class(run: RunDirectory, tmp_path: Path) -> None:
    export_classes(run, clustering(), tmp_path / "classes.star")
    command = ["relion_star_handler", "--i", "classes.star", "--o", "second.star"]
    command += ["--select", "rlnClassNumber", "--minval", "2", "--maxval", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    names = starfile.read(run.star_path)["particles"]["rlnImageName"]
    theirs = starfile.read(tmp_path / "second.star")["particles"]["rlnImageName"]
    assert theirs.tolist() == names[LABELS == 1].tolist()


@pytest.mark.parametrize("existing", ["classes.star", "classes.json"])
def test_nothing_is_overwritten(run: RunDirectory, tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        export_classes(run, clustering(), tmp_path / "classes.star")
    assert [path.name for path in tmp_path.glob("classes*")] == [existing]
    with pytest.raises(InputError, match=r"does not end in \.star, which tells the format"):
        export_classes(run, clustering(), tmp_path / "classes.cs")
