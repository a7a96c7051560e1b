"""Whole trainings on a small simulated set: progress, epochs, stopping, resuming, encoding."""

import csv
import json
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from napari_sbackprop.analysis.reconstruction import Decoder
from napari_sbackprop.analysis.validation import knn_state_accuracy
from napari_sbackprop.config import Config
from napari_sbackprop.data.simulation import draw_particles, simulate
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.encoding import encode
from napari_sbackprop.training.half_maps import half_maps
from napari_sbackprop.training.progress import finished
from napari_sbackprop.training.run_particles import run_particles
from napari_sbackprop.training.session import Session
from napari_sbackprop.training.trainer import train

SMALL = {"latent_size": 3, "basis_size": 4, "batch_size": 64, "threads": 2, "device": "cpu"}
RECIPES = {
    "default": Config(epochs=2, **SMALL),
    "paper": Config(recipe="paper", epochs=2, resolution=30.0, **SMALL),
}


@pytest.fixture(scope="module", params=RECIPES)
def trained(request, small_set: Path, tmp_path_factory) -> tuple[str, Path, list]:
    """Recipe, run directory and progress records of a finished training."""
    run = tmp_path_factory.mktemp("trained") / "run"
    records = list(train(small_set / "particles.star", run, RECIPES[request.param]))
    return request.param, run, records


def latents_and_volumes(run: Path) -> tuple[np.ndarray, np.ndarray]:
    directory = RunDirectory(run)
    epoch = directory.latest_epoch()
    return directory.read_latents(epoch).mean, directory.read_model(epoch)["basis.volumes"].numpy()


def test_progress_grows_to_the_end_and_names_every_epoch(trained):
    _, run, records = trained
    fractions = [record.fraction for record in records]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert [record.epoch for record in records if record.epoch] == RunDirectory(run).epochs()
    assert all(record.particles_per_second > 0 for record in records if record.epoch)


def test_the_time_left_follows_the_epochs(small_set, tmp_path):
    stop, times = threading.Event(), []
    config = Config(epochs=1000, held_out=0.0, **SMALL)
    for record in train(small_set / "particles.star", tmp_path / "run", config, stop):
        if record.stage.startswith("VAE"):
            times.append(time.monotonic())
        if record.stage.startswith("VAE, epoch 6 "):
            stop.set()
        if record.stage.startswith("VAE, epoch 5 ") and record.epoch:
            newest, passed = record, times[-1] - times[0]
    assert 0.3 < newest.seconds_left / (995 / 5 * passed) < 3


def test_run_directory_holds_what_it_promises(trained, small_set):
    recipe, run, _ = trained
    directory = RunDirectory(run)
    assert directory.star_path.read_bytes() == (small_set / "particles.star").read_bytes()
    assert directory.config == RECIPES[recipe]
    assert json.loads(directory.config_path.read_text())["versions"]["torch"]
    with directory.metrics_path.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == directory.epochs()
    assert not [path for path in run.rglob("*") if path.name.startswith(".")]
    assert "epoch" in directory.log_path.read_text()
    latents = directory.read_latents(directory.latest_epoch())
    size = directory.read_description(latents.epoch)["latent_size"]
    assert latents.mean.shape == latents.log_variance.shape == (400, size)
    assert latents.information.shape == (400, size, size)
    assert size == 3 if recipe == "paper" else 1 <= size <= 3


def test_directions_that_hold_nothing_are_dropped(small_set, tmp_path):
    config = replace(RECIPES["default"], latent_size=10, basis_size=10, epochs=0)
    for _ in train(small_set / "particles.star", tmp_path / "run", config):
        pass
    run = RunDirectory(tmp_path / "run")
    sizes = [run.read_latents(epoch).mean.shape[1] for epoch in run.epochs()]
    assert sizes[0] == 10
    assert 1 <= sizes[-1] <= 5  # one motion and one subunit
    assert run.read_model(run.latest_epoch())["basis.volumes"].shape[1] == sizes[-1] + 1
    assert "is empty: a larger one" not in run.log_path.read_text()


def test_a_latent_space_without_room_for_all_that_is_found_says_so(small_set, tmp_path):
    config = replace(RECIPES["default"], latent_size=2, basis_size=2, epochs=0)
    run, says = tmp_path / "run", "none of the 2 directions of the latent space is empty"
    for resume in (False, True):
        for _ in train(small_set / "particles.star", run, config, resume=resume):
            pass
        assert RunDirectory(run).log_path.read_text().count(says) == 1


