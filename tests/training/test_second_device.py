"""Training where images and volumes lie on another device than Python's numbers: same results, and nothing waits."""

import gc
import weakref
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
from napari_sbackprop.imaging.grids import half_disc, half_sphere
from napari_sbackprop.imaging.poses import random_rotations
from napari_sbackprop.models.coefficients import CoefficientHead
from napari_sbackprop.ops import dispatch
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training import (
    alignment,
    cuda_graph,
    posterior,
    spectra,
    streaming,
    trainer,
    variational,
)
from napari_sbackprop.training.linear_model import LinearModel
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
    for module in (posterior, alignment):  # the GPU's way rounds otherwise; it has a test of its own
        monkeypatch.setattr(module, "inverse_from", torch.cholesky_inverse)
    optimizer = import_module("torch.optim.optimizer")
    monkeypatch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: ["cpu", DEVICE.type])
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", second_device.record)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: None)
    monkeypatch.setattr(cuda_graph.GraphedStep, "_warm_up", lambda step, function, inputs: function(*inputs))
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
    noise = ["aten._to_copy.default, not waited for"]
    assert crossings == 12 * [noise]


@pytest.mark.usefixtures("elsewhere")
def test_a_step_that_cannot_be_recorded_is_made_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    here = torch.arange(3.0)
    step = cuda_graph.GraphedStep(recorded=True)
    for _ in range(6):
        assert step(lambda tensor: tensor + here.to(tensor), here.to(DEVICE)).tolist() == [0, 2, 4]
    assert not step.recorded
    assert caplog.text.count("not recorded as a CUDA graph") == 1
    assert Graph.replays == 0


def test_a_stage_is_gone_with_its_images_when_nobody_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    disc, sphere = half_disc(7), half_sphere(7)
    images = torch.randn(8, disc.size, dtype=torch.complex64, generator=generator)
    rotation = random_rotations(8, generator).float()
    data = spectra.Spectra(disc, images, torch.ones(8, disc.size), rotation)
    volumes, ones = torch.randn(sphere.size, 3, 2, generator=generator), torch.ones(16, 16, 16)
    model = LinearModel(volumes, sphere, torch.full((3, 8), 0.5), torch.ones(3), ones)
    stage = variational.VariationalStage(
        CONFIG, model, 0.1, data, ones, torch.arange(8), torch.arange(0), generator
    )
    list(stage.epoch())
    gone = weakref.ref(stage)
    gc.disable()
    try:
        del stage
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(("size", "fit"), [(299, True), (301, False)])
def test_images_fit_in_a_third_of_what_is_free(size: int, fit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (700, 2000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 500)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 300)
    assert streaming.fits(size, torch.device("cuda")) is fit
    assert streaming.fits(size, torch.device("cpu"))


def test_small_matrices_are_inverted_elsewhere_as_here() -> None:
    half = torch.randn(5, 4, 4, generator=torch.Generator().manual_seed(0))
    factor = torch.linalg.cholesky(half @ half.mT + torch.eye(4))
    with SecondDevice():
        found = posterior.inverse_from(factor.to(DEVICE)).cpu()
    torch.testing.assert_close(found, torch.cholesky_inverse(factor))
