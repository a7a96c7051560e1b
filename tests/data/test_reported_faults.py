"""What users of other programs reported about files and export: each must not happen here.

Every test names the threads, as repository#number, and what their users met; docs/reported-faults.md lists them all.
"""

import json
import logging
import pickle
import re
import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
from foreign_files import cryosparc_rows, only, save_rows
from relion_project import Project, Table
from test_cli import succeed

from napari_sbackprop.analysis.selection import ParticleSelection, export_selection
from napari_sbackprop.config import Config
from napari_sbackprop.data.check import check
from napari_sbackprop.data.loader import read_images
from napari_sbackprop.data.mrc import write_stack
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.source import open_source
from napari_sbackprop.data.star import read_columns, read_particles
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import Latents, RunDirectory

KEPT = [1, 3]


def run_of(source: Path) -> RunDirectory:
    """A run of some particles without any epoch: what selections are written from."""
    opened = open_source(source)
    return RunDirectory.create(
        source.parent / f"run_{source.stem}", source, Config(), {}, opened.content, opened.files
    )


def chosen(indices: list[int]) -> ParticleSelection:
    return ParticleSelection("chosen", np.array(indices), {})


def exported(source: Path, indices: list[int], original: Path | None = None, ending: str = ".star") -> Path:
    """Some rows of a file, as the program exports them."""
    output = source.parent / f"{source.stem}_chosen{ending}"
    export_selection(run_of(source), chosen(indices), output, original)
    return output


def refusals(path: Path, **files: Path) -> str:
    """What a check of a file finds that prevents its use."""
    return "\n".join(check(path, **files).errors)


def named(table: Table, stack: str) -> Table:
    """The particles with images of the same numbers in another stack."""
    return {**table, "rlnImageName": [f"{name.split('@')[0]}@{stack}" for name in table["rlnImageName"]]}


@pytest.fixture
def star(project: Project) -> Path:
    return project.write(project.particles(), project.optics())


@pytest.fixture
def cs(project: Project, star: Path) -> Path:
    """The same particles as cryoSPARC has them, with a passthrough file."""
    rows = cryosparc_rows(star)
    passed = only(rows, "uid", "ctf/cs_mm")
    passed.dtype.names = ("uid", "location/center_x_frac")
    save_rows(project.folder / "J24" / "J24_passthrough_particles.cs", passed)
    return save_rows(project.folder / "J24" / "cryosparc_P1_J24_005_particles.cs", rows)


# -- subsets of the original particles -----------------------------------------------------------------------------------


def test_a_selection_of_binned_particles_becomes_rows_of_the_unbinned_file(
    project: Project, star: Path
) -> None:
    """recovar#181, cryodrgn#109, #285, #101, #68: a selection ended as indices, or as a file that names downsampled images
    and lacks the micrographs and coordinates that re-extraction needs."""
    table = {
        **named(project.particles(), "Extract/job099/images.mrcs"),
        "rlnMicrographName": ["MotionCorr/a.mrc"] * 4,
        "rlnCoordinateX": ["10.50", "20.5", "3e1", "40"],
    }
    optics = {**project.optics(), "rlnImagePixelSize": ["0.500"], "rlnImageSize": [32]}
    unbinned = project.write(table, optics, "Extract/job099/particles.star")
    rows = [line for line in unbinned.read_text().splitlines(keepends=True) if "@" in line]
    expected = unbinned.read_text().replace(rows[0], "").replace(rows[2], "")
    assert exported(star, KEPT, unbinned).read_text() == expected


def test_the_other_file_may_have_another_order_and_more_rows(project: Project, star: Path) -> None:
    """cryodrgn#114, #130: "Particle ordering must match", for rows were paired by their place in the file."""
    table = project.particles()
    order = [3, 0, 2, 1]
    shuffled = {label: [values[row] for row in order] for label, values in table.items()}
    shuffled["rlnImageName"] = ["000009@Extract/other.mrcs", *shuffled["rlnImageName"]]
    longer = {
        label: [values[0], *values] if label != "rlnImageName" else values
        for label, values in shuffled.items()
    }
    reference = project.write(longer, project.optics(), "reference.star")
    names = read_columns(exported(star, KEPT, reference))["rlnImageName"].tolist()
    assert names == [table["rlnImageName"][3], table["rlnImageName"][1]]


