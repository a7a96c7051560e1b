"""Selections leave in the format that the particles came in, and in others where that is honest."""

import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
from foreign_files import cryosparc_rows, only, save_rows

from napari_sbackprop.analysis.selection import ParticleSelection, export_selection, note_path
from napari_sbackprop.config import Config
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.source import open_source
from napari_sbackprop.data.star import read_columns
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory

COUNT = 40


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with particles.star and J2/J2_particles.cs, with a passthrough file, of the same images."""
    folder = tmp_path_factory.mktemp("project") / "P1"
    simulate(folder, states=2, particles=COUNT, box=36, pixel_size=8.0, seed=1)
    rows = cryosparc_rows(folder / "particles.star")
    save_rows(folder / "J2" / "J2_particles.cs", rows)
    passed = only(rows, "uid", "ctf/cs_mm")[::-1].copy()
    passed.dtype.names = ("uid", "location/center_x_frac")
    save_rows(folder / "J2" / "J2_passthrough_particles.cs", passed)
    return folder


def run_from(path: Path, folder: Path) -> RunDirectory:
    source = open_source(path)
    return RunDirectory.create(folder / "run", path, Config(), {}, source.content, source.files)


def load_indices(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        return pickle.load(file)


def chosen(*indices: int) -> ParticleSelection:
    return ParticleSelection("mine", np.array(indices, dtype=np.int64), {})


@pytest.fixture
def run(project: Path, tmp_path: Path) -> RunDirectory:
    return run_from(project / "J2" / "J2_particles.cs", tmp_path)


def test_a_run_from_cryosparc_gives_its_rows(run: RunDirectory, project: Path, tmp_path: Path) -> None:
    assert export_selection(run, chosen(3, 8, 9), tmp_path / "state.cs") == 3
    before = np.load(project / "J2" / "J2_particles.cs")
    assert np.load(tmp_path / "state.cs").tobytes() == before[[3, 8, 9]].tobytes()
    passed = np.load(tmp_path / "state_passthrough_1.cs")
    np.testing.assert_array_equal(passed["uid"], before["uid"][[3, 8, 9]])
    assert json.loads((tmp_path / "state.cs.json").read_text())["indices"] == [3, 8, 9]
    assert "metafile: '>state_passthrough_1.cs'" in (tmp_path / "state.csg").read_text()


def test_a_run_from_cryosparc_gives_a_star_file_too(run: RunDirectory, project: Path, tmp_path: Path) -> None:
    export_selection(run, chosen(3, 8), tmp_path / "state.star")
    names = read_columns(tmp_path / "state.star")["rlnImageName"].tolist()
    assert names == read_columns(project / "particles.star")["rlnImageName"][[3, 8]].tolist()


def test_rows_of_an_unbinned_file_are_found_by_uid(run: RunDirectory, project: Path, tmp_path: Path) -> None:
    rows = np.load(project / "J2" / "J2_particles.cs")[::-1]
    rows["blob/path"] = b">J9/big.mrc"
    rows["blob/idx"] = 0
    original = save_rows(tmp_path / "J9_particles.cs", rows)
    assert export_selection(run, chosen(3, 8), tmp_path / "state.cs", original) == 2
    assert np.load(tmp_path / "state.cs").tobytes() == rows[[COUNT - 9, COUNT - 4]].tobytes()


def test_a_run_from_relion_finds_cryosparc_rows_by_image(project: Path, tmp_path: Path) -> None:
    run = run_from(project / "particles.star", tmp_path)
    with pytest.raises(InputError, match=r"was not trained on a \.cs file.*--original"):
        export_selection(run, chosen(1), tmp_path / "state.cs")
    original = project / "J2" / "J2_particles.cs"
    export_selection(run, chosen(1, 5), tmp_path / "state.cs", original)
    np.testing.assert_array_equal(np.load(tmp_path / "state.cs")["blob/idx"], [1, 5])
    with pytest.raises(InputError, match="give both the same ending"):
        export_selection(run, chosen(1), tmp_path / "other.star", original)


def test_images_renamed_for_relion_are_still_found(project: Path, tmp_path: Path) -> None:
    rows = np.load(project / "J2" / "J2_particles.cs")
    rows["blob/path"] = b">J1/particles.mrc"
    original = save_rows(tmp_path / "J1" / "J1_particles.cs", rows)
    run = run_from(project / "particles.star", tmp_path)
    assert export_selection(run, chosen(2, 4), tmp_path / "state.cs", original) == 2


@pytest.mark.parametrize("ending", ["star", "cs"])
def test_uneven_half_sets_are_a_warning(
    run: RunDirectory, tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    with caplog.at_level(logging.WARNING):
        export_selection(run, chosen(0, 1, 2, 3), tmp_path / f"even.{ending}")
        assert not caplog.messages
        export_selection(run, chosen(0, 1, 2, 4, 6), tmp_path / f"uneven.{ending}")
        assert "has 4 and 1 particles in the two half sets, which is uneven" in caplog.messages[-1]
        export_selection(run, chosen(1, 3), tmp_path / f"one.{ending}")
        assert "in one of the two half sets only" in caplog.messages[-1]


def test_numbers_of_rows_for_cryodrgn(run: RunDirectory, project: Path, tmp_path: Path) -> None:
    export_selection(run, chosen(3, 8), tmp_path / "state.pkl")
    indices = load_indices(tmp_path / "state.pkl")
    assert (indices.tolist(), indices.dtype) == ([3, 8], np.int64)
    original = save_rows(tmp_path / "original.cs", np.load(project / "J2" / "J2_particles.cs")[::-1])
    export_selection(run, chosen(3, 8), tmp_path / "other.pkl", original)
    assert load_indices(tmp_path / "other.pkl").tolist() == [COUNT - 9, COUNT - 4]


def test_notes_of_two_formats_have_two_names() -> None:
    assert note_path(Path("a/state.star")) == Path("a/state.json")
    assert note_path(Path("a/state.cs")) == Path("a/state.cs.json")
