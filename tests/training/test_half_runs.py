"""Halves trained apart: both find a real motion, and neither what the other took for one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_sbackprop.analysis.half_models import HalfAgreement, HalfModel, compare_models
from napari_sbackprop.analysis.reconstruction import Decoder
from napari_sbackprop.config import Config
from napari_sbackprop.data.mrc import write_volume
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.half_runs import HALVES, encode_by_halves, half_sets, train_halves
from napari_sbackprop.training.trainer import train

OPTIONS = Config(latent_size=3, basis_size=3, epochs=0, held_out=0.0, threads=2, device="cpu")


def halved(star: Path, folder: Path) -> tuple[Decoder, list[HalfModel]]:
    """A run on some particles, and two on its halves."""
    folder.mkdir()
    for _ in train(star, folder / "run", OPTIONS):
        pass
    run = RunDirectory(folder / "run")
    decoder, sets = Decoder.open(run), half_sets(run)
    assert sorted(np.concatenate(sets).tolist()) == list(range(len(decoder.latents.mean)))
    write_volume(folder / "mask.mrc", decoder.mask(), decoder.pixel_size)
    for _ in train_halves(run, sets, folder / "mask.mrc", folder):
        pass
    means = encode_by_halves(run, folder)
    opened = [Decoder.open(RunDirectory(folder / name)) for name in HALVES]
    return decoder, [HalfModel(*parts) for parts in zip(opened, means, sets, strict=True)]


def compared(decoder: Decoder, models: list[HalfModel], chosen: np.ndarray) -> dict[str, HalfAgreement]:
    return {item.name: item for item in compare_models(models, decoder.latents.mean, chosen)}


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def test_both_halves_find_a_motion(small_set: Path, tmp_path: Path) -> None:
    decoder, models = halved(small_set / "particles.star", tmp_path / "halves")
    truth = Truth.open(small_set / "truth")
    state = np.flatnonzero((truth.labels == 0) & (truth.subunit == 1))
    found = compared(decoder, models, state)
    assert list(found) == [
        "consensus",
        *(f"direction_{k}" for k in range(1, decoder.latent_size + 1)),
        "selection",
    ]
    assert found["consensus"].resolution == pytest.approx(2 * 8 * 18 / 17)  # 36 px of 8 Å, the last shell
    first = found["direction_1"]
    assert first.explained > 0.7
    assert first.fsc > 0.4
    assert found["selection"].fsc > 0.4
    spread = decoder.latents.mean[:, 0].std()
    for change in first.maps:  # of either half, with the sign and about the size that the run has
        along = spread * decoder.basis_volume(1)
        assert likeness(change, along) > 0.7
        assert 0.5 < np.linalg.norm(change) / np.linalg.norm(along) < 1.5
    whole = truth.states[0] - truth.states.mean(0)
    for change in found["selection"].maps:
        assert likeness(change * truth.region, whole * truth.region) > 0.5


def test_halves_do_not_agree_on_noise(tmp_path: Path) -> None:
    simulate(
        tmp_path / "set", states=1, particles=400, box=36, pixel_size=8.0, snr=0.1, seed=5, subunit_share=1.0
    )
    decoder, models = halved(tmp_path / "set" / "particles.star", tmp_path / "halves")
    latent = decoder.latents.mean[:, 0]
    found = compared(decoder, models, np.flatnonzero(latent > np.quantile(latent, 0.75)))
    assert found["consensus"].fsc > 0.7
    for name in sorted(set(found) - {"consensus"}):
        assert found[name].fsc < 0.3
    assert max(found[f"direction_{k}"].explained for k in range(1, decoder.latent_size + 1)) < 0.1


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
    write_volume(tmp_path / "mask.mrc", decoder.mask(), decoder.pixel_size)
    list(train_halves(run, sets, tmp_path / "mask.mrc", tmp_path))
    for name, rows in zip(HALVES, sets, strict=True):
        half = RunDirectory(tmp_path / name)
        assert half.changed_file() is None
        assert half.config.mask == tmp_path / "mask.mrc"
        assert len(half.read_latents(half.latest_epoch()).mean) == len(rows)
        # Its own halves can be had in turn: the images are found from where the first run's file is.
        assert len(np.concatenate(half_sets(half))) == len(rows)
    star.write_text("data_\n")
    with pytest.raises(InputError, match=r"particles\.star is gone or has changed"):
        half_sets(run)
