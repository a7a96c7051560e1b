"""How epochs end a training: by a loss that is no number, or by left-out particles that fit worse."""

from dataclasses import replace

import pytest

from napari_sbackprop.config import Config
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.progress import TrainingError
from napari_sbackprop.training.trainer import train

CONFIG = Config(latent_size=3, basis_size=4, batch_size=64, threads=2, device="cpu", epochs=2)
PAPER = replace(CONFIG, recipe="paper", resolution=30.0)


def test_a_diverging_loss_stops_with_a_sentence(small_set, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_sbackprop.training.paper._LEARNING_RATE", 1e30)
    run, star = tmp_path / "run", small_set / "particles.star"
    with pytest.raises(
        TrainingError, match="no epoch is finished; begin again with a smaller --learning-rate"
    ):
        list(train(star, run, PAPER))
    assert not run.exists()  # so that the same command works with the option mended
    monkeypatch.setattr("napari_sbackprop.training.variational._LEARNING_RATE", 1e30)
    with pytest.raises(TrainingError, match="is kept; go on with a smaller --learning-rate"):
        list(train(star, run, CONFIG))
    assert len(RunDirectory(run).epochs()) > 1


def test_training_ends_when_left_out_particles_fit_worse(tmp_path):
    star = simulate(tmp_path / "set", states=4, particles=400, box=36, pixel_size=8.0, snr=0.05, seed=3)
    config = replace(CONFIG, epochs=40, held_out=0.2, basis_size=12)  # more than these images tell
    records = list(train(star, tmp_path / "run", config))
    kept = [record for record in records if record.epoch and "VAE" in record.stage]
    denied = [record for record in records if "not kept" in record.stage]
    assert 0 < len(kept) < 30
    assert len(denied) >= 2
    assert records[-1] is denied[-1]
    assert records[-1].fraction == 1
    likelihood = [record.metrics["held_out_likelihood"] for record in kept]
    assert likelihood == sorted(likelihood)
    assert all(record.metrics["held_out_likelihood"] < likelihood[-1] for record in denied[-2:])
    _, again = train(star, tmp_path / "run", config, resume=True)
    assert again.stage.startswith(
        f"ended at epoch {kept[-1].epoch}, after which the left-out particles fitted worse"
    )
    assert again.stage.endswith("ask for more than 40 epochs to go on")
    assert again.epoch is None
    assert again.fraction == 1
    stages = [
        record.stage for record in train(star, tmp_path / "run", replace(config, epochs=41), resume=True)
    ]
    assert any(f"VAE, epoch {len(kept) + len(denied) + 1} of 41" in stage for stage in stages)
    assert not any(f"VAE, epoch {len(kept) + len(denied)} of 41" in stage for stage in stages)


def test_the_closed_form_stays_where_the_auto_encoder_explains_left_out_particles_worse(small_set, tmp_path):
    config = replace(CONFIG, epochs=4, kl_weight=3000.0)  # latents are to say nothing
    records = list(train(small_set / "particles.star", tmp_path / "run", config))
    run = RunDirectory(tmp_path / "run")
    assert run.read_description(run.latest_epoch())["stage"].startswith("closed-form start")
    assert [record.stage for record in records if "not kept" in record.stage] == [
        f"VAE, epoch {number} of 4: not kept, the left-out particles fit worse" for number in (1, 2)
    ]
    _, again = train(small_set / "particles.star", run.path, config, resume=True)
    assert again.stage.startswith("ended at epoch")