def test_the_default_recipe_tells_states_apart(small_set, trained):
    recipe, run, _ = trained
    if recipe == "paper":
        pytest.skip("two epochs of the paper's recipe learn nothing about states")
    labels = np.load(small_set / "truth" / "labels.npy")
    latents, _ = latents_and_volumes(run)
    accuracy = knn_state_accuracy(latents, labels)
    assert accuracy.within_one > 0.85
    shuffled = knn_state_accuracy(np.random.default_rng(0).permutation(latents), labels)
    assert shuffled.within_one < 0.75


def test_contrast_tells_particles_from_junk(small_set, tmp_path):
    with mrcfile.open(small_set / "particles.mrcs") as file:
        images = np.array(file.data)
    random = np.random.default_rng(4)
    noise, wrong = np.split(
        random.permutation(len(images))[:160], 2
    )  # two fifths of all, as in the paper's 5.2
    images[noise] = random.standard_normal(images[noise].shape)
    images[wrong] = images[random.permutation(wrong)].transpose(0, 2, 1)  # the mirror image of another view
    shutil.copy(small_set / "particles.star", tmp_path)
    with mrcfile.new(tmp_path / "particles.mrcs") as file:
        file.set_data(images)
        file.voxel_size = 8.0
        file.set_image_stack()
    for _ in train(tmp_path / "particles.star", tmp_path / "run", replace(RECIPES["default"], epochs=1)):
        pass
    run = RunDirectory(tmp_path / "run")
    for epoch in run.epochs():
        contrast = run.read_latents(epoch).contrast
        good = np.setdiff1d(np.arange(len(images)), np.concatenate([noise, wrong]))
        for junk in (noise, wrong):
            assert (contrast[good][:, None] > contrast[junk]).mean() > 0.98  # area under the ROC curve


def test_images_of_uneven_contrast_have_their_own_scales(tmp_path):
    options = {"states": 4, "particles": 400, "box": 36, "pixel_size": 8.0, "snr": 0.5, "seed": 3}
    star = simulate(tmp_path / "set", contrast_sd=0.3, **options)
    finished(train(star, tmp_path / "run", RECIPES["default"]))
    run = RunDirectory(tmp_path / "run")
    latents = run.read_latents(run.latest_epoch())
    truth = draw_particles(400, 4, seed=3, contrast_sd=0.3).contrast
    assert np.corrcoef(latents.scale, truth)[0, 1] > 0.95
    figures = run.read_description(run.latest_epoch())["metrics"]
    assert figures["scale_spread"] == pytest.approx(0.3, rel=0.2)
    assert np.allclose(run_particles(run, scaled=True).scale, latents.scale)
    assert np.allclose(run_particles(run).scale, 1)
    with np.load(run.epoch_path(run.latest_epoch()) / "latents.npz") as file:
        assert set(file) == {"mean", "log_variance", "information", "contrast", "scale"}
    amortised = encode(run.path, star, exact=False)
    assert np.allclose(amortised.scale, latents.scale, atol=1e-4)
    assert np.isfinite(amortised.contrast).all()
    assert np.corrcoef(encode(run.path, star).scale, latents.scale)[0, 1] > 0.99


def test_much_junk_does_not_dim_the_good_particles(tmp_path):
    star = simulate(tmp_path / "set", states=4, particles=400, box=36, pixel_size=8.0, snr=0.2, seed=3)
    stack, random = tmp_path / "set" / "particles.mrcs", np.random.default_rng(1)
    junk = np.arange(400) % 5 < 3
    with mrcfile.open(stack, mode="r+") as file:
        file.data[junk] = random.standard_normal((junk.sum(), 36, 36), dtype=np.float32)
    finished(train(star, tmp_path / "run", replace(RECIPES["default"], epochs=0)))
    latents = RunDirectory(tmp_path / "run").read_latents(RunDirectory(tmp_path / "run").latest_epoch())
    assert (latents.contrast[~junk] > 0.5).mean() > 0.95
    assert latents.scale[~junk].mean() > 3 * latents.scale[junk].mean()


