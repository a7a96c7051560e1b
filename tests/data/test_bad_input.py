"""Bad input ends in one sentence: file, row or value, and what to do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from relion_project import Project, Table

from napari_sbackprop.data.mrc import write_stack, write_volume
from napari_sbackprop.data.star import read_columns, read_particles
from napari_sbackprop.errors import InputError

Spoil = Callable[[Table, Table], object]


def put(table: str, label: str, row: int, value: object) -> Spoil:
    """Replace one value."""

    def spoil(particles: Table, optics: Table) -> None:
        ({"particles": particles, "optics": optics}[table])[label][row] = value

    return spoil


def drop(table: str, *labels: str) -> Spoil:
    """Leave out columns."""

    def spoil(particles: Table, optics: Table) -> None:
        for label in labels:
            del ({"particles": particles, "optics": optics}[table])[label]

    return spoil


CASES: dict[str, tuple[Spoil, str]] = {
    "no poses": (
        drop("particles", "rlnAngleRot", "rlnAnglePsi"),
        r"has no column rlnAngleRot, rlnAnglePsi: take the particles of a 3D refinement, which have poses",
    ),
    "no CTF": (drop("particles", "rlnDefocusU"), r"has no column rlnDefocusU: estimate the CTF first"),
    "one shift": (drop("particles", "rlnOriginYAngst"), r"has no column rlnOriginYAngst: add it, with zeros"),
    "no voltage": (
        drop("optics", "rlnVoltage"),
        r"has no column rlnVoltage: add the acceleration voltage in kV",
    ),
    "no Cs": (
        drop("optics", "rlnSphericalAberration"),
        r"has no column rlnSphericalAberration: add the spherical",
    ),
    "no pixel size": (
        drop("optics", "rlnImagePixelSize"),
        r"gives no pixel size: add rlnImagePixelSize, or rlnDetectorPixelSize with rlnMagnification",
    ),
    "zero pixel size": (
        put("optics", "rlnImagePixelSize", 0, 0.0),
        r", row 1: the pixel size is 0 Å, but must be positive and below 1000; correct the file",
    ),
    "NaN pose": (
        put("particles", "rlnAngleTilt", 2, "nan"),
        r", row 3: rlnAngleTilt is nan, but must be a finite number; correct or remove the row \(1 such rows\)",
    ),
    "infinite shift": (put("particles", "rlnOriginXAngst", 1, "inf"), r", row 2: rlnOriginXAngst is inf"),
    "NaN voltage": (
        put("optics", "rlnVoltage", 0, "nan"),
        r", optics group group1: rlnVoltage is nan, but must be between 10 and 1000",
    ),
    "voltage in V": (
        put("optics", "rlnVoltage", 0, 300000),
        r", optics group group1: rlnVoltage is 300000, but must be between 10 and 1000; give it in kV, not in V",
    ),
    "zero voltage": (
        put("optics", "rlnVoltage", 1, 0),
        r", optics group group2: rlnVoltage is 0, but must be between 10",
    ),
    "negative Cs": (
        put("optics", "rlnSphericalAberration", 0, -2.7),
        r", optics group group1: rlnSphericalAberration is -2\.7, but must be between 0 and 100; give it in mm",
    ),
    "infinite Cs": (
        put("optics", "rlnSphericalAberration", 0, "inf"),
        r", optics group group1: rlnSphericalAberration is inf, but must be between 0 and 100",
    ),
    "amplitude contrast in percent": (
        put("optics", "rlnAmplitudeContrast", 0, 10),
        r", optics group group1: rlnAmplitudeContrast is 10, but must be at least 0 and below 1; give it as a fraction",
    ),
    "negative amplitude contrast": (
        put("optics", "rlnAmplitudeContrast", 1, -0.1),
        r", optics group group2: rlnAmplitudeContrast is -0\.1, but must be at least 0 and below 1",
    ),
    "negative pixel size": (
        put("optics", "rlnImagePixelSize", 0, -2),
        r", row 1: the pixel size is -2 Å, but must be positive",
    ),
    "word for a number": (
        put("particles", "rlnDefocusV", 3, "<NA>"),
        r", row 4 of data_particles: rlnDefocusV is '<NA>', but must be a number; repair or remove the row",
    ),
    "value too many": (
        put("particles", "rlnImageName", 1, "2@my images.mrcs"),
        r", row 2 of data_particles has 12 values for 11 columns: repair or remove the row",
    ),
    "image zero": (
        put("particles", "rlnImageName", 3, "0@Extract/images.mrcs"),
        r", row 4: rlnImageName is '0@Extract/images.mrcs', but images count from 1",
    ),
    "image without a number": (
        put("particles", "rlnImageName", 0, "x@Extract/images.mrcs"),
        r", row 1: rlnImageName is 'x@Extract/images.mrcs', but images count from 1",
    ),
    "number too long": (
        put("particles", "rlnImageName", 0, "9" * 30 + "@Extract/images.mrcs"),
        r", row 1: rlnImageName is '9+@Extract/images.mrcs', but images count from 1",
    ),
    "stack without a number": (
        put("particles", "rlnImageName", 1, "Extract/images.mrcs"),
        r", row 2 names Extract/images.mrcs without the number of an image, but the file holds 4",
    ),
    "missing stack": (
        put("particles", "rlnImageName", 2, "3@Extract/gone.mrcs"),
        r", row 3 names Extract/gone.mrcs, which is neither in .* nor in a folder above \(1 of 2 stacks missing\)",
    ),
    "slice beyond the stack": (
        put("particles", "rlnImageName", 1, "5@Extract/images.mrcs"),
        r", row 2 asks for image 5 of Extract/images.mrcs, which has 4 \(1 such rows\): copy the whole stack",
    ),
    "undefined group": (
        put("particles", "rlnOpticsGroup", 2, 9),
        r", row 3: optics group 9 is not among those of data_optics \(1, 2\); add it there",
    ),
    "group defined twice": (
        put("optics", "rlnOpticsGroup", 1, 1),
        r": data_optics defines an optics group twice",
    ),
    "group not said": (
        drop("particles", "rlnOpticsGroup"),
        r"has 2 optics groups, but no column rlnOpticsGroup",
    ),
    "box of another stack": (
        put("optics", "rlnImageSize", 0, 16),
        r", row 1: Extract/images.mrcs has images of 8 px, but optics group group1 has a box of 16 px",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_spoiled_table_is_refused(project: Project, case: str) -> None:
    spoil, sentence = CASES[case]
    particles, optics = project.particles() | {"rlnOpticsGroup": [1, 2, 1, 2]}, project.optics(groups=2)
    spoil(particles, optics)
    path = project.write(particles, optics)
    with pytest.raises(InputError, match=sentence) as caught:
        read_particles(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert message.endswith(".")


def test_an_optics_table_without_rows_is_none(project: Project) -> None:
    empty = {label: [] for label in project.optics()}
    with pytest.raises(InputError, match="gives no pixel size"):
        read_particles(project.write(project.particles(), empty))


def test_odd_boxes_are_refused(project: Project) -> None:
    write_stack(project.folder / "Extract" / "images.mrcs", np.zeros((4, 9, 9)), 2.0, overwrite=True)
    optics = project.optics() | {"rlnImageSize": [9]}
    with pytest.raises(InputError, match="optics group group1 has an odd box of 9 px, but it must be even"):
        read_particles(project.write(project.particles(), optics))


def test_images_must_be_square(project: Project) -> None:
    write_stack(project.folder / "Extract" / "images.mrcs", np.zeros((4, 8, 6)), 2.0, overwrite=True)
    with pytest.raises(InputError, match=r"images\.mrcs has images of 6 x 8 px, but they must be square"):
        read_particles(project.write(project.particles(), project.optics()))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "is empty"), (b"x" * 5000, "its first numbers are no image size")],
)
def test_a_damaged_stack_is_named(project: Project, content: bytes, sentence: str) -> None:
    stack = project.folder / "Extract" / "images.mrcs"
    stack.write_bytes(content)
    path = project.write(project.particles(), project.optics())
    with pytest.raises(InputError, match=sentence) as caught:
        read_particles(path)
    assert str(stack) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"run_data\.star is empty \(0 bytes\)"),
        ("a plain text\n", r"is not a STAR file, for it has no table under a data_ line"),
        ("data_particles\n\nloop_\n_rlnImageName\n_rlnAngleRot\n", r"has no rows in data_particles"),
        ("data_\nloop_\n_rlnMicrographName\nm.mrc\n", r"lists micrographs, not particle images"),
        (
            "data_x\nloop_\n_other\n1\n",
            r"lists no particles, for none of its blocks \(data_x\) has rlnImageName",
        ),
        (
            "data_particles\nloop_\n_rlnTomoParticleName\n_rlnImageName\nt/1 1@a.mrcs\n",
            r"lists subtomograms or tilt series, not single-particle images",
        ),
        (
            "data_a\nloop_\n_rlnImageName\n1@a\ndata_b\nloop_\n_rlnImageName\n1@a\n",
            r"\(data_a, data_b\): keep one",
        ),
        ("\0\1\2" * 100, r"is a binary file, not a STAR file"),
    ],
)
def test_other_texts_are_refused(project: Project, text: str, sentence: str) -> None:
    path = project.write_text(text)
    for read in (read_particles, read_columns):
        with pytest.raises(InputError, match=sentence):
            read(path)


def test_a_map_is_no_star_file(tmp_path: Path) -> None:
    write_volume(tmp_path / "map.mrc", np.zeros((4, 4, 4)), 1.0)
    with pytest.raises(InputError, match="is an MRC stack or map, not a STAR file: give the STAR file"):
        read_particles(tmp_path / "map.mrc")


def test_a_star_file_with_zero_bytes_is_called_damaged(project: Project) -> None:
    path = project.write(project.particles(), project.optics())
    path.write_bytes(path.read_bytes() + b"# \n" * 30000 + b"\0" * 4096)
    with pytest.raises(InputError, match="is damaged, for it has zero bytes between the text: copy it again"):
        read_particles(path)


def test_a_map_listed_as_a_stack_is_pointed_out(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    write_volume(project.folder / "Extract" / "images.mrcs", np.ones((8, 8, 8)), 2.0, overwrite=True)
    read_particles(project.write(project.particles(), project.optics()))
    assert "perhaps a map instead of images" in caplog.text


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder: give the file inside it"):
        read_particles(tmp_path)
    with pytest.raises(InputError, match="does not exist: check the name and the folder"):
        read_particles(tmp_path / "missing.star")


def test_a_file_without_permission_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project.write(project.particles(), project.optics())

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything, whatever the mode
    with pytest.raises(
        InputError, match=r"run_data\.star cannot be read \(Permission denied\): check its permissions"
    ):
        read_particles(path)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("starfile/one_loop.star", "lists subtomograms or tilt series"),
        ("starfile/default_pipeline.star", "is the pipeline of a RELION project, not a particle file"),
        (
            "starfile/run_it025_optimiser_3D.star",
            "give the particles it names, Class3D/job020/run_it025_data.star",
        ),
        (
            "starfile/rln3.1_data_style.star",
            r"several tables with rlnImageName \(data_block_2, data_block_3\)",
        ),
        ("relion_golden/loc_it004_model.star", "is a RELION model, not a particle file"),
        ("relion_golden/loc_it004_sampling.star", "is a RELION sampling of orientations"),
        ("relion_golden/in.star", r"row 1 names in\.mrcs, which is neither in"),
        ("cryodrgn/empiar_10076_7.star", "has no column rlnAngleRot, rlnAngleTilt, rlnAnglePsi"),
        ("cryodrgn/empiar_10076_7.mrc", "is an MRC stack or map"),
        ("cryodrgn/ind100.pkl", "is a binary file, not a STAR file"),
    ],
)
def test_files_of_other_programs_that_are_no_particles(shared_data: Path, name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_particles(shared_data / name)


def test_a_stack_of_another_box_is_refused(shared_data: Path, tmp_path: Path) -> None:
    """The stack of this file has 30 px, its optics table says 448."""
    source = shared_data / "cryodrgn" / "relion5.star"
    (tmp_path / "run_data.star").write_bytes(source.read_bytes().replace(b"toy_images_b", b"toy_images_a"))
    folder = shared_data / "cryodrgn" / "toy_datadir"
    with pytest.raises(
        InputError, match=r"toy_images_a\.mrcs has images of 30 px, but optics group opticsGroup1 has"
    ):
        read_particles(tmp_path / "run_data.star", project=folder)
