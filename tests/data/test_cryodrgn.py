"""Particles of cryoDRGN: a stack with pickles of poses and CTF parameters."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from relion_project import Project, load_arrays

from napari_sbackprop.data.check import check
from napari_sbackprop.data.cryodrgn import write_ctf, write_poses
from napari_sbackprop.data.mrc import write_stack
from napari_sbackprop.data.source import ParticleSource, open_source
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.errors import InputError


def save(path: Path, content: Any) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.fixture
def pickles(project: Project) -> tuple[Path, Path]:
    """Poses and CTF parameters of the project's four images."""
    particles = read_particles(project.write(project.particles(), project.optics()))
    poses, ctf = project.folder / "pose.pkl", project.folder / "ctf.pkl"
    write_poses(poses, particles)
    write_ctf(ctf, particles)
    return poses, ctf


def opened(project: Project, poses: Path, ctf: Path) -> ParticleSource:
    return open_source(project.folder / "Extract" / "images.mrcs", poses=poses, ctf=ctf)


def test_what_is_written_is_understood_again(project: Project, pickles: tuple[Path, Path]) -> None:
    expected = read_particles(project.folder / "Refine3D/job001/run_data.star")
    particles = read_particles(opened(project, *pickles))
    for name in ("rotation", "shift", "defocus", "phase_shift"):
        np.testing.assert_allclose(getattr(particles, name), getattr(expected, name), rtol=1e-6, atol=2e-6)
    (group,) = particles.optics
    assert (group.pixel_size, group.image_size, group.voltage) == (2.0, 8, 300.0)
    assert particles.stack_paths == expected.stack_paths
    assert not particles.half_set.any()


def test_poses_and_ctf_are_what_cryodrgn_parses_from_the_same_rows(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "cryodrgn"
    write_stack(tmp_path / "p.mrcs", np.zeros((5, 300, 300), np.float32), 1.0)
    source = open_source(tmp_path / "p.mrcs", poses=folder / "pose.star.pkl", ctf=folder / "ctf1.pkl")
    particles = read_particles(source)
    text = (folder / "FinalRefinement-OriginalParticles-PfCRT.star").read_text().split("loop_")[1]
    labels = [line.split()[0][1:] for line in text.splitlines() if line.startswith("_")]
    rows = [line.split() for line in text.splitlines() if "@" in line]
    column = {label: np.array([row[place] for row in rows]) for place, label in enumerate(labels)}
    shift = np.stack([column["rlnOriginX"], column["rlnOriginY"]], 1).astype(float) * 1.035
    np.testing.assert_allclose(particles.shift, shift, atol=2e-3)
    np.testing.assert_allclose(particles.defocus[:, 0], column["rlnDefocusU"].astype(float), rtol=1e-6)
    np.testing.assert_allclose(particles.rotation, load_arrays(folder / "pose.star.pkl")[0], atol=2e-6)
    write_poses(tmp_path / "again.pkl", particles)
    again = load_arrays(tmp_path / "again.pkl")
    for ours, theirs in zip(again, load_arrays(folder / "pose.star.pkl"), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    write_ctf(tmp_path / "ctf.pkl", particles)
    np.testing.assert_allclose(load_arrays(tmp_path / "ctf.pkl"), load_arrays(folder / "ctf1.pkl"), rtol=1e-6)


def test_the_toy_set_can_be_trained_on(shared_data: Path) -> None:
    folder = shared_data / "cryodrgn"
    files = {"poses": folder / "toy_rot_zerotrans.pkl", "ctf": folder / "test_ctf.pkl"}
    report = check(folder / "toy_projections.mrcs", **files)
    assert not report.errors
    assert (report.facts["particles"], report.facts["box"], report.facts["pixel_size"]) == (1000, 30, 1.0)


def test_a_smaller_stack_has_larger_pixels(project: Project, pickles: tuple[Path, Path]) -> None:
    ctf = load_arrays(pickles[1])
    ctf[:, :2] = 32, 0.5  # estimated for the images before they were made smaller
    particles = read_particles(opened(project, pickles[0], save(project.folder / "big.pkl", ctf)))
    assert (particles.box, particles.pixel_size) == (8, 2.0)


def test_rotations_alone_mean_no_shifts(project: Project, pickles: tuple[Path, Path]) -> None:
    rotation, _ = load_arrays(pickles[0])
    for content in (rotation, (rotation,)):
        source = opened(project, save(project.folder / "rot.pkl", content), pickles[1])
        assert not read_particles(source).shift.any()
        assert "without shifts: zero is assumed" in source.findings.warnings[0]


def test_a_list_of_stacks(project: Project, pickles: tuple[Path, Path]) -> None:
    for name in ("a", "b"):
        write_stack(project.folder / f"{name}.mrcs", np.ones((2, 8, 8), np.float32), 2.0)
    listing = project.folder / "stacks.txt"
    listing.write_text("a.mrcs\nb.mrcs\n")
    particles = read_particles(open_source(listing, poses=pickles[0], ctf=pickles[1]))
    assert [path.name for path in particles.stack_paths] == ["a.mrcs", "b.mrcs"]
    assert particles.slice_index.tolist() == [0, 1, 0, 1]
    listing.write_text("a.mrcs\nc.mrcs\n")
    with pytest.raises(InputError, match=r"lists c\.mrcs, which is not there"):
        open_source(listing, poses=pickles[0], ctf=pickles[1])


@pytest.mark.parametrize(
    ("spoil_poses", "spoil_ctf", "words"),
    [
        (lambda pose: (pose[0][:3], pose[1][:3]), None, r"pose\.pkl has 3 rows, but there are 4 images"),
        (lambda pose: pose[1], None, r"holds arrays of shape \(4, 2\)"),
        (lambda pose: (2 * pose[0], pose[1]), None, r"row 1: the matrix is no rotation \(4 such rows\)"),
        (lambda pose: (-pose[0], pose[1]), None, "row 1: the matrix is no rotation"),
        (
            lambda pose: (pose[0], pose[1] + [[0, 0], [0, 0], [9, 0], [0, 0]]),
            None,
            "row 3: the shift is no fraction",
        ),
        (None, lambda ctf: ctf[:, :7], r"holds arrays of shape \(4, 7\), but CTF parameters are \(N, 9\)"),
        (None, lambda ctf: ctf[:1], r"ctf\.pkl has 1 rows"),
    ],
)
def test_pickles_that_do_not_fit(
    project: Project, pickles: tuple[Path, Path], spoil_poses: Any, spoil_ctf: Any, words: str
) -> None:
    for path, spoil in zip(pickles, (spoil_poses, spoil_ctf), strict=True):
        save(path, spoil(load_arrays(path)) if spoil else load_arrays(path))
    with pytest.raises(InputError, match=words):
        opened(project, *pickles)


def test_swapped_pickles_are_one_sentence(project: Project, pickles: tuple[Path, Path]) -> None:
    report = check(project.folder / "Extract" / "images.mrcs", poses=pickles[1], ctf=pickles[0])
    assert len(report.errors) == 1
    assert "shape (4, 9), but poses are" in report.errors[0]
    assert not report.warnings


def test_options_that_do_not_belong_together(project: Project, pickles: tuple[Path, Path]) -> None:
    stack = project.folder / "Extract" / "images.mrcs"
    with pytest.raises(InputError, match="needs both --poses and --ctf"):
        open_source(stack, poses=pickles[0])
    with pytest.raises(InputError, match="leave out --poses and --ctf"):
        open_source(project.folder / "Refine3D/job001/run_data.star", poses=pickles[0], ctf=pickles[1])
