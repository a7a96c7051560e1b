"""Back-projection of a selection, against the true maps."""

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_sbackprop.config import Config
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.shells import fourier_shell_correlation
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.half_maps import HalfMaps, half_maps


@pytest.fixture
def run(small_set: Path, tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", small_set / "particles.star", Config(), {})


def finished(run: RunDirectory, indices: np.ndarray) -> HalfMaps:
    work = half_maps(run, indices)
    done = []
    while True:
        try:
            done.append(next(work))
        except StopIteration as end:
            assert done == sorted(done)
            assert done[-1] == len(indices)
            return end.value


def test_half_maps_of_a_state_show_that_state(run, small_set):
    truth = Truth.open(small_set / "truth")
    members = {state: np.flatnonzero(truth.labels == state) for state in (0, 3)}
    masked = {state: torch.from_numpy(truth.states[state] * truth.region) for state in members}
    for state, other in ((0, 3), (3, 0)):
        halves = finished(run, members[state])
        assert sum(halves.counts) == len(members[state])
        for half in (halves.first, halves.second):
            inside = torch.from_numpy(half * truth.region)
            right = fourier_shell_correlation(inside, masked[state])[1:10].mean()
            wrong = fourier_shell_correlation(inside, masked[other])[1:10].mean()
            assert right > 0.8
            assert right > wrong + 0.05
        scale = np.vdot(halves.first, truth.states[state]) / np.vdot(truth.states[state], truth.states[state])
        assert scale > 0  # the molecule is positive


def test_half_maps_have_no_particle_in_common(run):
    halves = finished(run, np.arange(200))
    again = finished(run, np.arange(200))
    np.testing.assert_array_equal(halves.first, again.first)
    noise = torch.from_numpy(halves.first), torch.from_numpy(halves.second)
    assert fourier_shell_correlation(*noise)[-3:].mean() < 0.5  # shared particles would give 1


def test_too_few_particles_are_refused(run):
    with pytest.raises(InputError, match="at least 20 particles, but 3"):
        next(half_maps(run, np.arange(3)))


def test_a_star_file_that_changed_is_refused(run, small_set, tmp_path):
    star = tmp_path / "moved.star"
    star.write_bytes((small_set / "particles.star").read_bytes())
    moved = RunDirectory.create(tmp_path / "other", star, Config(), {})
    star.write_text(star.read_text() + "# edited\n")
    with pytest.raises(InputError, match="changed since"):
        next(half_maps(moved, np.arange(50)))
    star.unlink()
    with pytest.raises(InputError, match="is gone"):
        next(half_maps(moved, np.arange(50)))