def test_poses_and_defocus_stay_with_their_images(project: Project) -> None:
    """cryodrgn#131: written rows had the CTF and pose of other particles, and 2-D classes were noise."""
    table = {label: values[::-1] for label, values in project.particles().items()}
    output = exported(project.write(table, project.optics()), KEPT)
    particles = read_particles(output, project.folder)
    everything = read_particles(project.write(project.particles(), project.optics(), "all.star"))
    rows = particles.slice_index  # image i of the stack is particle i
    np.testing.assert_array_equal(particles.defocus, everything.defocus[rows])
    np.testing.assert_array_equal(particles.rotation, everything.rotation[rows])
    np.testing.assert_array_equal(read_images(particles, np.arange(2)), read_images(everything, rows))


def test_images_are_read_by_the_number_in_their_name(project: Project) -> None:
    """cryodrgn#387: rows in another order than the stack gave pure noise without any warning."""
    table = project.particles()
    table["rlnImageName"] = [f"{number}@Extract/images.mrcs" for number in (3, 1, 4, 2)]
    particles = read_particles(project.write(table, project.optics()))
    images = mrcfile.read(project.folder / "Extract" / "images.mrcs")
    np.testing.assert_array_equal(read_images(particles, np.arange(4)), images[[2, 0, 3, 1]])


def test_a_selection_from_several_stacks_names_images_that_are_there(project: Project) -> None:
    """cryodrgn#88: particles in chunks left with numbers beyond the end of their chunk."""
    images = np.random.default_rng(3).normal(size=(2, 8, 8)).astype(np.float32)
    for chunk in (0, 1):
        write_stack(project.folder / f"particles.{chunk}.mrcs", images + chunk, 2.0)
    table = project.particles()
    table["rlnImageName"] = [f"{number}@particles.{chunk}.mrcs" for chunk in (0, 1) for number in (1, 2)]
    output = exported(project.write(table, project.optics()), [2, 3])
    np.testing.assert_array_equal(read_images(read_particles(output), np.arange(2)), images + 1)


def test_stacks_of_one_name_in_several_folders_are_told_apart(project: Project) -> None:
    """cryodrgn#386: of a path only the file's name was kept, so a second folder's images were not found."""
    table = project.particles()
    for folder in ("one", "two"):
        (project.folder / folder).mkdir()
        image = np.full((2, 8, 8), len(folder) + ord(folder[0]), np.float32)
        write_stack(project.folder / folder / "s.mrcs", image, 2.0)
    table["rlnImageName"] = ["1@one/s.mrcs", "1@two/s.mrcs", "2@one/s.mrcs", "2@two/s.mrcs"]
    images = read_images(read_particles(project.write(table, project.optics())), np.arange(4))
    assert [image.mean() for image in images] == [114.0, 119.0, 114.0, 119.0]


def test_half_sets_and_all_other_columns_stay(project: Project) -> None:
    """cryodrgn#148, #62: rlnRandomSubset was lost, whereupon cryoSPARC dropped all poses; files were called corrupt."""
    table = {
        **project.particles(),
        "rlnGroupName": ['"group 1"'] * 4,
        "rlnMadeUp": ["0.10", "1e3", "-0", "7"],
    }
    source = project.write(table, project.optics())
    output = exported(source, KEPT)
    before, after = (starfile.read(path, parse_as_string=list(table)) for path in (source, output))
    assert list(after) == ["optics", "particles"]
    assert after["particles"].equals(before["particles"].iloc[KEPT].reset_index(drop=True))
    assert after["particles"]["rlnRandomSubset"].tolist() == ["2", "2"]


def test_a_selection_with_one_half_set_is_said(star: Path, caplog: pytest.LogCaptureFixture) -> None:
    """cryodrgn#148: its workaround puts all particles into half 1, which no refinement can use."""
    with caplog.at_level(logging.WARNING):
        exported(star, KEPT)
    assert "in one of the two half sets only" in caplog.text


# -- optics groups -------------------------------------------------------------------------------------------------------