def test_maps_are_linear_in_the_coefficients(trained):
    _, run, _ = trained
    decoder = Decoder.open(RunDirectory(run))
    latent = decoder.latents.mean[7]
    coefficients = decoder.coefficients(latent[None])[0]
    assert coefficients[0] == 1
    parts = [decoder.consensus()] + [decoder.basis_volume(k) for k in range(1, len(coefficients))]
    expected = np.tensordot(coefficients, np.stack(parts), axes=1)
    assert np.allclose(decoder.volume(latent), expected, atol=1e-4 * np.abs(expected).max())
    assert decoder.volume(latent).shape == (36, 36, 36)


def test_pooling_one_particle_is_its_own_latent(trained):
    _, run, _ = trained
    decoder = Decoder.open(RunDirectory(run))
    assert np.allclose(decoder.pooled(np.array([5])), decoder.latents.mean[5], atol=1e-4)


def test_encoding_the_training_particles_gives_their_latents(trained, small_set):
    _, run, _ = trained
    stored = RunDirectory(run).read_latents(RunDirectory(run).latest_epoch())
    again = encode(run, small_set / "particles.star")
    assert np.allclose(again.mean, stored.mean, atol=2e-3)
    assert np.allclose(again.log_variance, stored.log_variance, atol=2e-3)


def test_amortised_encoding_is_close_to_the_exact_one(trained, small_set):
    recipe, run, _ = trained
    if recipe == "paper":
        pytest.skip("the paper's encoder has no exact answer to compare with")
    exact = encode(run, small_set / "particles.star").mean
    amortised = encode(run, small_set / "particles.star", exact=False).mean
    assert not np.array_equal(exact, amortised)
    for dimension in range(exact.shape[1]):
        assert np.corrcoef(exact[:, dimension], amortised[:, dimension])[0, 1] > 0.9


@pytest.mark.parametrize("stop_after", [1, 3, 4])
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_resumed_run_equals_an_uninterrupted_one(recipe, stop_after, small_set, tmp_path, trained):
    finished, run, records = trained
    if finished != recipe:
        pytest.skip("compared with the other finished run")
    if stop_after >= sum(record.epoch is not None for record in records):
        pytest.skip("the run is over by then")
    stop, part = threading.Event(), tmp_path / "part"
    for record in train(small_set / "particles.star", part, RECIPES[recipe], stop):
        if record.epoch == stop_after:
            stop.set()
    assert RunDirectory(part).latest_epoch() == stop_after
    for _ in train(small_set / "particles.star", part, RECIPES[recipe], resume=True):
        pass
    for ours, theirs in zip(latents_and_volumes(part), latents_and_volumes(run), strict=True):
        assert np.array_equal(ours, theirs)


def test_stopping_keeps_the_finished_epochs(small_set, tmp_path):
    stop, run = threading.Event(), tmp_path / "run"
    for record in train(small_set / "particles.star", run, RECIPES["default"], stop):
        if record.epoch == 2:
            stop.set()
    assert RunDirectory(run).epochs() == [1, 2]


def test_an_existing_run_is_not_overwritten(trained, small_set):
    _, run, _ = trained
    before = (run / "config.json").read_bytes()
    with pytest.raises(InputError, match="exists and is not empty"):
        next(iter(train(small_set / "particles.star", run, Config())))
    assert (run / "config.json").read_bytes() == before


def test_a_changed_star_cannot_be_resumed(small_set, tmp_path):
    folder = shutil.copytree(small_set, tmp_path / "set")
    stop, run = threading.Event(), tmp_path / "run"
    for record in train(folder / "particles.star", run, RECIPES["default"], stop):
        if record.epoch == 1:
            stop.set()
    star = folder / "particles.star"
    with pytest.raises(InputError, match="does not exist"):
        next(iter(train(folder / "gone.star", run, RECIPES["default"], resume=True)))
    star.write_text(star.read_text() + "\n")
    with pytest.raises(InputError, match="no longer, the file"):
        next(iter(train(star, run, RECIPES["default"], resume=True)))


