"""The auto-encoder's steps: the schedule of its volumes, and the precision in which they are read."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_sbackprop.config import Config
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.trainer import train
from napari_sbackprop.training.variational import relative_step

ROUNDED = Config(
    latent_size=3, basis_size=4, epochs=2, batch_size=64, threads=2, device="cpu", precision="bfloat16"
)


def test_volumes_are_means_over_all_epochs():
    mean, parts = 0.0, 1000
    for part in range(5 * parts):  # the volumes that the data ask for are 1, 2, 3, 4, 5 in five epochs
        wanted = part // parts + 1
        mean += relative_step(part / parts) / parts * (wanted - mean)
    assert mean == pytest.approx((1 + 2 + 3 + 4 + 5) / 5.5, rel=1e-3)


def volumes_and_metrics(run: RunDirectory) -> tuple[np.ndarray, dict[str, float]]:
    epoch = run.latest_epoch()
    return run.read_model(epoch)["basis.volumes"].numpy(), run.read_description(epoch)["metrics"]


@pytest.fixture(scope="module")
def rounded_run(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    path = tmp_path_factory.mktemp("rounded") / "run"
    list(train(small_set / "particles.star", path, ROUNDED))
    return RunDirectory(path)


def test_reading_rounded_volumes_changes_a_training_hardly(small_set, rounded_run, tmp_path):
    list(train(small_set / "particles.star", tmp_path / "run", replace(ROUNDED, precision="float32")))
    exact, whole = RunDirectory(tmp_path / "run"), RunDirectory(tmp_path / "run").latest_epoch()
    volumes, metrics = volumes_and_metrics(rounded_run)
    exact_volumes, exact_metrics = volumes_and_metrics(exact)
    assert rounded_run.latest_epoch() == whole
    error = np.linalg.norm(volumes - exact_volumes) / np.linalg.norm(exact_volumes)
    assert 0 < error < 1e-3
    for name, value in exact_metrics.items():
        assert metrics[name] == pytest.approx(value, rel=3e-3), name
    says = "--precision bfloat16 gains nothing on a CPU"
    assert rounded_run.log_path.read_text().count(says) == 1
    assert says not in exact.log_path.read_text()


def test_a_resumed_run_reads_the_same_rounded_volumes(small_set, rounded_run, tmp_path):
    stop, star = threading.Event(), small_set / "particles.star"
    for record in train(star, tmp_path / "run", ROUNDED, stop):
        if record.epoch == rounded_run.latest_epoch() - 1:
            stop.set()
    list(train(star, tmp_path / "run", ROUNDED, resume=True))
    resumed, _ = volumes_and_metrics(RunDirectory(tmp_path / "run"))
    assert np.array_equal(resumed, volumes_and_metrics(rounded_run)[0])


def test_the_precision_of_other_recipes_cannot_be_chosen():
    with pytest.raises(
        InputError, match="--precision is bfloat16, but must be float32 in the paper's recipe"
    ):
        Config(recipe="paper", precision="bfloat16")
    with pytest.raises(InputError, match="--precision is float16, but must be one of float32, bfloat16"):
        Config(precision="float16")
