"""The check says what any file is, and never fails."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from relion_project import Project

from napari_sbackprop.data.check import check
from napari_sbackprop.data.contrast import describe_contrast
from napari_sbackprop.data.mrc import write_stack
from napari_sbackprop.data.particle_report import estimate_memory
from napari_sbackprop.data.star import read_particles

# Kind of every sample file, by path or by the end of its name.
KINDS = {
    "starfile/default_pipeline.star": "pipeline",
    "starfile/run_it025_optimiser_3D.star": "optimiser",
    "starfile/one_loop.star": "tomography",
    "relion_golden/loc_it004_model.star": "relion_model",
    "relion_golden/loc_it004_optimiser.star": "optimiser",
    "relion_golden/loc_it004_sampling.star": "sampling",
    "cryodrgn/empiar_10076_7.mrc": "stack",
    ".star": "particles",
    ".mrcs": "stack",
    ".mrc": "map",
    ".cs": "cryosparc",
    ".pkl": "pickle",
    ".npz": "arrays",
    ".pdb.gz": "model",
    ".txt": "text",
    ".md": "text",
    ".yaml": "text",
    ".log": "text",
}
TRAINABLE = {
    "cryodrgn/relion31.star",
    "cryodrgn/relion31.v2.star",
    "relion_golden/proj_ctf.star",
    "relion_golden/proj_noctf.star",
    "relion_golden/proj96_ctf.star",
    "relion_golden_toy/proj_ctf.star",
    "relion_golden_toy/proj_noctf.star",
}


def test_every_sample_file_is_recognised(shared_data: Path) -> None:
    for path in sorted(path for path in shared_data.rglob("*") if path.is_file()):
        name = path.relative_to(shared_data).as_posix()
        report = check(path)
        expected = next(kind for end, kind in KINDS.items() if name.endswith(end))
        assert (name, report.kind) == (name, expected)
        assert (name, not report.errors) == (name, name in TRAINABLE)
        for sentence in (*report.errors, *report.warnings):
            assert sentence.startswith(str(shared_data)), sentence
            assert sentence.endswith("."), sentence
            assert "\n" not in sentence
        json.dumps(report.facts, allow_nan=False)
        assert str(report).startswith(f"{path}: {expected}\n")


def test_facts_of_a_relion_file(shared_data: Path) -> None:
    report = check(shared_data / "relion_golden" / "proj_ctf.star")
    facts = report.facts
    assert (facts["particles"], facts["box"], facts["pixel_size"]) == (16, 32, 8.1)
    assert [group["particles"] for group in facts["optics_groups"]] == [8, 8]
    assert facts["shifts"] == "in Å"
    assert facts["contrast"] == "bright on dark"
    assert facts["repeated_images"] == 0
    assert "pixel size" in str(report)
    assert "8.1 Å" in str(report)


def test_no_error_means_that_the_file_can_be_read(shared_data: Path) -> None:
    for name in TRAINABLE:
        assert read_particles(shared_data / name).count > 0


def test_a_check_lists_all_problems(project: Project) -> None:
    columns = project.particles() | {"rlnOpticsGroup": [1, 9, 1, 1]}
    columns["rlnAngleRot"][2] = "nan"
    columns["rlnImageName"][3] = "9@Extract/images.mrcs"
    report = check(project.write(columns, project.optics()))
    assert len(report.errors) == 3
    assert report.facts["particles"] == 4


def test_missing_images_leave_the_metadata(shared_data: Path) -> None:
    report = check(shared_data / "cryodrgn" / "FinalRefinement-OriginalParticles-PfCRT.star")
    assert report.facts["pixel_size"] == pytest.approx(1.035)
    assert report.facts["shifts"] == "in px"
    assert report.facts["box"] is None
    assert "0.1 is assumed" in report.warnings[0]
    assert "1 of 1 stacks missing" in report.errors[0]


def test_aberrations_of_a_relion_5_file_are_understood(shared_data: Path) -> None:
    report = check(shared_data / "cryodrgn" / "relion5.star")
    assert len(report.warnings) == 1
    assert "repeats an image in 2 rows" in report.warnings[0]
    (group,) = report.facts["optics_groups"]
    assert group["beam_tilt"] == pytest.approx([0.043489, 0.014097])
    assert group["odd_zernikes"][3:5] == (0, 0)
    assert "beam tilt 0.043489 mrad, 0.014097 mrad" in str(report)


def test_symmetry_expanded_rows_are_counted(project: Project) -> None:
    columns = project.particles()
    columns["rlnImageName"] = ["1@Extract/images.mrcs", "2@Extract/images.mrcs"] * 2
    assert check(project.write(columns, project.optics())).facts["repeated_images"] == 2


@pytest.mark.parametrize(
    ("label", "values", "words"),
    [
        ("rlnDefocusU", [1.2] * 4, "if these are µm, multiply by 10,000"),
        ("rlnDefocusU", [-12000.0] * 4, "has a negative defocus"),
        ("rlnOriginXAngst", [0.0, 90.0, 0.0, 0.0], "row 2: the shift of 90 Å leaves the box of 16 Å"),
        ("rlnRandomSubset", [1] * 4, "in one of the two half sets only"),
        ("rlnRandomSubset", [1, 2, 0, 1], "1 rows where rlnRandomSubset is neither 1 nor 2"),
    ],
)
def test_unlikely_values_are_pointed_out(
    project: Project, label: str, values: list[object], words: str
) -> None:
    report = check(project.write(project.particles() | {label: values}, project.optics()))
    assert words in " ".join(report.warnings)
    assert not report.errors


def test_one_pose_for_all_is_pointed_out(project: Project) -> None:
    angles = {label: [0.0] * 4 for label in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")}
    report = check(project.write(project.particles() | angles, project.optics()))
    assert "same pose in all rows" in report.warnings[0]


def test_an_image_that_is_not_finite_is_an_error(project: Project) -> None:
    path = project.folder / "Extract" / "images.mrcs"
    content = bytearray(path.read_bytes())
    content[1024:1028] = np.float32(np.inf).tobytes()
    path.write_bytes(content)
    assert "not finite" in check(project.write(project.particles(), project.optics())).errors[0]


@pytest.mark.parametrize(
    ("sign", "expected"), [(1, "bright on dark"), (-1, "dark on bright"), (0, "undecided")]
)
def test_contrast_is_that_of_the_centre(sign: int, expected: str) -> None:
    images = np.random.default_rng(3).normal(size=(20, 32, 32))
    images[:, 12:20, 12:20] += 0.5 * sign
    assert describe_contrast(images) == expected


def test_dark_particles_are_pointed_out(project: Project) -> None:
    images = np.random.default_rng(3).normal(size=(8, 8, 8))
    images[:, 3:6, 3:6] -= 5
    write_stack(project.folder / "Extract" / "images.mrcs", images, 2.0, overwrite=True)
    columns = {label: values * 2 for label, values in project.particles().items()}
    columns["rlnImageName"] = [f"{number}@Extract/images.mrcs" for number in range(1, 9)]
    report = check(project.write(columns, project.optics()))
    assert report.facts["contrast"] == "dark on bright"
    assert "relion_preprocess --invert_contrast" in report.warnings[-1]


def test_real_dark_particles(shared_data: Path) -> None:
    assert check(shared_data / "cryodrgn" / "empiar_10076_7.mrc").facts["contrast"] == "dark on bright"


def test_memory_estimate_matches_the_grids() -> None:
    from napari_sbackprop.imaging.grids import half_disc, half_sphere

    estimate = estimate_memory(count=1000, box=64, basis_size=16)
    assert estimate["spectra_memory_bytes"] == pytest.approx(1000 * half_disc(31).size * 8, rel=0.05)
    assert estimate["basis_memory_bytes"] == pytest.approx(17 * half_sphere(31).size * 8 * 4, rel=0.1)


@pytest.mark.parametrize(
    ("name", "content", "kind", "words"),
    [
        ("empty.star", b"", "unreadable", "is empty"),
        ("garbage.star", bytes(range(256)) * 20, "star", "is a binary file"),
        ("garbage.mrcs", b"garbage!" * 500, "stack", "is not an MRC file"),
        ("garbage.bin", bytes(range(256)) * 20, "binary", "unknown kind"),
        ("renamed.txt", b"data_\nloop_\n_rlnImageName\n1@a.mrcs\n", "particles", "gives no pixel size"),
        ("model.cif", b"data_1ABC\nloop_\n_atom_site.id\nATOM 1\n", "model", "atomic model"),
        ("model.pdb", b"REMARK no atoms\n", "model", "has no atoms"),
        ("model.pdb.gz", b"\x1f\x8b" + bytes(20), "model", "damaged gzip"),
        ("data.star.gz", gzip.compress(b"data_\n"), "archive", "unpack it first"),
        ("data.npz", b"PK\x03\x04" + bytes(100), "archive", "damaged archive"),
        ("data.cs", b"\x93NUMPY" + bytes(100), "cryosparc", "damaged or holds Python objects"),
        ("pose.pkl", b"\x80\x04cos\nsystem\n", "pickle", "by its name: poses"),
    ],
)
def test_damaged_and_odd_files(tmp_path: Path, name: str, content: bytes, kind: str, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    report = check(tmp_path / name)
    assert report.kind == kind
    assert words in report.errors[0]


def test_folders_and_missing_files(tmp_path: Path) -> None:
    assert "is a folder" in check(tmp_path).errors[0]
    assert "does not exist" in check(tmp_path / "missing.star").errors[0]


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from(
        [b"", b"\x1f\x8b", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x80\x04", b"data_\nloop_\n_rlnImageName\n"]
    ),
    rest=st.one_of(
        st.binary(max_size=400), st.text("data_loop_rln@#\"' \n\t1.", max_size=200).map(str.encode)
    ),
    suffix=st.sampled_from([".star", ".mrc", ".mrcs", ".cs", ".csg", ".npz", ".pdb", ".pdb.gz", ".txt", ""]),
)
def test_no_content_makes_the_check_fail(tmp_path: Path, start: bytes, rest: bytes, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(start + rest)
    assert check(path).errors
