"""Subsets keep the text of the file, byte for byte."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from relion_project import Project, format_block

from napari_sbackprop.data.blocks import read_star
from napari_sbackprop.data.star import read_columns
from napari_sbackprop.data.star_kind import particle_block
from napari_sbackprop.data.subset import write_subset
from napari_sbackprop.errors import InputError

PARTICLE_FILES = [
    "cryodrgn/FinalRefinement-OriginalParticles-PfCRT.star",
    "cryodrgn/empiar_10076_7.star",
    "cryodrgn/relion31.star",
    "cryodrgn/relion31.v2.star",
    "cryodrgn/relion5.star",
    "cryodrgn/toy_projections.star",
    "cryolike/relion_style_particles.star",
    "relion_golden/in.star",
    "relion_golden/loc_it004_data.star",
    "relion_golden/proj96_ctf.star",
    "relion_golden/proj_ctf.star",
    "relion_golden/proj_noctf.star",
    "relion_golden_toy/in.star",
    "relion_golden_toy/proj_ctf.star",
    "relion_golden_toy/proj_noctf.star",
]
OTHER_FILES = {
    "relion_golden/loc_it004_model.star": "is a RELION model",
    "relion_golden/loc_it004_optimiser.star": "is a RELION optimiser",
    "relion_golden/loc_it004_sampling.star": "is a RELION sampling of orientations",
    "starfile/default_pipeline.star": "is the pipeline of a RELION project",
    "starfile/one_loop.star": "lists subtomograms",
    "starfile/rln3.1_data_style.star": "several tables with rlnImageName",
    "starfile/run_it025_optimiser_3D.star": "is a RELION optimiser",
}


def remaining_lines(source: Path, kept: np.ndarray) -> bytes:
    """The file without the rows that were not chosen, by a plain search for the image name in each line."""
    lines = source.read_bytes().splitlines(keepends=True)
    rows = [number for number, line in enumerate(lines) if b"@" in line and not line.startswith(b"#")]
    dropped = set(np.delete(rows, kept).tolist())
    return b"".join(line for number, line in enumerate(lines) if number not in dropped)


def test_the_corpus_is_every_star_file_there_is(shared_data: Path) -> None:
    files = {str(path.relative_to(shared_data)) for path in shared_data.rglob("*.star")}
    assert files == {*PARTICLE_FILES, *OTHER_FILES}


@pytest.mark.parametrize(("name", "sentence"), OTHER_FILES.items())
def test_other_tables_are_refused_and_nothing_is_written(
    shared_data: Path, tmp_path: Path, name: str, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        write_subset(shared_data / name, np.array([0]), tmp_path / "out.star")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", PARTICLE_FILES)
def test_all_rows_give_the_same_file(shared_data: Path, tmp_path: Path, name: str) -> None:
    source = shared_data / name
    count = particle_block(read_star(source)).count
    write_subset(source, np.arange(count), tmp_path / "all.star")
    assert (tmp_path / "all.star").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("name", PARTICLE_FILES)
def test_only_rows_that_were_not_chosen_are_gone(shared_data: Path, tmp_path: Path, name: str) -> None:
    source = shared_data / name
    kept = np.arange(0, particle_block(read_star(source)).count, 3)
    write_subset(source, kept, tmp_path / "subset.star")
    assert (tmp_path / "subset.star").read_bytes() == remaining_lines(source, kept)


@pytest.mark.oracle
@pytest.mark.parametrize("name", PARTICLE_FILES)
def test_starfile_reads_the_chosen_rows_and_the_other_tables(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    starfile = pytest.importorskip("starfile")
    source = shared_data / name
    kept = np.arange(0, particle_block(read_star(source)).count, 3)
    write_subset(source, kept, tmp_path / "subset.star")
    before, after = (starfile.read(path, always_dict=True) for path in (source, tmp_path / "subset.star"))
    assert list(before) == list(after)
    for block, table in before.items():
        expected = table.iloc[kept].reset_index(drop=True) if "rlnImageName" in table else table
        assert after[block].equals(expected)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "name", ["cryodrgn/relion31.star", "relion_golden/loc_it004_data.star", "relion_golden/proj96_ctf.star"]
)
def test_relion_takes_a_subset(shared_data: Path, tmp_path: Path, name: str) -> None:
    program = shutil.which("relion_star_handler")
    if program is None:
        pytest.skip("relion_star_handler is not installed")
    kept = np.array([0, 3])
    write_subset(shared_data / name, kept, tmp_path / "subset.star")
    command = [program, "--i", "subset.star", "--o", "out.star", "--select", "rlnDefocusU", "--minval", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    ours, theirs = (read_columns(tmp_path / file) for file in ("subset.star", "out.star"))
    assert len(theirs["rlnImageName"]) == len(kept)
    for label, values in ours.items():
        if values.dtype == object:
            assert theirs[label].tolist() == values.tolist()
        else:
            np.testing.assert_allclose(theirs[label], values, rtol=1e-5)


def test_a_subset_of_a_subset_is_the_subset(project: Project, tmp_path: Path) -> None:
    source = project.write(project.particles(), project.optics())
    write_subset(source, np.array([0, 2, 3]), tmp_path / "first.star")
    write_subset(tmp_path / "first.star", np.array([1, 2]), tmp_path / "second.star")
    write_subset(source, np.array([2, 3]), tmp_path / "direct.star")
    assert (tmp_path / "second.star").read_bytes() == (tmp_path / "direct.star").read_bytes()


def test_a_single_particle_written_as_pairs(project: Project, tmp_path: Path) -> None:
    pairs = "\n".join(f"_{label} {values[0]}" for label, values in project.particles().items())
    source = project.write_text(f"{format_block('optics', project.optics())}\ndata_particles\n\n{pairs}\n")
    write_subset(source, np.array([0]), tmp_path / "out.star")
    assert (tmp_path / "out.star").read_bytes() == source.read_bytes()


def test_an_existing_file_stays_as_it_is(project: Project) -> None:
    source = project.write(project.particles(), project.optics())
    text = source.read_bytes()
    with pytest.raises(InputError, match=r"run_data\.star exists already: choose another name"):
        write_subset(source, np.array([0]), source)
    assert source.read_bytes() == text


@pytest.mark.parametrize(
    ("indices", "sentence"),
    [
        ([], "would have no particles: choose at least one"),
        ([1, 4], r"has 4 particles, but index 4 \(from 0\) was chosen"),
        ([-1, 0], r"has 4 particles, but index -1 \(from 0\) was chosen"),
    ],
)
def test_a_wrong_choice_is_refused_and_nothing_is_written(
    project: Project, tmp_path: Path, indices: list[int], sentence: str
) -> None:
    source = project.write(project.particles(), project.optics())
    with pytest.raises(InputError, match=sentence):
        write_subset(source, np.array(indices, dtype=np.int64), tmp_path / "out.star")
    assert not list(tmp_path.glob("*out.star*"))


def test_unsorted_or_repeated_indices_are_a_programming_error(project: Project, tmp_path: Path) -> None:
    source = project.write(project.particles(), project.optics())
    for indices in ([1, 0], [1, 1]):
        with pytest.raises(ValueError, match="ascending and unique"):
            write_subset(source, np.array(indices), tmp_path / "out.star")


def test_a_folder_that_does_not_exist_is_named(project: Project, tmp_path: Path) -> None:
    source = project.write(project.particles(), project.optics())
    with pytest.raises(InputError, match=r"the folder .*missing does not exist; make it first"):
        write_subset(source, np.array([0]), tmp_path / "missing" / "out.star")
