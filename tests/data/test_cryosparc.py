"""Particles of cryoSPARC: .cs files, passthrough files, and what they mean."""

from pathlib import Path

import numpy as np
import pytest
from foreign_files import cryosparc_rows, only, save_rows, without
from relion_project import Project, load_arrays
from scipy.spatial.transform import Rotation

from napari_sbackprop.data.check import check
from napari_sbackprop.data.cryosparc_subset import write_cryosparc_subset
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.mrc import write_stack
from napari_sbackprop.data.particle_table import read_particle_table
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.source import open_source
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.errors import InputError

MAIN = "J24/cryosparc_P1_J24_005_particles.cs"
PASSED = "J24/J24_passthrough_particles.cs"
IMAGES = ("uid", "blob/path", "blob/idx", "blob/shape", "blob/psize_A")


@pytest.fixture
def rows(project: Project) -> np.ndarray:
    return cryosparc_rows(project.write(project.particles(), project.optics()))


def assert_same_particles(ours: Particles, theirs: Particles) -> None:
    for name in ("rotation", "shift", "defocus", "phase_shift", "b_factor", "scale", "half_set"):
        np.testing.assert_allclose(
            getattr(ours, name), getattr(theirs, name), rtol=1e-6, atol=2e-6, err_msg=name
        )
    stacks = [[item.stack_paths[index] for index in item.stack_index] for item in (ours, theirs)]
    assert stacks[0] == stacks[1]
    np.testing.assert_array_equal(ours.slice_index, theirs.slice_index)


def test_the_same_particles_as_in_the_star_file(project: Project, rows: np.ndarray) -> None:
    particles = read_particles(save_rows(project.folder / MAIN, rows))
    assert_same_particles(particles, read_particles(project.folder / "Refine3D/job001/run_data.star"))
    assert (particles.pixel_size, particles.box, particles.optics[0].name) == (2.0, 8, "exposure_group_7")
    assert particles.source == project.folder / MAIN


@pytest.mark.parametrize("name", ["relion_golden_toy/proj_ctf", "relion_golden/proj96_ctf"])
def test_poses_and_shifts_of_golden_images(shared_data: Path, tmp_path: Path, name: str) -> None:
    star = shared_data / f"{name}.star"
    expected = read_particles(star)
    group = expected.optics_index
    optics = {
        "ctf_accel_kv": np.array([item.voltage for item in expected.optics], np.float32)[group],
        "ctf_cs_mm": np.array([item.spherical_aberration for item in expected.optics], np.float32)[group],
        "ctf_amp_contrast": np.array([item.amplitude_contrast for item in expected.optics], np.float32)[
            group
        ],
        "ctf_exp_group_id": group.astype(np.uint32),
        "ctf_phase_shift_rad": np.deg2rad(expected.phase_shift),
        "ctf_bfactor": expected.b_factor,
        "alignments3D_split": expected.half_set.astype(np.uint32),
        "alignments3D_alpha": expected.scale,
    }
    paths = np.full(expected.count, f">{star.with_suffix('.mrcs')}".encode())
    rows = cryosparc_rows(star, blob_path=paths, **optics)
    ours = read_particles(save_rows(tmp_path / "particles.cs", rows))
    for field in ("rotation", "shift", "phase_shift", "b_factor", "scale"):
        np.testing.assert_allclose(getattr(ours, field), getattr(expected, field), atol=2e-5, err_msg=field)
    np.testing.assert_allclose(ours.defocus, expected.defocus, rtol=1e-6)
    voltages = [[item.optics[index].voltage for index in item.optics_index] for item in (ours, expected)]
    assert voltages[0] == voltages[1]