@pytest.mark.oracle
@pytest.mark.skipif(shutil.which("relion_stack_create") is None, reason="RELION is not installed")
def test_relion_makes_a_stack_of_a_selection(project: Project) -> None:
    """cryodrgn#24, #370, #324: without the optics table RELION refused the file ("not all necessary variables defined")."""
    source = project.write(
        {**project.particles(), "rlnOpticsGroup": [1, 2, 1, 2]}, project.optics(2), "run_data.star"
    )
    output = exported(source, KEPT)
    command = ["relion_stack_create", "--i", output.name, "--o", "stack"]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    images = mrcfile.read(project.folder / "Extract" / "images.mrcs")
    np.testing.assert_array_equal(mrcfile.read(project.folder / "stack.mrcs"), images[KEPT])
    optics = starfile.read(project.folder / "stack.star", always_dict=True)["optics"]
    assert set(optics["rlnOpticsGroup"]) >= {2}


def test_files_of_relion_31_need_no_option(shared_data: Path) -> None:
    """cryodrgn#10: "Uneven # columns detected. Is this a RELION 3.1 starfile?", and half the commands had no such flag."""
    report = check(shared_data / "cryodrgn" / "relion31.star")
    assert not report.errors
    table = starfile.read(shared_data / "cryodrgn" / "relion31.star")
    assert report.facts["particles"] == len(table["particles"])
    assert report.facts["pixel_size"] == pytest.approx(table["optics"]["rlnImagePixelSize"].item())


@pytest.mark.parametrize("last", ["optics", "particles"])
def test_every_particle_has_the_optics_of_its_group(project: Project, last: str) -> None:
    """cryodrgn#241: one group's voltage, Cs and pixel size were taken for all, and the order of the tables mattered."""
    optics = {**project.optics(2), "rlnVoltage": [300, 200], "rlnSphericalAberration": [2.7, 1.4]}
    source = project.write({**project.particles(), "rlnOpticsGroup": [2, 1, 1, 2]}, optics)
    first, second = source.read_text().split("\n# version 30001\n\ndata_particles")
    second = f"# version 30001\n\ndata_particles{second}\n"
    source.write_text(first + second if last == "particles" else second + first)
    particles = read_particles(source)
    groups = [particles.optics[index] for index in particles.optics_index]
    assert [(group.voltage, group.spherical_aberration) for group in groups] == [
        (200, 1.4),
        (300, 2.7),
        (300, 2.7),
        (200, 1.4),
    ]


def test_an_undefined_optics_group_is_named(project: Project) -> None:
    """cryodrgn#424: `KeyError: '2'` for particles of an optics group that the table lacks."""
    source = project.write({**project.particles(), "rlnOpticsGroup": [1, 1, 2, 1]}, project.optics())
    assert "row 3: optics group 2 is not among those of data_optics (1); add it there" in refusals(source)


def test_a_column_that_is_there_twice_is_named(star: Path) -> None:
    """relion#849: a converter wrote rlnOpticsGroup twice, with different values; the message spoke of line lengths."""
    text = star.read_text().replace("_rlnImageSize #7\n", "_rlnOpticsGroup #7\n_rlnImageSize #8\n")
    star.write_text(text.replace("300.0 2.7 0.1 2.0 8", "300.0 2.7 0.1 2.0 3 8"))
    with pytest.raises(
        InputError, match="has several columns rlnOpticsGroup in data_optics: keep the right one"
    ):
        read_particles(star)


def test_no_particle_is_dropped_in_silence(project: Project) -> None:
    """cryodrgn#420: 1087 of 1114 particles were read, and nothing said which were left out."""
    names = {"rlnMicrographName": ["_a.mrc", "data_b.mrc", '"loop_ c.mrc"', "d.mrc"]}
    table = {**names, **project.particles(), "rlnMadeUp": ["1", "2", "3", '"#4"']}
    source = project.write(table, project.optics())
    source.write_text(source.read_text().replace("\n_a", "\n\n  _a"))
    assert read_particles(source).count == 4
    source.write_text(source.read_text().replace('"#4"', "#4"))  # a comment: the row ends before it
    with pytest.raises(
        InputError, match="row 4 of data_particles has 12 values for 13 columns: repair or remove"
    ):
        read_particles(source)


# -- cryoSPARC -----------------------------------------------------------------------------------------------------------


def test_a_selection_goes_back_as_the_original_particles(project: Project, cs: Path) -> None:
    """cryodrgn#150, #72, #209: the .cs file had to be exported first, and its .csg file edited by hand."""
    output = exported(cs, KEPT, ending=".cs")
    before, after = np.load(cs), np.load(output)
    assert after.tobytes() == before[KEPT].tobytes()
    group = output.with_suffix(".csg").read_text()
    assert f"metafile: '>{output.name}'" in group
    assert "num_items: 2" in group
    passed = np.load(output.with_name(f"{output.stem}_passthrough_1.cs"))
    np.testing.assert_array_equal(passed["uid"], after["uid"])


