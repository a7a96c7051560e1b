"""A run on optics groups of two scales: what training measured of them holds wherever they are read again."""

import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import starfile
import torch
from two_scales import COUNT, SCALES, simulate_two_scales

from napari_sbackprop.config import Config
from napari_sbackprop.data.mrc import open_stack, write_stack
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.fourier import disc_to_images, images_to_disc
from napari_sbackprop.imaging.grids import half_disc
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.encoding import encode
from napari_sbackprop.training.half_maps import half_maps
from napari_sbackprop.training.progress import finished
from napari_sbackprop.training.trainer import train

FIRST, SECOND = np.arange(COUNT), COUNT + np.arange(COUNT)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run whose second group shows the particle half as strongly as the first."""
    folder = tmp_path_factory.mktemp("scales")
    star = simulate_two_scales(folder, states=2, snr=(2.0, 0.5))
    config = Config(
        latent_size=2, basis_size=2, epochs=1, batch_size=64, held_out=0.0, threads=1, device="cpu"
    )
    list(train(star, folder / "run", config))
    return RunDirectory(folder / "run")


def star_of(run: RunDirectory, rows: npt.NDArray[np.int64], name: str) -> Path:
    """Some rows of the run's particles as a file of their own, with the optics groups that they need."""
    tables = starfile.read(run.source)
    particles = tables["particles"].iloc[rows]
    used = tables["optics"]["rlnOpticsGroup"].isin(particles["rlnOpticsGroup"])
    path = run.source.parent / name
    starfile.write({"optics": tables["optics"][used], "particles": particles}, path, overwrite=True)
    return path


def latents_of(run: RunDirectory) -> npt.NDArray[np.float32]:
    return run.read_latents(run.latest_epoch()).mean


def contrasts_of(run: RunDirectory) -> list[dict[str, float]]:
    contrasts: list[dict[str, float]] = run.read_description(run.latest_epoch())["group_contrasts"]
    return contrasts


def test_contrasts_are_published_with_their_scales(run: RunDirectory) -> None:
    contrasts = contrasts_of(run)
    assert [(item["box"], item["pixel_size"]) for item in contrasts] == list(SCALES)
    first, second = (item["contrast"] for item in contrasts)
    assert (first + second) / 2 == pytest.approx(1)
    # A ratio of whole images; wider images, here the second group's, have more signal by 9 %.
    assert second / first == pytest.approx(1.09 / 2, rel=0.1)


@pytest.mark.parametrize("rows", [FIRST, SECOND])
def test_particles_of_one_group_get_the_latents_of_the_run(
    run: RunDirectory, rows: npt.NDArray[np.int64]
) -> None:
    latents = encode(run.path, star_of(run, rows, "group.star"))
    expected = latents_of(run)[rows]
    np.testing.assert_allclose(latents.mean, expected, atol=5e-3 * np.abs(expected).max())


def test_shares_of_the_groups_do_not_matter(run: RunDirectory) -> None:
    rows = np.concatenate([FIRST[:30], SECOND])
    latents, expected = encode(run.path, star_of(run, rows, "shares.star")), latents_of(run)[rows]
    # The noise of the first group is measured on a tenth of its images.
    np.testing.assert_allclose(latents.mean, expected, atol=0.05 * np.abs(expected).max())
    np.testing.assert_allclose(latents.mean[30:], expected[30:], atol=5e-3 * np.abs(expected).max())


def test_runs_without_stored_contrasts_measure_them(run: RunDirectory, tmp_path: Path) -> None:
    older = RunDirectory(shutil.copytree(run.path, tmp_path / "older"))
    path = older.epoch_path(older.latest_epoch()) / "epoch.json"
    description = json.loads(path.read_text())
    del description["group_contrasts"]
    path.write_text(json.dumps(description))
    latents, expected = encode(older.path, run.source).mean, latents_of(run)
    np.testing.assert_allclose(latents, expected, atol=0.05 * np.abs(expected).max())
    assert finished(half_maps(older, SECOND)).counts == (150, 150)


def test_half_maps_of_both_groups_are_equally_strong(run: RunDirectory) -> None:
    first, second = (finished(half_maps(run, rows)).first for rows in (FIRST, SECOND))
    assert np.vdot(first, second) / np.vdot(first, first) == pytest.approx(1, abs=0.1)


def resampled(run: RunDirectory, box: int, pixel_size: float, noise: float) -> Path:
    """The first group's images cropped to a smaller box in Fourier space, with more noise."""
    source = run.source.parent / "set1" / "particles.mrcs"
    disc = half_disc(box // 2 - 1)
    values = images_to_disc(torch.from_numpy(np.array(open_stack(source))), disc)
    images = disc_to_images(values, disc, box).numpy()
    images += np.random.default_rng(0).normal(scale=noise, size=images.shape).astype(np.float32)
    write_stack(run.source.parent / "small.mrcs", images, pixel_size, overwrite=True)
    path = star_of(run, FIRST, "small.star")
    tables = starfile.read(path)
    optics, particles = tables["optics"], tables["particles"]
    optics["rlnImageSize"], optics["rlnImagePixelSize"] = box, pixel_size
    particles["rlnImageName"] = [f"{row + 1}@small.mrcs" for row in FIRST]
    starfile.write({"optics": optics, "particles": particles}, path, overwrite=True)
    return path


def test_contrasts_of_unknown_groups_are_measured(run: RunDirectory) -> None:
    clean, noisy = (encode(run.path, resampled(run, 32, 8.25, noise)) for noise in (1e-3, 1.0))
    own = run.read_latents(run.latest_epoch())
    expected = own.mean[FIRST]
    for latents, least in ((clean, 0.97), (noisy, 0.9)):
        assert latents.contrast.mean() == pytest.approx(own.contrast[FIRST].mean(), rel=0.03)
        spread = [
            np.corrcoef(latents.mean[:, axis], expected[:, axis])[0, 1] for axis in range(expected.shape[1])
        ]
        assert max(spread) > least


def test_images_wider_than_the_map_are_refused(run: RunDirectory) -> None:
    path = star_of(run, SECOND, "wide.star")
    tables = starfile.read(path)
    tables["optics"]["rlnImagePixelSize"] = 9.0
    starfile.write(tables, path, overwrite=True)
    sentence = r"wide\.star: the images of optics group simulated are 324 Å wide, but the map .* only 288 Å"
    with pytest.raises(InputError, match=sentence):
        encode(run.path, path)


def test_the_papers_recipe_refuses_another_scale(small_set: Path, tmp_path: Path) -> None:
    config = Config(recipe="paper", epochs=1, latent_size=2, resolution=40, threads=1, device="cpu")
    list(train(small_set / "particles.star", tmp_path / "run", config))
    path = small_set / "other.star"
    tables = starfile.read(small_set / "particles.star")
    tables["optics"]["rlnImagePixelSize"] = 7.0
    starfile.write(tables, path, overwrite=True)
    with pytest.raises(InputError, match=r"36 px at 7 Å, but .* recipe that knows one scale: rescale"):
        encode(tmp_path / "run", path)
