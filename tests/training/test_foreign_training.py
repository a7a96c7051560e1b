"""Runs that are started from the files of other programs."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from foreign_files import cryosparc_rows, save_rows

from napari_sbackprop.config import Config
from napari_sbackprop.data.mrc import open_stack, write_stack
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.encoding import encode
from napari_sbackprop.training.half_maps import half_maps
from napari_sbackprop.training.progress import finished
from napari_sbackprop.training.trainer import train

START = Config(latent_size=3, basis_size=4, epochs=0, threads=1, device="cpu")


@pytest.fixture(scope="module")
def from_star(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    run = tmp_path_factory.mktemp("star") / "run"
    list(train(small_set / "particles.star", run, START))
    return RunDirectory(run)


@pytest.fixture(scope="module")
def from_cryosparc(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run on the same particles, dark in their images, from a job of a cryoSPARC project."""
    folder = tmp_path_factory.mktemp("cryosparc")
    images = open_stack(small_set / "particles.mrcs")
    write_stack(folder / "particles.mrcs", -np.asarray(images), 8.0)
    rows = cryosparc_rows(small_set / "particles.star", blob_sign=np.full(len(images), -1, np.float32))
    list(train(save_rows(folder / "J2" / "J2_particles.cs", rows), folder / "run", START))
    return RunDirectory(folder / "run")


def test_the_same_particles_give_the_same_latents(
    from_star: RunDirectory, from_cryosparc: RunDirectory
) -> None:
    ours, theirs = (run.read_latents(run.latest_epoch()) for run in (from_cryosparc, from_star))
    np.testing.assert_allclose(ours.mean, theirs.mean, atol=2e-3 * np.abs(theirs.mean).max())
    np.testing.assert_allclose(ours.contrast, theirs.contrast, atol=2e-3)


def test_images_that_moved_are_encoded(
    from_star: RunDirectory, from_cryosparc: RunDirectory, tmp_path: Path
) -> None:
    folder = from_cryosparc.source.parents[1]
    star = from_star.path / "particles.star"  # names particles.mrcs, which is not there
    with pytest.raises(InputError, match="Add --path-map"):
        encode(from_cryosparc.path, star)
    shutil.copytree(folder / "J2", tmp_path / "J2")
    moved = encode(from_star.path, tmp_path / "J2" / "J2_particles.cs", path_map=((".", str(folder)),))
    np.testing.assert_array_equal(moved.mean, encode(from_star.path, from_cryosparc.source).mean)


def test_a_run_keeps_its_files(from_cryosparc: RunDirectory) -> None:
    assert list(from_cryosparc.files) == ["particles.cs"]
    assert from_cryosparc.source.name == "J2_particles.cs"
    assert (from_cryosparc.path / "particles.cs").read_bytes() == from_cryosparc.source.read_bytes()


def test_the_images_are_found_again(from_star: RunDirectory, from_cryosparc: RunDirectory) -> None:
    chosen = np.arange(60)
    ours, theirs = (finished(half_maps(run, chosen)) for run in (from_cryosparc, from_star))
    assert ours.counts == theirs.counts
    np.testing.assert_allclose(ours.first, theirs.first, atol=2e-3 * theirs.first.max())
    latents = encode(from_star.path, from_cryosparc.source).mean
    expected = from_star.read_latents(from_star.latest_epoch()).mean
    np.testing.assert_allclose(latents, expected, atol=2e-2 * np.abs(expected).max())


def test_a_run_goes_on_by_its_group_file(from_cryosparc: RunDirectory, tmp_path: Path) -> None:
    run = shutil.copytree(from_cryosparc.path, tmp_path / "run")
    group = from_cryosparc.source.with_suffix(".csg")
    group.write_text(f"results:\n  alignments3D:\n    metafile: '>{from_cryosparc.source.name}'\n")
    list(train(group, run, replace(START, epochs=1), resume=True))
    assert RunDirectory(run).latest_epoch() == from_cryosparc.latest_epoch() + 1


def test_a_changed_file_is_neither_resumed_nor_read(from_cryosparc: RunDirectory, tmp_path: Path) -> None:
    run = RunDirectory(shutil.copytree(from_cryosparc.path, tmp_path / "run"))
    other = save_rows(tmp_path / "other.cs", np.load(run.source)[1:])
    with pytest.raises(InputError, match=r"other\.cs is not, or no longer, the file"):
        next(iter(train(other, run.path, START, resume=True)))
    (run.path / "particles.cs").write_bytes(other.read_bytes())
    with pytest.raises(InputError, match=r"J2_particles\.cs is gone or has changed"):
        next(half_maps(run, np.arange(60)))
