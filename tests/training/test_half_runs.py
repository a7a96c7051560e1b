"""Halves trained apart: both find a real motion, and neither what the other took for one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_sbackprop.analysis.half_models import HalfAgreement, Model, compare_models
from napari_sbackprop.analysis.reconstruction import Decoder
from napari_sbackprop.config import Config
from napari_sbackprop.data.mrc import write_volume
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.half_runs import HALVES, MASK, encode_by_halves, half_sets, train_halves
from napari_sbackprop.training.trainer import train

OPTIONS = Config(latent_size=3, basis_size=3, epochs=0, held_out=0.0, threads=2, device="cpu")


def halved(star: Path, folder: Path, options: Config = OPTIONS) -> tuple[Model, list[Model]]:
    """A run on some particles, and two on its halves."""
    folder.mkdir()
    for _ in train(star, folder / "run", options):
        pass
    run = RunDirectory(folder / "run")
    decoder, sets = Decoder.open(run), half_sets(run)
    assert sorted(np.concatenate(sets).tolist()) == list(range(len(decoder.latents.mean)))
    write_volume(folder / MASK, decoder.mask(), decoder.pixel_size)
    for _ in train_halves(run, sets, folder):
        pass
    opened = [Decoder.open(RunDirectory(folder / name)) for name in HALVES]
    halves = [Model.of(*pair) for pair in zip(opened, encode_by_halves(run, folder), strict=True)]
    return Model.of(decoder, decoder.latents.mean), halves


def compared(run: Model, halves: list[Model], chosen: np.ndarray) -> dict[str, HalfAgreement]:
    return {item.name: item for item in compare_models(run, halves, chosen)}


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def test_both_halves_find_a_motion(small_set: Path, tmp_path: Path) -> None:
    run, halves = halved(small_set / "particles.star", tmp_path / "halves")
    truth = Truth.open(small_set / "truth")
    state = np.flatnonzero((truth.labels == 0) & (truth.subunit == 1))
    found = compared(run, halves, state)
    size = run.decoder.latent_size
    assert list(found) == ["consensus", *(f"direction_{k}" for k in range(1, size + 1)), "selection"]
    assert found["consensus"].resolution == pytest.approx(2 * 8 * 18 / 17)  # 36 px of 8 Å, the last shell
    first = found["direction_1"]
    assert first.shown > 0.4
    assert first.fsc > 0.4
    assert found["selection"].shown > 0.3
    along = run.decoder.latents.mean[:, 0].std() * run.decoder.basis_volume(1)
    for change in first.maps:  # of either half, with the sign and about the size that the run has
        assert likeness(change, along) > 0.7
        assert 0.5 < np.linalg.norm(change) / np.linalg.norm(along) < 1.5
    whole = truth.states[0] - truth.states.mean(0)
    for change in found["selection"].maps:
        assert likeness(change * truth.region, whole * truth.region) > 0.5
    assert found["selection"].size > 0.7
    sizes = [
        compared(run, halves, np.random.default_rng(seed).permutation(400)[:100])["selection"].size
        for seed in range(8)
    ]
    assert 0.04 < np.sqrt(np.mean(np.square(sizes))) < 0.2  # 0.1, and less for a quarter of all


@pytest.mark.parametrize("seed", [5, 14])
def test_halves_do_not_agree_on_noise(tmp_path: Path, seed: int) -> None:
    sample = {"states": 1, "particles": 500, "box": 36, "pixel_size": 8.0, "snr": 0.1, "subunit_share": 1.0}
    simulate(tmp_path / "set", seed=seed, **sample)
    run, halves = halved(tmp_path / "set" / "particles.star", tmp_path / "halves")
    latent = run.decoder.latents.mean[:, 0]
    found = compared(run, halves, np.flatnonzero(latent > np.quantile(latent, 0.75)))
    assert found["consensus"].fsc > 0.7
    for name in sorted(set(found) - {"consensus"}):
        assert abs(found[name].shown) < 0.05
        assert found[name].fsc < 0.35


def test_halves_begin_and_end_apart(small_set: Path, tmp_path: Path) -> None:
    """Neither a seed, nor a reference map, nor copies of an image are in both."""
    rows = (small_set / "particles.star").read_text().splitlines(keepends=True)
    twice = [copy for row in rows for copy in [row] * (2 if ".mrcs" in row else 1)]
    (tmp_path / "particles.mrcs").symlink_to(small_set / "particles.mrcs")
    (tmp_path / "twice.star").write_text("".join(twice))
    options = replace(OPTIONS, reference=small_set / "truth" / "state_00.mrc")
    halved(tmp_path / "twice.star", tmp_path / "halves", options)
    configs = [RunDirectory(tmp_path / "halves" / name).config for name in HALVES]
    assert configs[0].seed != configs[1].seed
    assert [config.reference for config in configs] == [None, None]
    images = [set(image_names(tmp_path / "halves" / f"{name}.star")) for name in HALVES]
    assert not images[0] & images[1]
    assert len(images[0]) == len(images[1]) == 200


def image_names(star: Path) -> list[str]:
    return [word for word in star.read_text().split() if ".mrcs" in word]


def test_too_few_particles_for_two_halves_are_refused(small_set: Path, tmp_path: Path) -> None:
    rows = (small_set / "particles.star").read_text().splitlines(keepends=True)
    first = next(number for number, row in enumerate(rows) if ".mrcs" in row)
    (tmp_path / "particles.mrcs").symlink_to(small_set / "particles.mrcs")
    (tmp_path / "few.star").write_text("".join(rows[: first + 12]))
    for _ in train(tmp_path / "few.star", tmp_path / "run", OPTIONS):
        pass
    with pytest.raises(InputError, match=r"run has 12 particles and a half of 6, .* at least 8 in each"):
        half_sets(RunDirectory(tmp_path / "run"))


def test_half_runs_are_runs_of_their_own(small_set: Path, tmp_path: Path) -> None:
    star = tmp_path / "project" / "Refine" / "job001" / "particles.star"
    star.parent.mkdir(parents=True)
    (star.parents[2] / "particles.mrcs").symlink_to(small_set / "particles.mrcs")
    star.write_bytes((small_set / "particles.star").read_bytes())
    for _ in train(star, tmp_path / "run", replace(OPTIONS, latent_size=1)):
        pass
    run = RunDirectory(tmp_path / "run")
    sets = half_sets(run)
    decoder = Decoder.open(run)
    write_volume(tmp_path / MASK, decoder.mask(), decoder.pixel_size)
    list(train_halves(run, sets, tmp_path))
    for name, rows in zip(HALVES, sets, strict=True):
        half = RunDirectory(tmp_path / name)
        assert half.changed_file() is None
        assert half.config.mask == tmp_path / MASK
        assert len(half.read_latents(half.latest_epoch()).mean) == len(rows)
        # Its own halves can be had in turn: the images are found from where the first run's file is.
        assert len(np.concatenate(half_sets(half))) == len(rows)
    star.write_text("data_\n")
    with pytest.raises(InputError, match=r"particles\.star is gone or has changed"):
        half_sets(run)
