"""Evaluation of a run that was made by hand from the truth: perfect, then spoiled."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_sbackprop.analysis.evaluation import evaluate
from napari_sbackprop.config import Config
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.fourier import gridding_correction, volumes_to_sphere
from napari_sbackprop.imaging.grids import half_sphere
from napari_sbackprop.run_directory import Latents, RunDirectory

STATES, BOX, PIXEL_SIZE = 3, 32, 9.5


@dataclass(frozen=True)
class Example:
    """A simulated set and a run on it whose two basis volumes are the exact directions of the three states."""

    star: Path
    run: RunDirectory

    @property
    def truth(self) -> Path:
        return self.star.parent / "truth"


def publish(run: RunDirectory, maps: np.ndarray, latents: np.ndarray) -> None:
    """Publish an epoch with basis volumes `maps` (K + 1, M, M, M) and latents (N, K)."""
    radius = BOX // 2 - 1
    values = volumes_to_sphere(torch.from_numpy(maps) / gridding_correction(BOX), half_sphere(radius))
    tensors = {
        "basis.volumes": torch.view_as_real(values).transpose(0, 1).float(),  # (W, K + 1, 2)
        "decode_filter": torch.ones(len(maps), radius + 1),
        "mask": torch.ones(BOX, BOX, BOX),
    }
    size = latents.shape[1]
    information = np.tile(1e4 * np.eye(size, dtype=np.float32), (len(latents), 1, 1))
    description = {
        "recipe": "default",
        "box": BOX,
        "pixel_size": PIXEL_SIZE,
        "radius": radius,
        "latent_size": size,
    }
    run.publish(
        len(run.epochs()) + 1,
        tensors,
        Latents(latents, np.zeros_like(latents), information, np.ones(len(latents), np.float32), 0),
        description,
    )


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    folder = tmp_path_factory.mktemp("evaluation")
    star = simulate(folder / "set", states=STATES, particles=90, box=BOX, pixel_size=PIXEL_SIZE)
    truth = Truth.open(star.parent / "truth")
    run = RunDirectory.create(folder / "run", star, Config(), {})
    corners = np.eye(STATES, dtype=np.float32)[:, 1:]  # state 0 at the origin, the others on the axes
    maps = np.stack([truth.states[0], *(truth.states[1:] - truth.states[0])])
    latents = corners[truth.labels]
    publish(run, maps, latents)
    publish(run, maps, latents[np.random.default_rng(0).permutation(len(latents))])
    return Example(star, run)


def test_perfect_run_scores_perfectly(example: Example) -> None:
    scores = evaluate(example.run.path, example.truth, epoch=1)
    assert (scores.epoch, scores.particles, scores.states) == (1, 90, STATES)
    assert min(scores.region_per_state) > 0.99
    assert min(scores.solvent_per_state) > 0.99
    assert (scores.state_exact, scores.state_within_one, scores.closed_open) == (1, 1, 1)
    assert scores.adjusted_rand_index == pytest.approx(1)
    assert scores.adjusted_mutual_information == pytest.approx(1)
    assert scores.auc_per_image > 0.95 * scores.auc_perfect
    assert scores.auc_per_conformation > 0.95 * scores.auc_perfect


def test_consensus_is_scored_beside_it(example: Example) -> None:
    scores = evaluate(example.run.path, example.truth, epoch=1)
    assert scores.consensus_region_per_state[0] > 0.99  # this run's consensus is state 0
    assert scores.consensus_region_per_state[2] < 0.7
    assert scores.consensus_region == pytest.approx(np.mean(scores.consensus_region_per_state))


def test_shuffled_latents_score_by_chance(example: Example) -> None:
    scores = evaluate(example.run.path, example.truth)
    assert scores.epoch == 2
    assert scores.region < 0.95
    assert scores.state_exact < 0.6
    assert scores.adjusted_rand_index < 0.1
    assert scores.auc_per_image < evaluate(example.run.path, example.truth, epoch=1).auc_per_image


def test_truth_without_the_optional_part_is_refused(example: Example, tmp_path: Path) -> None:
    truth = shutil.copytree(example.truth, tmp_path / "truth")
    np.save(truth / "subunit.npy", np.zeros(90, np.int64))
    with pytest.raises(
        InputError, match="has no particle with the optional part, which its maps show: simulate"
    ):
        evaluate(example.run.path, truth)


def test_truth_of_another_set_is_refused(example: Example, tmp_path: Path) -> None:
    other = simulate(tmp_path / "set", states=2, particles=8, box=BOX, pixel_size=PIXEL_SIZE)
    with pytest.raises(InputError, match="8"):
        evaluate(example.run.path, other.parent / "truth")
    larger = simulate(tmp_path / "larger", states=2, particles=90, box=36, pixel_size=PIXEL_SIZE)
    with pytest.raises(InputError, match="36"):
        evaluate(example.run.path, larger.parent / "truth")
