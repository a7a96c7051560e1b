"""Ways to train on a GPU: by a recorded step, without it, and with images in main memory."""

from pathlib import Path

import pytest
import torch

from napari_sbackprop.config import Config
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training import spectra
from napari_sbackprop.training.cuda_graph import GraphedStep
from napari_sbackprop.training.trainer import train

CONFIG = Config(latent_size=3, basis_size=4, epochs=2, batch_size=64, device="cuda", deterministic=True)


def trained(star: Path, run: Path) -> dict[str, torch.Tensor]:
    for _ in train(star, run, CONFIG):
        pass
    return RunDirectory(run).read_model(RunDirectory(run).latest_epoch())


@pytest.mark.cuda
@pytest.mark.parametrize("way", ["not recorded", "streamed"])
def test_ways_to_train_on_a_gpu_come_to_the_same_bits(
    way: str, small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    expected = trained(small_set / "particles.star", tmp_path / "recorded")
    if way == "streamed":
        monkeypatch.setattr(spectra, "fits", lambda size, device: False)
    else:
        monkeypatch.setattr(GraphedStep, "__call__", lambda step, function, *inputs: function(*inputs))
    found = trained(small_set / "particles.star", tmp_path / "other")
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