def test_real_file_means_what_cryodrgn_reads_in_it(shared_data: Path) -> None:
    folder = shared_data / "cryodrgn"
    source = open_source(folder / "cryosparc_P12_J24_001_particles.cs")
    particles = read_particle_table(source.text, Findings(source.path)).particles
    rotation, shift = load_arrays(folder / "pose.cs.pkl")
    ctf = load_arrays(folder / "ctf2.pkl")
    np.testing.assert_allclose(particles.rotation, rotation, atol=2e-6)
    np.testing.assert_allclose(particles.shift, shift * ctf[:, :1] * ctf[:, 1:2], atol=1e-4)
    np.testing.assert_allclose(particles.defocus, ctf[:, 2:5], rtol=1e-6)
    np.testing.assert_allclose(particles.phase_shift, ctf[:, 8])
    (group,) = particles.optics
    numbers = (
        group.image_size,
        group.pixel_size,
        group.voltage,
        group.spherical_aberration,
        group.amplitude_contrast,
    )
    np.testing.assert_allclose(numbers, ctf[0, [0, 1, 5, 6, 7]], rtol=1e-6)
    rows = np.load(source.path)
    np.testing.assert_allclose(particles.scale, -rows["alignments3D/alpha"], rtol=1e-5)
    np.testing.assert_array_equal(particles.half_set, rows["alignments3D/split"] + 1)


def test_a_rotation_by_half_a_turn_and_none(project: Project) -> None:
    vectors = np.array([[0, 0, 0], [np.pi, 0, 0], [0, np.pi, 0], [0.6, -2, 2.5]], np.float32)
    star = project.write(project.particles(), project.optics())
    path = save_rows(project.folder / MAIN, cryosparc_rows(star, alignments3D_pose=vectors))
    expected = Rotation.from_rotvec(vectors).as_matrix().transpose(0, 2, 1)
    np.testing.assert_allclose(read_particles(path).rotation, expected, atol=2e-6)


# -- passthrough files -----------------------------------------------------------------------------------------------


def test_fields_of_a_passthrough_file_are_found_by_uid(project: Project, rows: np.ndarray) -> None:
    expected = read_particles(project.folder / "Refine3D/job001/run_data.star")
    main = save_rows(project.folder / MAIN, without(rows, *IMAGES[1:]))
    save_rows(project.folder / PASSED, only(rows, *IMAGES)[[3, 1, 0, 2]])
    other = only(rows, *IMAGES)[:2]  # of the particles that were thrown out, say
    save_rows(project.folder / "J24/J24_passthrough_particles_excluded.cs", other)
    assert_same_particles(read_particles(main), expected)
    assert list(open_source(main).files) == ["particles.cs", "passthrough_1.cs"]
    report = check(main)
    assert report.facts["other_files"] == ["J24_passthrough_particles.cs"]
    assert not report.errors


def test_passthrough_files_that_both_have_a_field_raise_a_question(
    project: Project, rows: np.ndarray
) -> None:
    main = save_rows(project.folder / MAIN, without(rows, *IMAGES[1:]))
    first = save_rows(project.folder / PASSED, only(rows, *IMAGES))
    save_rows(project.folder / "J24/J24_passthrough_particles_small.cs", only(rows, *IMAGES))
    with pytest.raises(
        InputError, match=r"blob/idx, which J24_passthrough_particles\.cs and .*name one of them"
    ):
        read_particles(main)
    assert read_particles(open_source(main, [first])).count == 4


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda rows: rows[1:], "lacks 1 of 4 particles"),
        (lambda rows: rows[[0, 0, 1, 2, 3]], "has a uid in several rows"),
        (lambda rows: without(rows, "uid"), "has no field uid"),
    ],
)
def test_passthrough_files_that_do_not_fit(project: Project, rows: np.ndarray, spoil, sentence: str) -> None:
    main = save_rows(project.folder / MAIN, without(rows, *IMAGES[1:]))
    other = save_rows(project.folder / "other.cs", spoil(only(rows, *IMAGES)))
    with pytest.raises(InputError, match=sentence):
        open_source(main, [other])


def test_passthrough_belongs_to_cs_files(project: Project, rows: np.ndarray) -> None:
    star = project.folder / "Refine3D/job001/run_data.star"
    with pytest.raises(InputError, match="leave it out"):
        open_source(star, [save_rows(project.folder / MAIN, rows)])


