"""Corrections of poses, shifts, defocus and contrast: recovered where they were spoilt, small where they were right."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import starfile
import torch

from napari_sbackprop.config import Config
from napari_sbackprop.data.corrections import aligned, with_contrast
from napari_sbackprop.data.loader import read_images
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.fourier import gridding_correction, volumes_to_sphere
from napari_sbackprop.imaging.grids import half_disc, half_sphere
from napari_sbackprop.imaging.poses import rotation_vectors_to_matrix
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.alignment import Alignment
from napari_sbackprop.training.half_maps import half_maps
from napari_sbackprop.training.image_model import transfer_function
from napari_sbackprop.training.linear_model import LinearModel
from napari_sbackprop.training.progress import finished
from napari_sbackprop.training.spectra import Spectra, noise_spectra, whitened_spectra
from napari_sbackprop.training.trainer import train

BOX, PIXEL_SIZE, RADIUS = 48, 5.0, 23
MASK_RADIUS = 20.0


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> tuple[Particles, LinearModel]:
    """300 particles in one state, and that state's map in the units of the images."""
    folder = tmp_path_factory.mktemp("still") / "set"
    star = simulate(
        folder, states=1, particles=300, box=BOX, pixel_size=PIXEL_SIZE, snr=0.5, seed=1, subunit_share=1.0
    )
    particles = read_particles(star)
    truth = torch.from_numpy(Truth.open(folder / "truth").states[0])
    sphere = half_sphere(RADIUS)
    volume = volumes_to_sphere(truth / gridding_correction(BOX), sphere)
    volumes = torch.view_as_real(volume)[:, None].contiguous()
    spectra = finished(whitened_spectra(particles, half_disc(RADIUS), MASK_RADIUS))
    # The images were scaled to unit noise, the map was not.
    unit = LinearModel(volumes, sphere, torch.ones(1, RADIUS + 1), torch.ones(1), torch.ones(BOX, BOX, BOX))
    scale = scale_of(spectra, unit)
    return particles, replace(unit, volumes=volumes * scale)


def scale_of(spectra: Spectra, model: LinearModel) -> float:
    from napari_sbackprop.training.posterior import image_statistics

    gram, cross = image_statistics(spectra, model.volumes, model.sphere)
    return float(cross.sum() / gram.sum())


def alignment_of(particles: Particles, *, poses: bool, ctf: bool) -> tuple[Alignment, Spectra]:
    disc = half_disc(RADIUS)
    spectra = finished(whitened_spectra(particles, disc, MASK_RADIUS))
    return Alignment(
        particles, spectra, noise_spectra(particles, disc, MASK_RADIUS), poses=poses, ctf=ctf
    ), spectra


def spoilt(particles: Particles) -> Particles:
    """The particles turned by about 3 degrees and shifted by about 2 angstrom."""
    random = torch.Generator().manual_seed(4)
    turn = np.radians(3 / np.sqrt(3)) * torch.randn(particles.count, 3, generator=random)
    shift = 2 / np.sqrt(2) * torch.randn(particles.count, 2, generator=random)
    return replace(
        particles,
        rotation=(rotation_vectors_to_matrix(turn) @ torch.from_numpy(particles.rotation)).numpy(),
        shift=particles.shift + shift.numpy(),
    )


def errors(particles: Particles, true: Particles) -> tuple[float, float]:
    """Root mean square errors of orientations in degrees, and of shifts in angstrom."""
    trace = np.einsum("nij,nij->n", particles.rotation, true.rotation, dtype=np.float64)
    angle = np.degrees(np.arccos(((trace - 1) / 2).clip(-1, 1)))
    distance = np.square(particles.shift - true.shift).sum(axis=1)
    return float(np.sqrt(np.square(angle).mean())), float(np.sqrt(distance.mean()))


def test_spoilt_poses_are_found_again(still):
    particles, model = still
    wrong = spoilt(particles)
    alignment, _ = alignment_of(wrong, poses=True, ctf=False)
    for _ in range(4):
        alignment.step(model, torch.ones(wrong.count, 1))
    before, after = errors(wrong, particles), errors(aligned(wrong, alignment.corrections), particles)
    assert before == pytest.approx((3, 2), rel=0.1)
    assert after[0] < before[0] / 3
    assert after[1] < before[1] / 3
    turned = alignment.spread[:3].mean().item() * np.sqrt(3)
    assert turned == pytest.approx(np.radians(3), rel=0.2)  # how wrong they were is learnt


def test_right_poses_stay(still):
    particles, model = still
    alignment, _ = alignment_of(particles, poses=True, ctf=False)
    for _ in range(4):
        alignment.step(model, torch.ones(particles.count, 1))
    angle, shift = errors(aligned(particles, alignment.corrections), particles)
    assert angle < 0.7
    assert shift < 0.6
    assert not alignment.corrections[:, 5:].any()


def test_defocus_is_found_whatever_the_scale_of_an_image(still):
    particles, model = still
    random = np.random.default_rng(2)
    defocus = random.normal(0, 800, particles.count).astype(np.float32)
    scale = random.normal(1, 0.2, particles.count).astype(np.float32)
    wrong = replace(
        particles,
        defocus=particles.defocus + defocus[:, None] * np.float32([1, 1, 0]),
        scale=particles.scale / scale,
    )
    alignment, _ = alignment_of(wrong, poses=False, ctf=True)
    for _ in range(6):
        alignment.step(model, torch.from_numpy(scale)[:, None])
    found = alignment.corrections.numpy()
    assert np.corrcoef(found[:, 5], -defocus)[0, 1] > 0.8
    assert not found[:, :5].any()


