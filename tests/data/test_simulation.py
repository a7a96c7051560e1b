"""Simulated sets: noise, tables, truth, and what is refused."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_sbackprop.data.loader import read_images
from napari_sbackprop.data.mrc import open_stack, read_volume
from napari_sbackprop.data.projector import BeadProjector
from napari_sbackprop.data.simulation import (
    SUBUNIT_SHARE,
    clean_images,
    draw_particles,
    noise_level,
    simulate,
)
from napari_sbackprop.data.star import read_columns, read_particles
from napari_sbackprop.data.toy import MOTIONS, SWING, toy_complex
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.masks import radius_grid

SMALL = {"particles": 24, "box": 32, "pixel_size": 9.5}


@pytest.fixture(scope="module")
def star(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("set") / "toy", states=4, **SMALL)


def test_ratio_of_signal_to_noise_is_as_asked() -> None:
    projector = BeadProjector(toy_complex(3), 32, 9.5, 40.0)
    draw = draw_particles(1500, 3, seed=1, subunit_share=SUBUNIT_SHARE)
    signal = clean_images(projector, draw, np.arange(1500)).var(axis=(1, 2)).mean()
    assert signal / noise_level(projector, draw, 0.1, seed=1) ** 2 == pytest.approx(0.1, rel=0.05)


def test_noisy_images_are_the_clean_ones_and_noise_of_that_level(star: Path) -> None:
    projector = BeadProjector(toy_complex(4), 32, 9.5, 40.0)
    draw = draw_particles(24, 4, seed=0, subunit_share=SUBUNIT_SHARE)
    clean = clean_images(projector, draw, np.arange(24))
    noise_sd = noise_level(projector, draw, 0.1, seed=0)
    images = np.array(open_stack(star.parent / "particles.mrcs"))
    residual = images * noise_sd - clean  # the background's scale, about 1 / noise_sd, undone
    assert residual.std() == pytest.approx(noise_sd, rel=0.05)


def test_contrasts_scale_the_signal_alone(tmp_path: Path) -> None:
    options = {**SMALL, "states": 4, "snr": math.inf}
    even, uneven = (
        np.array(
            open_stack(simulate(tmp_path / str(sd), contrast_sd=sd, **options).parent / "particles.mrcs")
        )
        for sd in (0.0, 0.3)
    )
    contrast = draw_particles(24, 4, seed=0, contrast_sd=0.3).contrast
    assert contrast.std() == pytest.approx(0.3, rel=0.4)
    assert np.allclose(uneven, contrast[:, None, None] * even, atol=1e-5 * np.abs(even).max())


def test_power_of_coloured_noise_falls_as_asked(tmp_path: Path) -> None:
    options = {"particles": 200, "box": 32, "pixel_size": 9.5, "states": 4, "snr": 1e-3}
    star = simulate(tmp_path / "set", noise_falloff=20, **options)
    images = np.array(open_stack(star.parent / "particles.mrcs"))
    power = np.abs(np.fft.fft2(images)) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32), indexing="ij"))
    low, high = (power[:, np.abs(radius - r) < 0.03].mean() for r in (0.1, 0.5))
    assert low / high == pytest.approx(20**0.8, rel=0.1)
    assert images.std() == pytest.approx(1, rel=0.05)


def test_backgrounds_have_mean_0_and_deviation_1(star: Path) -> None:
    background = radius_grid(32, 2).numpy() > 0.45 * 32
    values = np.array(open_stack(star.parent / "particles.mrcs"))[:, background]
    assert np.allclose(values.mean(axis=1), 0, atol=1e-5)
    assert np.allclose(values.std(axis=1), 1, atol=1e-5)


def test_equal_seeds_give_equal_files_on_any_number_of_cores(
    star: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    again = simulate(tmp_path / "again", states=4, **SMALL)
    other = simulate(tmp_path / "other", states=4, seed=1, **SMALL)
    # The first line says when the file was written.
    tables = [path.read_text().split("\n", 1)[1] for path in (star, again, other)]
    assert tables[0] == tables[1] != tables[2]
    stacks = [(path.parent / "particles.mrcs").read_bytes() for path in (star, again, other)]
    assert stacks[0] == stacks[1] != stacks[2]


def test_star_file_reads_back(star: Path) -> None:
    particles, columns = read_particles(star), read_columns(star)
    draw = draw_particles(24, 4, seed=0, subunit_share=SUBUNIT_SHARE)
    assert (particles.count, particles.box, particles.pixel_size) == (24, 32, 9.5)
    assert particles.half_set.tolist() == [1, 2] * 12
    assert particles.slice_index.tolist() == list(range(24))
    assert np.allclose(particles.shift, draw.origin_px * 9.5, atol=1e-4)
    assert read_images(particles, np.array([3])).shape == (1, 32, 32)
    group = particles.optics[0]
    assert (group.voltage, group.spherical_aberration, group.amplitude_contrast) == (300, 2.7, 0.1)
    defocus = (columns["rlnDefocusU"] + columns["rlnDefocusV"]) / 2
    assert defocus.min() > 2000
    assert defocus.max() < 20000
    assert np.allclose(columns["rlnDefocusU"] - columns["rlnDefocusV"], 200)


def test_truth_holds_states_in_equal_numbers_and_their_maps(star: Path) -> None:
    truth = Truth.open(star.parent / "truth")
    assert np.bincount(truth.labels).tolist() == [6, 6, 6, 6]
    assert set(truth.subunit.tolist()) == {0, 1}
    assert truth.states.shape == (4, 32, 32, 32)
    assert truth.pixel_size == pytest.approx(9.5)
    for mask in (truth.region, truth.solvent):
        assert mask.min() >= 0
        assert mask.max() == pytest.approx(1, abs=0.05)
    change = (truth.states[3] - truth.states[0]) ** 2
    assert (change * truth.region).sum() > 0.8 * change.sum()
    assert truth.region.sum() < 0.3 * truth.solvent.sum()


def test_infinite_ratio_keeps_the_scale_of_the_map(tmp_path: Path) -> None:
    star = simulate(tmp_path / "clean", states=1, snr=math.inf, **SMALL)
    mass = read_volume(star.parent / "truth" / "state_00.mrc")[0].sum()
    present = Truth.open(star.parent / "truth").subunit == 1
    sums = np.array(open_stack(star.parent / "particles.mrcs")).sum(axis=(1, 2))[present]
    assert np.allclose(sums, 0.1 * mass, rtol=1e-4)  # the CTF at zero frequency is the amplitude contrast


def test_progress_ends_at_1_and_an_empty_directory_is_taken(tmp_path: Path) -> None:
    seen: list[float] = []
    simulate(tmp_path, states=1, progress=seen.append, **SMALL)
    assert seen[-1] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["particles.mrcs", "particles.star", "truth"]


def test_a_directory_with_anything_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        simulate(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"box": 33}, "even"),
        ({"pixel_size": 2.0}, "too small"),
        ({"pixel_size": -1.0}, "pixel size"),
        ({"snr": 0.0}, "signal-to-noise"),
        ({"snr": math.nan}, "signal-to-noise"),
        ({"states": 0}, "states"),
        ({"states": 30}, "30 states"),
        ({"seed": -1}, "seed"),
        ({"contrast_sd": -0.1}, "--contrast-sd is -0.1"),
        ({"noise_falloff": 0.5}, "--noise-falloff is 0.5"),
        ({"noise_falloff": math.nan}, "--noise-falloff is nan"),
    ],
)
def test_bad_options_are_refused_and_leave_nothing(
    tmp_path: Path, options: dict[str, float], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        simulate(tmp_path / "set", **{**SMALL, **options})
    assert list(tmp_path.iterdir()) == []


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "set", progress=stop, **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_arm_of_the_sample_turns_by_its_screw() -> None:
    specimen = toy_complex(3)
    arm = specimen.positions[:, specimen.moving]
    assert SWING.angle == 60
    assert np.linalg.norm(arm[2].mean(axis=0) - arm[0].mean(axis=0)) == pytest.approx(20, abs=1)
    assert np.array_equal(specimen.positions[0, ~specimen.moving], specimen.positions[2, ~specimen.moving])


def test_a_circle_goes_on_in_equal_steps_to_where_it_began() -> None:
    specimen = toy_complex(8, "circle")
    centres = specimen.positions[:, specimen.moving].mean(axis=1)
    steps = np.linalg.norm(np.roll(centres, -1, axis=0) - centres, axis=1)
    np.testing.assert_allclose(steps, steps[0])
    assert steps[0] > 10


def test_compositions_differ_by_the_parts_of_their_bits() -> None:
    specimen = toy_complex(16, "composition")
    seen = np.stack([specimen.visible(state, present=True) for state in range(16)])
    assert seen[15].all()
    assert np.array_equal(~seen[0], specimen.moving)
    assert np.array_equal(seen[1] | seen[2], seen[3])
    assert not np.array_equal(seen[1], seen[2])
    assert len(np.unique(seen, axis=0)) == 16


def test_share_of_the_loose_subunit_is_as_asked(tmp_path: Path) -> None:
    star = simulate(tmp_path / "set", subunit_share=1.0, motion="circle", **SMALL)
    truth = Truth.open(star.parent / "truth")
    assert truth.subunit.all()
    assert truth.arrangement == "ring"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"motion": "twist"}, "--motion is twist"),
        ({"motion": "composition", "states": 17, "particles": 20}, "4 parts have 16 compositions"),
        ({"motion": "composition", "models": ("a.pdb", "b.pdb")}, "composition is of the built-in complex"),
        ({"subunit_share": 1.5}, "--subunit-share is 1.5"),
        ({"subunit_share": 0.0}, "--subunit-share is 0, but must be above 0 and at most 1"),
        (
            {"subunit_share": 0.6, "motion": "composition"},
            "--subunit-share 0.6 is of .* swings or circles: leave it out",
        ),
        ({"subunit_share": 0.6, "models": (Path("a.pdb"), Path("b.pdb"))}, "--subunit-share 0.6 is of"),
    ],
)
def test_an_impossible_specimen_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate(tmp_path / "set", **{**SMALL, **options})


@pytest.mark.parametrize("motion", MOTIONS)
def test_sample_fits_the_default_box(motion: str) -> None:
    specimen = toy_complex(10, motion)
    width = np.ptp(specimen.positions[0], axis=0).max()
    assert 140 < width < 170
    assert 2 * (specimen.radius / 4 + 5.5) < 64