GROUP = """created: 2024-01-02 03:04:05.678901
group:
  description: All particles that were processed, including alignments
  name: particles
  title: All particles
  type: particle
results:
  alignments3D:
    metafile: '>cryosparc_P1_J24_005_particles.cs'
    num_items: 4
    type: particle.alignments3D
  blob:
    metafile: '>elsewhere.cs'
    num_items: 4
    type: particle.blob
version: v4.4.1
"""


def test_a_group_names_its_files(project: Project, rows: np.ndarray) -> None:
    main = save_rows(project.folder / MAIN, without(rows, *IMAGES[1:]))
    other = save_rows(project.folder / "J24" / "elsewhere.cs", only(rows, *IMAGES))
    group = project.folder / "J24" / "J24_particles.csg"
    group.write_text(GROUP)
    assert dict(open_source(group).files) == {"particles.cs": main, "passthrough_1.cs": other}
    assert read_particles(group).count == 4
    assert (check(group).path, check(group).errors) == (group, ())
    write_cryosparc_subset(main, [other], np.arange(4), project.folder / "all.cs")
    assert read_particles(project.folder / "all.csg").count == 4
    group.write_text(GROUP.replace("alignments3D:", "alignments2D:"))
    assert "lists no alignments3D" in check(group).errors[0]


# -- what the values mean --------------------------------------------------------------------------------------------


def test_dark_images_get_a_negative_scale(project: Project) -> None:
    star = project.write(project.particles(), project.optics())
    alpha = np.array([0.5, 1, 2, 0], np.float32)
    rows = cryosparc_rows(star, blob_sign=np.full(4, -1, np.float32), alignments3D_alpha=alpha)
    path = save_rows(project.folder / MAIN, rows)
    np.testing.assert_allclose(read_particles(path).scale, [-0.5, -1, -2, -1])
    assert (
        "row 4: alignments3D/alpha is 0, which is no scale: 1 is taken (1 such rows)"
        in check(path).warnings[0]
    )


@pytest.mark.parametrize(("sign", "expected"), [(-1, "bright on dark"), (1, "dark on bright")])
def test_contrast_is_judged_with_the_sign(project: Project, sign: int, expected: str) -> None:
    images = np.random.default_rng(3).normal(size=(8, 8, 8))
    images[:, 3:6, 3:6] -= 5
    write_stack(project.folder / "Extract" / "images.mrcs", images, 2.0, overwrite=True)
    columns = {label: values * 2 for label, values in project.particles().items()}
    columns["rlnImageName"] = [f"{number}@Extract/images.mrcs" for number in range(1, 9)]
    star = project.write(columns, project.optics())
    rows = cryosparc_rows(star, blob_sign=np.full(8, sign, np.float32))
    assert check(save_rows(project.folder / MAIN, rows)).facts["contrast"] == expected


def test_exposure_groups_become_optics_groups(project: Project) -> None:
    star = project.write(project.particles(), project.optics())
    rows = cryosparc_rows(
        star, ctf_exp_group_id=np.array([9, 4, 9, 4]), ctf_cs_mm=np.array([2.7, 0.01, 2.7, 0.01])
    )
    particles = read_particles(save_rows(project.folder / MAIN, rows))
    names = [particles.optics[index].name for index in particles.optics_index]
    assert names == ["exposure_group_9", "exposure_group_4"] * 2
    assert [particles.optics[index].spherical_aberration for index in particles.optics_index] == [
        2.7,
        0.01,
    ] * 2


def test_groups_of_different_pixel_sizes_are_judged_as_those_of_a_star_file(project: Project) -> None:
    star = project.write(project.particles(), project.optics())
    sizes = {"blob_psize_A": np.array([2, 2, 3, 3], np.float32), "ctf_exp_group_id": np.array([1, 1, 2, 2])}
    foreign = check(save_rows(project.folder / MAIN, cryosparc_rows(star, **sizes)))
    columns = project.particles() | {"rlnOpticsGroup": [1, 1, 2, 2]}
    optics = project.optics(2) | {"rlnImagePixelSize": [2.0, 3.0]}
    own = check(project.write(columns, optics))
    assert len(foreign.errors) == len(own.errors)