def test_copies_of_an_image_are_left_out_together(trained):
    _, path, _ = trained
    run = RunDirectory(path)
    particles = run_particles(run)
    image = np.random.default_rng(0).permutation(particles.slice_index // 4)
    session = Session.for_reading(run, replace(particles, slice_index=image))
    chosen, held_out = (rows.numpy() for rows in session.split(torch.Generator().manual_seed(0)))
    assert len(held_out) == 40
    assert np.array_equal(np.sort(np.concatenate([chosen, held_out])), np.arange(400))
    assert not set(image[chosen]) & set(image[held_out])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": 500.0}, "--resolution is 500"),
        ({"mask_diameter": 5000.0}, "--mask-diameter is 5000"),
        ({"mask_diameter": 0.1}, r"--mask-diameter is 0\.1 Å, less than two pixels"),
    ],
)
def test_options_that_do_not_fit_the_data_are_refused_early(options, message, small_set, tmp_path):
    with pytest.raises(InputError, match=message):
        list(train(small_set / "particles.star", tmp_path / "run", Config(**options)))


def test_a_refused_run_leaves_its_name_free(small_set, tmp_path):
    star, run = small_set / "particles.star", tmp_path / "run"
    with pytest.raises(InputError, match="--resolution"):
        list(train(star, run, Config(resolution=500.0)))
    assert not run.exists()


def test_more_epochs_are_remembered(small_set, tmp_path):
    star, run = small_set / "particles.star", tmp_path / "run"
    few, more = Config(epochs=1, **SMALL), Config(epochs=2, **SMALL)
    list(train(star, run, few))
    before = RunDirectory(run).epochs()
    list(train(star, run, more, resume=True))
    assert RunDirectory(run).config.epochs == 2
    assert len(RunDirectory(run).epochs()) == len(before) + 1
    list(train(star, tmp_path / "at-once", more))
    for ours, theirs in zip(latents_and_volumes(run), latents_and_volumes(tmp_path / "at-once"), strict=True):
        assert np.array_equal(ours, theirs)


def test_learning_options_change_when_a_run_goes_on(small_set, tmp_path):
    star, config = small_set / "particles.star", Config(epochs=1, **SMALL)
    list(train(star, tmp_path / "run", config))
    weights = []
    for changed in ({}, {"learning_rate": 1e-2}, {"kl_weight": 30.0}, {"batch_size": 32}):
        other = RunDirectory(shutil.copytree(tmp_path / "run", tmp_path / "-".join(["other", *changed])))
        list(train(star, other.path, replace(config, epochs=2, **changed), resume=True))
        assert other.config == replace(config, epochs=2, **changed)
        weights.append(other.read_model(other.latest_epoch())["encoder.leave.weight"].numpy())
    for other in weights[1:]:
        assert not np.array_equal(weights[0], other)


def test_what_a_model_is_made_of_stays_when_a_run_goes_on(small_set, tmp_path):
    star, run, config = small_set / "particles.star", tmp_path / "run", Config(epochs=1, **SMALL)
    list(train(star, run, config))
    list(train(star, run, replace(config, epochs=2, encoder_width=7, seed=9), resume=True))
    assert RunDirectory(run).config == replace(config, epochs=2)


def test_another_star_file_is_not_resumed(small_set, tmp_path):
    star, run = small_set / "particles.star", tmp_path / "run"
    list(train(star, run, Config(epochs=0, **SMALL)))
    other = tmp_path / "other.star"
    other.write_text(star.read_text() + "\n")
    with pytest.raises(InputError, match="is not, or no longer"):
        list(train(other, run, Config(**SMALL), resume=True))


def test_too_few_particles_are_refused(small_set, tmp_path):
    lines = (small_set / "particles.star").read_text().splitlines()
    few = small_set / "few.star"
    few.write_text("\n".join(lines[: -(400 - 5 + 1)]) + "\n")
    with pytest.raises(InputError, match="needs at least 8"):
        list(train(few, tmp_path / "run", Config(**SMALL)))


def test_a_run_remembers_where_its_images_moved(small_set, tmp_path):
    star, run = tmp_path / "particles.star", tmp_path / "run"
    star.write_text((small_set / "particles.star").read_text().replace("@", "@/old/place/"))
    path_map = (("/old/place", str(small_set)),)
    with pytest.raises(InputError, match=r"names /old/place/particles\.mrcs, which does not exist"):
        list(train(star, run, Config(epochs=0, **SMALL)))
    list(train(star, run, Config(epochs=0, **SMALL), path_map=path_map))
    assert RunDirectory(run).path_map == path_map
    assert len(encode(run, star).mean) == 400
    assert finished(half_maps(RunDirectory(run), np.arange(40))).counts == (20, 20)
    list(train(star, run, Config(epochs=1, **SMALL), resume=True))
    assert RunDirectory(run).path_map == path_map
