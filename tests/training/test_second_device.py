"""Training where images and volumes lie on another device than Python's numbers: same results, and nothing waits."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import second_device
import torch
from second_device import DEVICE, Graph, SecondDevice, watch
from torch import Tensor

from napari_sbackprop.config import Config
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.models.coefficients import CoefficientHead
from napari_sbackprop.ops import dispatch
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training import cuda_graph, spectra, trainer, variational
from napari_sbackprop.training.trainer import train

CONFIG = Config(latent_size=2, basis_size=3, epochs=2, threads=1, batch_size=64)


def _row_by_row(head: CoefficientHead, latent: Tensor) -> Tensor:
    """What `jacobian` computes; torch.func does not know tensors that only say where they lie."""
    with torch.enable_grad():
        leaf = latent.detach().clone().requires_grad_()
        columns = head(leaf).sum(0)
        rows = [torch.autograd.grad(column, leaf, retain_graph=True)[0] for column in columns]
    return torch.stack(rows, dim=1)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let `train` find its device to be the second one, and its steps be recorded as graphs."""
    on_cpu = dispatch.backend("cpu")
    monkeypatch.setattr("napari_sbackprop.ops.image_formation.backend", lambda device: on_cpu)
    # The CPU's kernels stand for CUDA's, which take bfloat16 as it is.
    monkeypatch.setattr("napari_sbackprop.ops.image_formation._readable", lambda volumes: volumes.float())
    monkeypatch.setattr(trainer, "backend", lambda device: on_cpu)
    monkeypatch.setattr(trainer, "_device", lambda name: DEVICE)
    monkeypatch.setattr(CoefficientHead, "jacobian", _row_by_row)
    optimizer = import_module("torch.optim.optimizer")
    monkeypatch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: ["cpu", DEVICE.type])
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", second_device.record)
    monkeypatch.setattr(cuda_graph.GraphedStep, "_warm_up", lambda step, inputs: step._function(*inputs))
    monkeypatch.setattr(Graph, "replays", 0)
    with SecondDevice():
        yield


def run_of(star_folder: Path, run: Path, config: Config, resume: bool = False) -> RunDirectory:
    for _ in train(star_folder / "particles.star", run, config, resume=resume):
        pass
    return RunDirectory(run)


def assert_same(one: RunDirectory, other: RunDirectory) -> None:
    assert one.epochs() == other.epochs()
    for epoch in one.epochs():
        assert one.read_description(epoch)["metrics"] == pytest.approx(
            other.read_description(epoch)["metrics"]
        )
    means = (run.read_latents(epoch).mean for run in (one, other))
    np.testing.assert_allclose(
        *means, rtol=0, atol=1e-5
    )  # of another order of sums in the head's derivatives
    tensors = other.read_model(epoch)
    for name, tensor in one.read_model(epoch).items():
        assert torch.equal(tensor, tensors[name]), name


CONFIGS = {
    "default": CONFIG,
    "paper": replace(CONFIG, recipe="paper"),
    "rounded": replace(CONFIG, precision="bfloat16"),
    "refined": replace(CONFIG, refine_poses=True, refine_ctf=True, epochs=1),
}


@pytest.fixture(scope="module")
def particles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of 400 particles of 44 px, which is enough to refine poses."""
    folder = tmp_path_factory.mktemp("particles") / "set"
    simulate(folder, states=4, particles=400, box=44, pixel_size=6.5, snr=0.5, seed=3)
    return folder


@pytest.fixture(scope="module")
def here(particles: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDirectory]:
    """Runs on the CPU."""
    folder = tmp_path_factory.mktemp("here")
    return {name: run_of(particles, folder / name, config) for name, config in CONFIGS.items()}


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("resident", [True, False], ids=["resident", "streamed"])
@pytest.mark.parametrize("name", CONFIGS)
def test_training_elsewhere_comes_to_the_same_result(
    name: str, resident: bool, here: dict[str, RunDirectory], particles: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(spectra, "fits", lambda size, device: resident)
    assert_same(run_of(particles, tmp_path / "run", CONFIGS[name]), here[name])
    # 360 particles are five whole batches an epoch, of which the first three of a run are not recorded.
    assert Graph.replays == {"default": 7, "paper": 0, "rounded": 7, "refined": 2}[name]


@pytest.mark.usefixtures("elsewhere")
def test_a_run_goes_on_elsewhere(here: dict[str, RunDirectory], particles: Path, tmp_path: Path) -> None:
    run_of(particles, tmp_path / "run", replace(CONFIG, epochs=1))
    assert_same(run_of(particles, tmp_path / "run", CONFIG, resume=True), here["default"])


@pytest.mark.usefixtures("elsewhere")
def test_a_step_waits_for_nothing(particles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, crossings = variational.VariationalStage._step, []

    def counted(stage: variational.VariationalStage, batch: spectra.Batch, share: float) -> Tensor:
        before = len(watch.crossings)
        losses = step(stage, batch, share)
        crossings.append(watch.crossings[before:])
        return losses

    monkeypatch.setattr(variational.VariationalStage, "_step", counted)
    run_of(particles, tmp_path / "run", CONFIG)
    noise = ["aten._to_copy.default"]
    assert crossings == 12 * [noise]


@pytest.mark.usefixtures("elsewhere")
def test_a_step_that_cannot_be_recorded_is_made_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    here = torch.arange(3.0)
    step = cuda_graph.GraphedStep(lambda tensor: tensor + here.to(tensor))
    for _ in range(6):
        assert step(here.to(DEVICE)).tolist() == [0, 2, 4]
    assert caplog.text.count("not recorded as a CUDA graph") == 1
    assert Graph.replays == 0