def test_aberrations_are_a_warning(project: Project) -> None:
    star = project.write(project.particles(), project.optics())
    tilt = np.zeros((4, 2), np.float32)
    path = save_rows(
        project.folder / MAIN, cryosparc_rows(star, ctf_tilt_A=tilt, ctf_tetra_A=np.zeros((4, 4)))
    )
    assert not [words for words in check(path).warnings if "not applied" in words]
    tilt[2, 1] = 0.3
    save_rows(path, cryosparc_rows(star, ctf_tilt_A=tilt, ctf_tetra_A=np.zeros((4, 4))))
    assert "has ctf/tilt_A, not applied" in check(path).warnings[0]


def test_anisotropic_magnification_is_relions_less_the_identity(project: Project) -> None:
    star = project.write(project.particles(), project.optics())
    excess = np.tile(np.array([0.02, 0.01, -0.005, -0.03]), (4, 1))
    excess[2:] = 0
    path = save_rows(project.folder / MAIN, cryosparc_rows(star, ctf_anisomag=excess.astype(np.float32)))
    assert not [words for words in check(path).warnings if "not applied" in words]
    particles = read_particles(path)
    matrices = np.array([particles.optics[index].magnification for index in particles.optics_index])
    np.testing.assert_allclose(matrices - [1, 0, 0, 1], excess, atol=1e-6)
    save_rows(path, cryosparc_rows(star, ctf_anisomag=np.full((4, 2), 0.1)))
    assert "ctf/anisomag has the shape (4, 2)" in check(path).errors[0]


@pytest.mark.usefixtures("rows")
def test_names_with_spaces_survive(project: Project) -> None:
    stack = project.folder / "Extract" / "images.mrcs"
    renamed = stack.rename(stack.with_name("two 'words'.mrc"))
    wide = {"blob/path": np.full(4, b">Extract/" + renamed.name.encode())}
    rows = cryosparc_rows(
        project.folder / "Refine3D/job001/run_data.star", **{"blob_path": wide["blob/path"]}
    )
    assert read_particles(save_rows(project.folder / MAIN, rows)).stack_paths == (renamed,)


# -- what cannot be used ---------------------------------------------------------------------------------------------


def test_all_that_is_missing_is_listed(project: Project, rows: np.ndarray) -> None:
    bare = without(rows, "alignments3D/pose", "alignments3D/shift", "ctf/df1_A")
    report = check(save_rows(project.folder / MAIN, bare))
    assert len(report.errors) == 2
    assert "has no poses (alignments3D/pose, alignments3D/shift)" in report.errors[0]
    assert "has no CTF parameters (ctf/df1_A)" in report.errors[1]
    assert report.facts["particles"] == 4


@pytest.mark.parametrize(
    ("field", "row", "value", "words"),
    [
        ("alignments3D/pose", 2, np.nan, "row 3: alignments3D/pose is"),
        ("ctf/df1_A", 1, np.inf, r"row 2: ctf/df1_A is inf, but must be finite"),
        ("blob/shape", 3, (8, 6), "row 4: the image has 6 x 8 px, but must be square"),
        ("blob/idx", 0, 9, "row 1 asks for image 10 of Extract/images.mrcs, which has 4"),
    ],
)
def test_a_bad_value_is_named(
    project: Project, rows: np.ndarray, field: str, row: int, value, words: str
) -> None:
    rows[field][row] = value
    path = save_rows(project.folder / MAIN, rows)
    assert words in check(path).errors[0]
    with pytest.raises(InputError, match=words):
        read_particles(path)


@pytest.mark.parametrize("content", [np.zeros(3), np.zeros(0, [("uid", "u8")])])
def test_files_without_particles(tmp_path: Path, content: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"has no (fields|rows)"):
        read_particles(save_rows(tmp_path / "particles.cs", content))