def test_spectra_are_those_of_the_aligned_particles(still):
    particles, model = still
    alignment, spectra = alignment_of(spoilt(particles), poses=True, ctf=True)
    alignment.step(model, torch.ones(particles.count, 1))
    refined = aligned(spoilt(particles), alignment.corrections)
    again = finished(whitened_spectra(refined, half_disc(RADIUS), MASK_RADIUS))
    np.testing.assert_allclose(spectra.rotation, again.rotation, atol=1e-5)
    for one, other in ((spectra.data, again.data), (spectra.transfer, again.transfer)):
        assert (one - other).abs().max() < 1e-3 * other.abs().max()
    assert read_images(refined, np.arange(2)).shape == (2, BOX, BOX)


@pytest.fixture(scope="module")
def refined_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Config]:
    folder = tmp_path_factory.mktemp("refined")
    star = simulate(folder / "set", states=2, particles=300, box=72, pixel_size=3.8, snr=0.5, seed=2)
    config = Config(latent_size=2, basis_size=2, epochs=1, refine_poses=True, refine_ctf=True, threads=2)
    list(train(star, folder / "run", config))
    return star, folder / "run", config


def test_a_run_keeps_its_corrections_and_uses_them(refined_run):
    star, run, _ = refined_run
    corrections = RunDirectory(run).read_corrections()
    assert corrections.shape == (300, 6)
    assert (corrections.abs().amax(0) > 0).all()
    plain = RunDirectory.create(run.with_name("plain"), star, Config(), {})
    chosen = np.arange(100)
    maps = [finished(half_maps(directory, chosen)) for directory in (RunDirectory(run), plain)]
    assert np.abs(maps[0].first - maps[1].first).max() > 0.01 * np.abs(maps[1].first).max()


def test_poses_are_refined_in_a_small_box(tmp_path: Path) -> None:
    star = simulate(tmp_path / "set", states=2, particles=400, box=BOX, pixel_size=5.4, snr=0.5, seed=2)
    table, true = starfile.read(star), read_particles(star)
    shift = np.random.default_rng(5).normal(0, 3 / np.sqrt(2), (true.count, 2))
    table["particles"][["rlnOriginXAngst", "rlnOriginYAngst"]] += shift
    wrong = star.with_name("wrong.star")
    starfile.write(table, wrong)
    config = Config(latent_size=2, basis_size=2, epochs=0, refine_poses=True, threads=1, device="cpu")
    list(train(wrong, tmp_path / "run", config))
    refined = aligned(read_particles(wrong), RunDirectory(tmp_path / "run").read_corrections())
    assert errors(read_particles(wrong), true)[1] == pytest.approx(3, rel=0.1)
    assert errors(refined, true)[1] < 1


@pytest.mark.parametrize("option", ["refine_poses", "refine_ctf"])
def test_bands_that_say_too_little_are_refused(tmp_path: Path, option: str) -> None:
    star = simulate(tmp_path / "set", states=2, particles=80, box=BOX, pixel_size=5.4)
    config = replace(Config(epochs=0, threads=1, device="cpu"), **{option: True})
    with pytest.raises(
        InputError, match=r"need --resolution 12\.94 Å or finer in this box, but it is 13 Å: give"
    ):
        list(train(star, tmp_path / "run", replace(config, resolution=13.0)))
    stop = threading.Event()
    stop.set()
    list(train(star, tmp_path / "run", replace(config, resolution=12.94), stop))  # passes the check
    small = simulate(tmp_path / "small", states=2, particles=80, box=40, pixel_size=7.2)
    with pytest.raises(
        InputError, match=r"need images of 42 px or more, but those of .* have 40 px: bin them less"
    ):
        list(train(small, tmp_path / "other", config))
    assert not (tmp_path / "other").exists()


def test_a_resumed_run_has_the_same_corrections(refined_run, tmp_path):
    star, run, config = refined_run
    stages = train(star, tmp_path / "run", config)
    for record in stages:
        if record.epoch == 3:
            stages.close()
            break
    list(train(star, tmp_path / "run", config, resume=True))
    torch.testing.assert_close(
        RunDirectory(tmp_path / "run").read_corrections(), RunDirectory(run).read_corrections()
    )


@pytest.mark.parametrize("premultiplied", [False, True])
def test_a_contrast_multiplies_the_image_whether_or_not_its_ctf_is_squared(
    still: tuple[Particles, LinearModel], premultiplied: bool
) -> None:
    particles = replace(
        still[0], optics=[replace(group, ctf_premultiplied=premultiplied) for group in still[0].optics]
    )
    contrast = torch.linspace(0.5, 1.5, particles.count)
    rows, disc = np.arange(particles.count), half_disc(RADIUS)
    before = transfer_function(particles, rows, disc)
    after = transfer_function(with_contrast(particles, contrast.numpy()), rows, disc)
    torch.testing.assert_close(after, before * contrast[:, None])
