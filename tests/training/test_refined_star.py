"""The STAR file of refined particles: new poses and defocus values, and otherwise the same bytes."""

import re
from pathlib import Path

import numpy as np
import pytest
import starfile
import torch
from refined_run import COUNT, publish_corrections, refined

from napari_sbackprop.config import Config
from napari_sbackprop.data.blocks import read_star
from napari_sbackprop.data.corrections import aligned
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.particle_table import read_particle_table
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import Latents, RunDirectory
from napari_sbackprop.training.refined_star import write_refined
from napari_sbackprop.training.run_particles import run_particles

REFINED = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst")


@pytest.fixture(scope="module")
def star(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("set") / "set", states=2, particles=COUNT, box=36, pixel_size=8.0)


def particles_of(star: Path) -> Particles:
    findings = Findings(star)
    particles = read_particle_table(read_star(star), findings).particles
    findings.raise_first()
    return particles


def assert_same(ours: Particles, theirs: Particles) -> None:
    np.testing.assert_allclose(ours.rotation, theirs.rotation, atol=1e-6)
    np.testing.assert_allclose(ours.shift, theirs.shift, atol=6e-6)  # six decimals of a pixel of 8 angstrom
    np.testing.assert_allclose(ours.defocus, theirs.defocus, rtol=1e-6)


def odd(text: str, folder: Path) -> Path:
    """The particles with quoted values, a comment behind a row, tabs and Windows line ends."""
    rows = [line.rstrip() for line in text.splitlines()]
    number = 0
    for place, row in enumerate(rows):
        if "@" in row:
            words = row.split()
            rows[place] = "\t ".join([f'"{words[0]}"', *words[1:]]) + ("  # first" if number == 0 else " ")
            number += 1
    (folder / "odd.star").write_bytes("\r\n".join([*rows, ""]).encode())
    return folder / "odd.star"


@pytest.mark.parametrize("is_odd", [False, True])
def test_what_is_written_are_the_aligned_particles(star: Path, tmp_path: Path, is_odd: bool) -> None:
    source = odd(star.read_text(), tmp_path) if is_odd else star
    corrections = refined(tmp_path / "run", source)
    labels = write_refined(tmp_path / "run", tmp_path / "refined.star")
    assert labels == [*REFINED, "rlnDefocusU", "rlnDefocusV"]
    expected = aligned(particles_of(source), corrections)
    assert_same(particles_of(tmp_path / "refined.star"), expected)
    assert np.abs(expected.shift - particles_of(source).shift).max() > 1
    before, after = (starfile.read(path)["particles"] for path in (star, tmp_path / "refined.star"))
    if not is_odd:
        assert before.drop(columns=labels).equals(after.drop(columns=labels))


def test_all_but_the_values_stays(star: Path, tmp_path: Path) -> None:
    source = odd(star.read_text(), tmp_path)
    refined(tmp_path / "run", source, ctf=False)
    labels = write_refined(tmp_path / "run", tmp_path / "refined.star")
    assert labels == list(REFINED)
    header = re.findall(rb"_(\w+)", source.read_bytes().split(b"data_particles")[1].split(b"@")[0])
    kept = [place for place, label in enumerate(header) if label.decode() not in labels]
    before, after = ((path.read_bytes()).splitlines(True) for path in (source, tmp_path / "refined.star"))
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        if b"@" not in old:
            assert old == new
            continue
        assert re.sub(rb"[^\s]+", b"x", old) == re.sub(rb"[^\s]+", b"x", new)  # blanks and line ends
        assert [old.split()[place] for place in kept] == [new.split()[place] for place in kept]


def test_shifts_in_pixels(star: Path, tmp_path: Path) -> None:
    text = star.read_text().replace("rlnOriginXAngst", "rlnOriginX").replace("rlnOriginYAngst", "rlnOriginY")
    (tmp_path / "px.star").write_text(text)
    corrections = refined(tmp_path / "run", tmp_path / "px.star")
    labels = write_refined(tmp_path / "run", tmp_path / "refined.star")
    assert {"rlnOriginX", "rlnOriginY"} <= set(labels)
    assert_same(
        particles_of(tmp_path / "refined.star"), aligned(particles_of(tmp_path / "px.star"), corrections)
    )


def test_refusals(star: Path, tmp_path: Path) -> None:
    output = tmp_path / "refined.star"
    refined(tmp_path / "plain", star, poses=False, ctf=False)
    with pytest.raises(InputError, match="has refined no particles: train with --refine-poses"):
        write_refined(tmp_path / "plain", output)
    run = RunDirectory.create(tmp_path / "begun", star, Config(refine_poses=True), {})
    zero = np.zeros((COUNT, 2), np.float32)
    latents = Latents(zero, zero, np.zeros((COUNT, 2, 2), np.float32), zero[:, 0], 1)
    run.publish(1, {"basis": torch.zeros(1)}, latents, {})
    with pytest.raises(InputError, match="has refined no particles"):
        write_refined(tmp_path / "begun", output)
    text = star.read_text().replace("rlnOrigin", "rlnFormer")
    (tmp_path / "still.star").write_text(text)
    refined(tmp_path / "still", tmp_path / "still.star")
    with pytest.raises(InputError, match=r"still\.star has no shifts to correct: add rlnOriginXAngst"):
        write_refined(tmp_path / "still", output)
    assert not output.exists()
    output.write_text("mine")
    refined(tmp_path / "run", star)
    with pytest.raises(InputError, match="exists already"):
        write_refined(tmp_path / "run", output)
    assert output.read_text() == "mine"


def test_particles_are_seen_as_an_epoch_sees_them(star: Path, tmp_path: Path) -> None:
    early = refined(tmp_path / "run", star)
    run = RunDirectory(tmp_path / "run")
    late = publish_corrections(run, 4)
    assert not torch.equal(early, late)
    plain = particles_of(star)
    assert_same(run_particles(run, 3), aligned(plain, early))
    assert_same(run_particles(run), aligned(plain, late))
