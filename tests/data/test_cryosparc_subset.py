"""Subsets of cryoSPARC's particles keep their rows, byte for byte."""

from pathlib import Path

import numpy as np
import pytest
from foreign_files import cryosparc_rows, only, save_rows, without
from relion_project import Project

from napari_sbackprop.data.cryosparc_file import read_group
from napari_sbackprop.data.cryosparc_subset import write_cryosparc_subset
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.errors import InputError

IMAGES = ("blob/path", "blob/idx", "blob/shape", "blob/psize_A")


def test_rows_of_a_real_file_keep_type_and_bytes(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "cryodrgn" / "cryosparc_P12_J24_001_particles.cs"
    before, kept = np.load(source), np.arange(0, 2019, 7)
    half_set = write_cryosparc_subset(source, (), kept, tmp_path / "state.cs")
    after = np.load(tmp_path / "state.cs")
    assert after.dtype == before.dtype
    assert after.tobytes() == before[kept].tobytes()
    np.testing.assert_array_equal(half_set, before["alignments3D/split"][kept] + 1)


def test_a_group_lists_every_result_and_its_file(project: Project, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    rows = cryosparc_rows(project.write(project.particles(), project.optics()))
    main = save_rows(tmp_path / "J2_particles.cs", without(rows, *IMAGES))
    passed = save_rows(tmp_path / "J2_passthrough_particles.cs", only(rows, "uid", *IMAGES)[::-1])
    write_cryosparc_subset(main, [passed], np.array([1, 3]), tmp_path / "it's.cs")
    group = yaml.safe_load((tmp_path / "it's.csg").read_text())
    assert group["group"]["type"] == "particle"
    assert {name: result["metafile"] for name, result in group["results"].items()} == {
        "blob": ">it's_passthrough_1.cs",
        "ctf": ">it's.cs",
        "alignments3D": ">it's.cs",
    }
    for name, result in group["results"].items():
        assert (result["type"], result["num_items"]) == (f"particle.{name}", 2)
        part = np.load(tmp_path / result["metafile"].removeprefix(">"))
        np.testing.assert_array_equal(part["uid"], rows["uid"][[1, 3]])
        assert any(field.startswith(f"{name}/") for field in part.dtype.names)
    assert read_group(tmp_path / "it's.csg") == (tmp_path / "it's.cs", (tmp_path / "it's_passthrough_1.cs",))


def test_a_subset_can_be_trained_on(project: Project) -> None:
    star = project.write(project.particles(), project.optics())
    source = save_rows(project.folder / "J2" / "J2_particles.cs", cryosparc_rows(star))
    write_cryosparc_subset(source, (), np.array([0, 2]), project.folder / "state.cs")
    ours, whole = read_particles(project.folder / "state.cs"), read_particles(source)
    np.testing.assert_array_equal(ours.rotation, whole.rotation[[0, 2]])
    np.testing.assert_array_equal(ours.slice_index, whole.slice_index[[0, 2]])


@pytest.mark.parametrize("existing", ["state.cs", "state.csg", "state_passthrough_1.cs"])
def test_nothing_is_overwritten_or_left_behind(project: Project, tmp_path: Path, existing: str) -> None:
    rows = cryosparc_rows(project.write(project.particles(), project.optics()))
    main, passed = (
        save_rows(tmp_path / "in/a.cs", rows),
        save_rows(tmp_path / "in/b.cs", only(rows, "uid", "blob/path")),
    )
    (tmp_path / existing).write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        write_cryosparc_subset(main, [passed], np.array([1]), tmp_path / "state.cs")
    assert [path.name for path in tmp_path.glob("*state*")] == [existing]
    assert (tmp_path / existing).read_text() == "precious"


def test_an_empty_choice_is_refused(project: Project, tmp_path: Path) -> None:
    rows = cryosparc_rows(project.write(project.particles(), project.optics()))
    with pytest.raises(InputError, match="choose at least one"):
        write_cryosparc_subset(save_rows(tmp_path / "a.cs", rows), (), np.array([], int), tmp_path / "b.cs")