def test_images_are_searched_from_the_project_not_from_the_job(project: Project, cs: Path) -> None:
    """recovar#131, cryodrgn#412: images were looked for in the job's own folder, and --datadir did not help; poses and CTF
    had to be given again though the file has them."""
    particles = read_particles(cs)
    assert particles.stack_paths == (project.folder / "Extract" / "images.mrcs",)
    assert particles.defocus[0, 0] == 10000
    (project.folder / "elsewhere").mkdir()
    (project.folder / "Extract" / "images.mrcs").rename(project.folder / "elsewhere" / "images.mrcs")
    sentence = refusals(cs)
    assert "row 1 names Extract/images.mrcs" in sentence
    assert "--path-map Extract=FOLDER" in sentence
    moved = succeed("check", cs, "--path-map", f"Extract={project.folder / 'elsewhere'}")
    assert moved["errors"] == []


def test_a_star_file_needs_no_relion_project(tmp_path: Path, star: Path, project: Project) -> None:
    """relion#1099: "Relion project directory could not be found" for a converted file that lies beside its images."""
    lone = tmp_path / "lone" / "converted.star"
    lone.parent.mkdir()
    shutil.copy(project.folder / "Extract" / "images.mrcs", lone.parent / "images.mrcs")
    lone.write_text(star.read_text().replace("Extract/images.mrcs", "images.mrcs"))
    assert read_particles(lone).stack_paths == (lone.parent / "images.mrcs",)


# -- messages ------------------------------------------------------------------------------------------------------------


def test_what_is_no_stack_is_named(project: Project, star: Path) -> None:
    """relion#1122: "Input is not a stack", and neither file nor row."""
    (project.folder / "Extract" / "images.mrcs").write_bytes(b"not an image" * 200)
    assert "Extract/images.mrcs" in refusals(star)
    table = project.particles()
    table["rlnImageName"][2] = "run_class001.mrc"
    write_stack(project.folder / "run_class001.mrc", np.ones((8, 8, 8), np.float32), 2.0)
    source = project.write(table, project.optics())
    images = np.random.default_rng(0).normal(size=(4, 8, 8)).astype(np.float32)
    write_stack(project.folder / "Extract" / "images.mrcs", images, 2.0, overwrite=True)
    assert "row 3 names run_class001.mrc without the number of an image" in refusals(source)


def test_tilt_series_are_refused_in_words(project: Project) -> None:
    """DynaMight#15, cryodrgn#420: stacks of tilt images ended in "list index out of range"."""
    source = project.write({**project.particles(), "rlnTomoName": ["TS_01"] * 4}, project.optics())
    assert "lists subtomograms or tilt series, not single-particle images" in refusals(source)


def test_pickles_of_other_particles_are_refused_with_both_numbers(project: Project, star: Path) -> None:
    """cryodrgn#388, #295, #389: `assert ctf_params.shape == (Nimg, 8)`, and a map given for the particles."""
    stack = project.folder / "Extract" / "images.mrcs"
    succeed("pickles", published(star), "-o", project.folder / "drgn")
    files = {"poses": project.folder / "drgn" / "poses.pkl", "ctf": project.folder / "drgn" / "ctf.pkl"}
    assert not refusals(stack, **files)
    with (project.folder / "drgn" / "ctf.pkl").open("rb") as file:
        ctf = pickle.load(file)
    (project.folder / "drgn" / "ctf.pkl").write_bytes(pickle.dumps(ctf[:3]))
    assert "ctf.pkl has 3 rows, but there are 4 images" in refusals(stack, **files)
    volume = project.folder / "J37_class_01_volume.mrc"
    with mrcfile.new(volume, np.ones((8, 8, 8), np.float32)) as file:
        file.set_volume()
    assert "has 4 rows, but there are 8 images" in refusals(volume, **files)


def test_odd_boxes_are_refused_in_words(project: Project) -> None:
    """cryodrgn#328: "Image size must be even. Is this a preprocessed dataset?" out of an assert."""
    write_stack(
        project.folder / "Extract" / "images.mrcs", np.ones((4, 9, 9), np.float32), 2.0, overwrite=True
    )
    source = project.write(project.particles(), {**project.optics(), "rlnImageSize": [9]})
    assert "9 px" in refusals(source)


