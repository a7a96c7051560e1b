"""The run directory: what is published is complete, and nothing is overwritten."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_sbackprop.config import Config
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import Embedding, Latents, RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    star = tmp_path / "particles.star"
    star.write_text("data_particles\n")
    return RunDirectory.create(tmp_path / "run", star, Config(), {})


def latents(epoch: int) -> Latents:
    numbers = np.arange(6, dtype=np.float32).reshape(3, 2)
    return Latents(numbers, -numbers, np.ones((3, 2, 2), np.float32), numbers[:, 0], epoch)


def test_an_epoch_reads_back_as_it_was_published(run):
    run.publish(1, {"volumes": torch.arange(4.0)}, latents(1), {"radius": 7})
    assert run.epochs() == [1]
    assert run.read_description(1) == {"radius": 7}
    assert torch.equal(run.read_model(1)["volumes"], torch.arange(4.0))
    assert np.array_equal(run.read_latents(1).mean, latents(1).mean)


def test_a_failed_publication_leaves_nothing(run):
    with pytest.raises(TypeError):
        run.publish(1, {}, latents(1), {"unwritable": object()})
    assert run.epochs() == []
    assert list((run.path / "epochs").iterdir()) == []


def test_a_published_epoch_is_not_overwritten(run):
    run.publish(1, {"volumes": torch.zeros(1)}, latents(1), {})
    with pytest.raises(OSError, match="not empty"):
        run.publish(1, {"volumes": torch.ones(1)}, latents(1), {})
    assert run.read_model(1)["volumes"].item() == 0


def test_metrics_keep_their_columns_when_a_stage_adds_some(run):
    run.append_metrics({"epoch": 1, "evidence": 0.5})
    run.append_metrics({"epoch": 2, "loss": 1.5, "evidence": 0.7})
    with run.metrics_path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["evidence"] for row in rows] == ["0.5", "0.7"]
    assert [row["loss"] for row in rows] == ["", "1.5"]


def test_embeddings_are_kept_with_their_parameters(run):
    run.publish(1, {}, latents(1), {})
    coordinates = np.ones((3, 2), np.float32)
    run.write_embedding(Embedding(coordinates, "umap", {"neighbours": 15}, 1))
    stored = run.read_embedding(1, "umap")
    assert stored is not None
    assert stored.parameters == {"neighbours": 15}
    assert np.array_equal(stored.coordinates, coordinates)
    assert run.read_embedding(1, "pca") is None


def test_options_survive_the_directory(run, tmp_path):
    config = Config(latent_size=3, basis_size=5, mask=Path("mask.mrc"), resolution=8.5)
    other = RunDirectory.create(tmp_path / "other", run.star_path, config, {"versions": {}})
    assert RunDirectory(other.path).config == config


def test_folders_that_are_not_runs_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no config\.json"):
        RunDirectory(tmp_path)


def test_a_missing_epoch_is_named(run):
    run.publish(2, {}, latents(2), {})
    with pytest.raises(InputError, match="the finished epochs are 2"):
        run.read_model(7)


def test_damaged_and_foreign_documents_are_told_apart(run):
    run.config_path.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        _ = run.config
    run.config_path.write_text('{"format": 99}')
    with pytest.raises(InputError, match="has format 99"):
        _ = run.config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_size": 0}, "--latent-size is 0"),
        ({"recipe": "magic"}, "--recipe is magic"),
        ({"latent_size": 8, "basis_size": 4}, "--basis-size is 4"),
        ({"held_out": 0.7}, r"--held-out is 0\.7"),
        ({"resolution": -1.0}, "--resolution is -1"),
        ({"threads": 100_000}, "--threads is 100000, but must be from 0 to 1024"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        Config(**options)


def test_an_unknown_option_in_the_document_is_refused():
    with pytest.raises(InputError, match="unknown option 'colour'"):
        Config.from_json({"colour": "red"})


def test_a_run_that_cannot_be_made_leaves_its_name_free(tmp_path):
    files = {"particles.star": Path(__file__), "ctf.pkl": tmp_path / "missing.pkl"}
    with pytest.raises(FileNotFoundError):
        RunDirectory.create(tmp_path / "run", Path(__file__), Config(), {}, files=files)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["model.safetensors", "latents.npz", "epoch.json"])
def test_damaged_epochs_are_told_in_a_sentence(run, name):
    run.publish(1, {"volumes": torch.zeros(1)}, latents(1), {})
    (run.epoch_path(1) / name).write_bytes(b"{")
    with pytest.raises(InputError, match="is damaged"):
        {"model": run.read_model, "latents": run.read_latents, "epoch": run.read_description}[
            name.split(".")[0]
        ](1)


def test_others_may_read_an_epoch(run):
    run.publish(1, {"volumes": torch.zeros(1)}, latents(1), {})
    modes = {path.stat().st_mode & 0o777 for path in run.epoch_path(1).iterdir()}
    assert len(modes) == 1
