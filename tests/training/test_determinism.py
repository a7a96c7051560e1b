"""Sums in one order, where a training asks for them."""

from dataclasses import replace

import pytest
import torch

from napari_sbackprop.config import Config
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.trainer import train

ASKED = Config(latent_size=3, basis_size=4, epochs=0, threads=2, device="cpu", deterministic=True)


def test_sums_in_one_order_are_asked_of_torch_while_a_training_runs(small_set, tmp_path):
    states = [
        torch.are_deterministic_algorithms_enabled()
        for _ in train(small_set / "particles.star", tmp_path / "run", ASKED)
    ]
    assert all(states)
    assert not torch.are_deterministic_algorithms_enabled()


def test_who_asked_of_torch_strictly_is_obeyed_strictly(small_set, tmp_path):
    torch.use_deterministic_algorithms(True)
    try:
        for _ in train(small_set / "particles.star", tmp_path / "run", ASKED):
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("recipe", ["default", "paper"])
def test_runs_with_different_threads_are_equal_to_the_last_bit(recipe, small_set, tmp_path):
    models = []
    for threads in (1, 2, 3):
        run = tmp_path / str(threads)
        config = replace(ASKED, recipe=recipe, epochs=2, threads=threads, batch_size=100)
        assert all(torch.get_num_threads() == 1 for _ in train(small_set / "particles.star", run, config))
        assert torch.get_num_threads() == threads
        directory = RunDirectory(run)
        models.append(directory.read_model(directory.latest_epoch()))
    for other in models[1:]:
        for name, tensor in models[0].items():
            assert torch.equal(tensor, other[name]), name
