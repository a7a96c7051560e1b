"""Variance of the residuals: none where the model is right, much where its basis is missing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_sbackprop.config import Config
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.progress import finished
from napari_sbackprop.training.residual import residual_variance
from napari_sbackprop.training.trainer import train

OPTIONS = Config(latent_size=6, basis_size=6, epochs=0, threads=2, device="cpu")


@pytest.fixture(scope="module")
def run(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A closed-form start whose last epoch is published once more, with an empty basis."""
    path = tmp_path_factory.mktemp("residual") / "run"
    for _ in train(small_set / "particles.star", path, OPTIONS):
        pass
    directory = RunDirectory(path)
    last = directory.latest_epoch()
    tensors = directory.read_model(last)
    tensors["basis.volumes"][:, 1:] = 0
    directory.publish(last + 1, tensors, directory.read_latents(last), directory.read_description(last))
    return directory


def excess(run: RunDirectory, epoch: int) -> np.ndarray:
    work = residual_variance(run, np.arange(400), 40.0, epoch=epoch)
    shares = []
    result = finished(work, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    return result


def test_what_the_basis_explains_is_not_left(run: RunDirectory, small_set: Path) -> None:
    truth = Truth.open(small_set / "truth")
    region = truth.region > 0.5
    empty, last = run.latest_epoch(), run.latest_epoch() - 1
    without, with_basis = excess(run, empty), excess(run, last)
    assert without[region].mean() > 1
    assert abs(with_basis[region].mean()) < 0.3
    solvent = truth.solvent < 0.01
    assert abs(with_basis[solvent].mean()) < 0.1
    # The loose subunit comes and goes too, so that the moving arm need not be the highest place.
    assert without[truth.solvent > 0.5].max() > without[solvent].max()


@pytest.mark.parametrize("resolution", [-5.0, 0.0, 1.0, 5000.0, float("inf"), float("nan")])
def test_a_resolution_that_the_run_lacks_is_refused(run: RunDirectory, resolution: float) -> None:
    with pytest.raises(InputError, match=r"--resolution is .* has maps for 16\.9 to 72 Å"):
        finished(residual_variance(run, np.arange(400), resolution))


def test_too_few_particles_are_refused(run: RunDirectory) -> None:
    with pytest.raises(InputError, match="at least 50 particles, but 0 are selected"):
        finished(residual_variance(run, np.arange(0), 40.0))


def test_a_run_of_the_paper_is_refused(run: RunDirectory, small_set: Path, tmp_path: Path) -> None:
    paper = RunDirectory.create(
        tmp_path / "run", small_set / "particles.star", replace(OPTIONS, recipe="paper", epochs=1), {}
    )
    with pytest.raises(InputError, match="paper's recipe"):
        finished(residual_variance(paper, np.arange(400), 20.0))
