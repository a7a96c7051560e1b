"""Runs of cryoDRGN become run directories without a decoder."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_cli import fail, succeed

from napari_sbackprop.analysis.adoption import adopt
from napari_sbackprop.analysis.clustering import read_clustering
from napari_sbackprop.analysis.embedding import embed
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.source import ParticleSource, open_source
from napari_sbackprop.data.star import read_columns
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.run_particles import run_particles


@pytest.fixture
def toy(shared_data: Path) -> ParticleSource:
    folder = shared_data / "cryodrgn"
    stack = folder / "toy_projections.mrcs"
    return open_source(stack, poses=folder / "toy_rot_zerotrans.pkl", ctf=folder / "test_ctf.pkl")


def test_latents_and_embedding_are_taken_over(shared_data: Path, tmp_path: Path, toy: ParticleSource) -> None:
    results = shared_data / "cryodrgn" / "run_431_toy"
    run = adopt(results, toy, tmp_path / "run")
    with (results / "z.8.pkl").open("rb") as file:
        mean, log_variance = pickle.load(file), pickle.load(file)
    latents = run.read_latents(run.latest_epoch())
    assert latents.epoch == 8
    np.testing.assert_array_equal(latents.mean, mean)
    np.testing.assert_array_equal(latents.log_variance, log_variance)
    with (results / "analyze.8" / "umap.pkl").open("rb") as file:
        np.testing.assert_array_equal(embed(run.path, 8, "umap").coordinates, pickle.load(file))


def test_clusters_are_taken_over(shared_data: Path, tmp_path: Path, toy: ParticleSource) -> None:
    results = shared_data / "cryodrgn" / "run_431_toy"
    run = adopt(results, toy, tmp_path / "run")
    with (results / "analyze.8" / "kmeans20" / "labels.pkl").open("rb") as file:
        labels = pickle.load(file)
    clustering = read_clustering(run, 8)
    assert (clustering.method, clustering.number) == ("cryodrgn_kmeans", 20)
    np.testing.assert_array_equal(clustering.labels, labels)
    values = succeed("select", run.path, "--cluster", 7, "-o", tmp_path / "state.pkl")
    with (tmp_path / "state.pkl").open("rb") as file:
        np.testing.assert_array_equal(pickle.load(file), np.flatnonzero(labels == 7))
    assert json.loads((tmp_path / "state.pkl.json").read_text())["cryodrgn_kmeans"] == 20
    values = succeed("classes", run.path, "-o", tmp_path / "classes.star")
    assert values["classes"] == np.bincount(labels).tolist()  # class i is decoded in vol_i.mrc


def test_the_largest_number_of_clusters_is_taken_and_wrong_ones_are_refused(
    tmp_path: Path, toy: ParticleSource
) -> None:
    (tmp_path / "z.3.pkl").write_bytes(pickle.dumps(np.zeros((1000, 2), np.float32)))
    for name, number in (("200_old", 200), ("5", 5), ("20", 20), ("100", 100)):
        folder = tmp_path / "analyze.3" / f"kmeans{name}"
        folder.mkdir(parents=True)
        (folder / "labels.pkl").write_bytes(pickle.dumps(np.arange(1000) % number))
    run = adopt(tmp_path, toy, tmp_path / "run")
    assert len(read_clustering(run, 3).sizes) == 100
    (folder / "labels.pkl").write_bytes(pickle.dumps(np.arange(999)))
    with pytest.raises(InputError, match="does not number the clusters of 1000 particles"):
        adopt(tmp_path, toy, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_command_line_selects_and_says_that_there_is_no_decoder(
    shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "cryodrgn"
    files = ["--poses", folder / "toy_rot_zerotrans.pkl", "--ctf", folder / "test_ctf.pkl"]
    run = tmp_path / "run"
    values = succeed("adopt", folder / "run_431_toy", folder / "toy_projections.mrcs", run, *files)
    assert (values["particles"], values["latent_size"], values["epoch"]) == (1000, 4, 8)
    values = succeed("select", run, "--kmeans", 4, "--cluster", 1, "-o", tmp_path / "state.star")
    assert 0 < values["rows"] < 1000
    assert values["rows"] == len(read_columns(tmp_path / "state.star")["rlnImageName"])
    assert len(succeed("pickles", run, "-o", tmp_path / "drgn")["files"]) == 4
    encode = ["encode", run, folder / "toy_projections.mrcs", *files, "-o", tmp_path / "x.npz"]
    for command in (["volumes", run, "-o", tmp_path / "maps", "--kmeans", 2], encode):
        assert "holds latents alone, without a model" in fail(*command)


def test_images_that_moved_are_found_again(tmp_path: Path) -> None:
    star = simulate(tmp_path / "set", states=1, particles=30, box=36, pixel_size=8.0)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "set" / "particles.mrcs").rename(tmp_path / "elsewhere" / "particles.mrcs")
    (tmp_path / "z.3.pkl").write_bytes(pickle.dumps(np.zeros((30, 2), np.float32)))
    succeed("adopt", tmp_path, star, tmp_path / "run", "--path-map", f".={tmp_path / 'elsewhere'}")
    particles = run_particles(RunDirectory(tmp_path / "run"))
    assert particles.stack_paths == (tmp_path / "elsewhere" / "particles.mrcs",)


def test_latents_of_an_auto_decoder_have_no_variance(tmp_path: Path, toy: ParticleSource) -> None:
    (tmp_path / "z.3.pkl").write_bytes(pickle.dumps(np.zeros((1000, 2), np.float32)))
    (tmp_path / "z.12.pkl").write_bytes(pickle.dumps(np.ones((1000, 2), np.float32)))
    latents = adopt(tmp_path, toy, tmp_path / "run").read_latents(12)
    assert (latents.mean == 1).all()
    assert np.isnan(latents.log_variance).all()


def test_what_does_not_fit_is_refused_and_leaves_nothing(
    shared_data: Path, tmp_path: Path, toy: ParticleSource
) -> None:
    run = tmp_path / "run"
    with pytest.raises(InputError, match=r"has no z\.N\.pkl"):
        adopt(tmp_path, toy, run)
    (tmp_path / "z.1.pkl").write_bytes(pickle.dumps(np.zeros((999, 2), np.float32)))
    with pytest.raises(InputError, match=r"latents of 999 particles, but .* has 1000"):
        adopt(tmp_path, toy, run)
    shutil.copyfile(shared_data / "cryodrgn" / "zvals_het-8_4k.pkl", tmp_path / "z.2.pkl")
    with pytest.raises(InputError, match="latents of 4549 particles"):
        adopt(tmp_path, toy, run)
    (tmp_path / "z.4.pkl").write_bytes(pickle.dumps(np.zeros((1000, 2, 2), np.float32)))
    with pytest.raises(InputError, match=r"shape \(1000, 2, 2\), but latents are"):
        adopt(tmp_path, toy, run)
    assert not run.exists()