# -- selecting -----------------------------------------------------------------------------------------------------------


def published(source: Path) -> Path:
    """The path of a run with latents of one dimension, 0, 1, 2 ..."""
    run = run_of(source)
    count = len(read_columns(run.star_path)["rlnImageName"])
    mean = np.arange(count, dtype=np.float32)[:, None]
    latents = Latents(mean, 0 * mean, np.ones((count, 1, 1), np.float32), mean[:, 0], 1)
    run.publish(1, {}, latents, {"box": 8, "pixel_size": 2.0, "recipe": "none"})
    return run.path


def test_ranges_of_numbers_select_and_the_count_is_told(star: Path) -> None:
    """cryodrgn#313, #256, relion#466: no selection by ranges of values, or none that said how many it took."""
    output = star.with_name("range.star")
    values = succeed("select", published(star), "--where", "0 < z1 <= 2 & rlnDefocusU > 11500", "-o", output)
    assert (values["particles"], values["rows"]) == (1, 1)
    assert read_columns(output)["rlnDefocusU"].tolist() == [12000.0]


def test_programs_can_select_without_a_keyboard(star: Path) -> None:
    """cryodrgn#425: the file's name was asked for in the terminal, so that Doppio could not call the program."""
    output, indices = star.with_name("called.star"), star.with_name("indices.npy")
    np.save(indices, np.array(KEPT))
    values = succeed("select", published(star), "--indices", indices, "-o", output)
    assert Path(values["star"]) == output
    assert json.loads(output.with_suffix(".json").read_text())["indices"] == KEPT


def test_unsubtracted_images_of_subtracted_particles(project: Project, star: Path) -> None:
    """relion#477, #531, #690: images before subtraction had to be swapped in by hand; boxes, then shifts, did not fit."""
    (project.folder / "Subtract").mkdir()
    write_stack(project.folder / "Subtract" / "s.mrcs", np.ones((4, 6, 6), np.float32), 2.0)
    table = named(project.particles(), "Subtract/s.mrcs")
    table["rlnImageOriginalName"] = project.particles()["rlnImageName"]
    table["rlnOriginXAngst"] = [0.0] * 4  # re-centred
    subtracted = project.write(table, {**project.optics(), "rlnImageSize": [6]}, "Subtract/particles.star")
    rows = read_columns(exported(subtracted, KEPT, star))
    assert rows["rlnOriginXAngst"].tolist() == [
        -2.0,
        0.0,
    ]  # the rows before subtraction have their own shifts
    swapped = subtracted.with_name("swapped.star")
    export_selection(RunDirectory(subtracted.parent / "run_particles"), chosen(KEPT), swapped, revert=True)
    assert read_particles(swapped).box == 8


# -- contrast ------------------------------------------------------------------------------------------------------------


def test_dark_particles_are_pointed_out(tmp_path: Path) -> None:
    """cryodrgn#65, #97: whether data are inverted was to be guessed, and maps came out negative."""
    source = simulate(tmp_path / "set", states=1, particles=60, box=36, pixel_size=8.0, snr=3.0)
    assert not [text for text in check(source).warnings if "dark" in text]
    stack = tmp_path / "set" / "particles.mrcs"
    write_stack(stack, -mrcfile.read(stack), 8.0, overwrite=True)
    assert [text for text in check(source).warnings if "dark" in text]


# -- the list of all this ------------------------------------------------------------------------------------------------


def test_the_list_has_every_thread_with_its_test() -> None:
    """The table in docs/reported-faults.md and the tests above name the same threads."""
    text = (Path(__file__).parents[2] / "docs" / "reported-faults.md").read_text().split("## Without")[0]
    rows = [line.split("|") for line in text.splitlines() if "`test_" in line]
    listed = {re.search(r"`(test_\w+)`", row[4])[1]: set(re.findall(r"#\d+", row[1])) for row in rows}
    tests = {
        name: item for name, item in globals().items() if name.startswith("test_") and "#" in item.__doc__
    }
    assert listed.keys() == tests.keys()
    for name, threads in listed.items():
        assert set(re.findall(r"#\d+", tests[name].__doc__)) <= threads, name
