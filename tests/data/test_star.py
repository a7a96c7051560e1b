"""Reading RELION's particle files: dialects, units and lookup order."""

import json
import re
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from relion_project import Project, format_block, load_arrays

from napari_sbackprop.data.check import check
from napari_sbackprop.data.loader import read_images
from napari_sbackprop.data.mrc import write_stack
from napari_sbackprop.data.star import read_columns, read_particles
from napari_sbackprop.errors import InputError


def test_a_first_row_that_begins_like_a_label(project: Project) -> None:
    """RELION writes such a name without quotes."""
    particles = {"rlnMicrographName": ["_a.mrc", "_b.mrc", "c.mrc", "_d.mrc"], **project.particles()}
    columns = read_columns(project.write(particles, project.optics()))
    assert columns["rlnMicrographName"].tolist() == particles["rlnMicrographName"]
    assert len(columns) == len(particles)


def test_every_field_of_a_relion_31_file(project: Project) -> None:
    particles = read_particles(project.write(project.particles(), project.optics()))

    assert (particles.count, particles.box, particles.pixel_size) == (4, 8, 2.0)
    np.testing.assert_allclose(particles.shift, [[2, 0], [-2, 1], [4, 0], [0, -1]])
    np.testing.assert_allclose(particles.defocus[2], [12000, 11000, 25])
    np.testing.assert_array_equal(particles.slice_index, [0, 1, 2, 3])
    np.testing.assert_array_equal(particles.half_set, [1, 2, 1, 2])
    assert (particles.phase_shift == 0).all()
    assert (particles.b_factor == 0).all()
    assert (particles.scale == 1).all()
    assert particles.stack_paths == (project.folder / "Extract" / "images.mrcs",)
    group = particles.optics[0]
    assert (group.name, group.voltage, group.spherical_aberration) == ("group1", 300.0, 2.7)
    assert not group.ctf_premultiplied
    assert not group.phase_flipped


def test_rotation_is_the_matrix_of_the_angles(project: Project) -> None:
    columns = project.particles()
    columns["rlnAngleRot"] = columns["rlnAngleTilt"] = [0.0] * 4
    columns["rlnAnglePsi"] = [90.0] * 4
    particles = read_particles(project.write(columns, project.optics()))
    np.testing.assert_allclose(particles.rotation[0], [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], atol=1e-7)


@pytest.mark.parametrize("order", [("optics", "particles"), ("particles", "optics")])
def test_blocks_come_in_any_order(project: Project, order: tuple[str, str]) -> None:
    blocks = {"optics": project.optics(), "particles": project.particles()}
    path = project.write_text("\n".join(format_block(name, blocks[name]) for name in order))
    assert read_particles(path).pixel_size == 2.0


def test_shift_unit_follows_the_columns_not_the_version(project: Project) -> None:
    columns = project.particles()
    columns["rlnOriginX"] = columns.pop("rlnOriginXAngst")
    columns["rlnOriginY"] = columns.pop("rlnOriginYAngst")
    particles = read_particles(project.write(columns, project.optics()))
    np.testing.assert_allclose(particles.shift[0], [4.0, 0.0])  # 2 px of 2 Å


def test_angstrom_wins_where_both_units_are_there(project: Project) -> None:
    columns = project.particles() | {"rlnOriginX": [99.0] * 4, "rlnOriginY": [99.0] * 4}
    particles = read_particles(project.write(columns, project.optics()))
    np.testing.assert_allclose(particles.shift[0], [2.0, 0.0])


def test_no_shift_is_zero_and_said(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    columns = project.particles()
    del columns["rlnOriginXAngst"], columns["rlnOriginYAngst"]
    particles = read_particles(project.write(columns, project.optics()))
    assert (particles.shift == 0).all()
    assert "zero is assumed" in caplog.text


def test_relion_30_pixel_size_is_detector_over_magnification(project: Project) -> None:
    columns = project.particles() | {
        "rlnVoltage": [300.0] * 4,
        "rlnSphericalAberration": [2.7] * 4,
        "rlnAmplitudeContrast": [0.07] * 4,
        "rlnDetectorPixelSize": [5.0] * 4,
        "rlnMagnification": [25000.0] * 4,
    }
    del columns["rlnOpticsGroup"]
    particles = read_particles(project.write(columns, None))
    assert particles.pixel_size == pytest.approx(2.0)
    assert particles.box == 8  # from the stack
    assert len(particles.optics) == 1


def test_relion_30_rows_with_different_voltages_form_groups(project: Project) -> None:
    columns = project.particles() | {
        "rlnVoltage": [300.0, 200.0, 300.0, 200.0],
        "rlnSphericalAberration": [2.7] * 4,
        "rlnAmplitudeContrast": [0.07] * 4,
        "rlnImagePixelSize": [2.0] * 4,
    }
    del columns["rlnOpticsGroup"]
    particles = read_particles(project.write(columns, None))
    np.testing.assert_array_equal(particles.optics_index, [0, 1, 0, 1])
    assert [group.voltage for group in particles.optics] == [300.0, 200.0]


def test_groups_keep_the_order_of_the_table_and_unused_ones_are_left_out(project: Project) -> None:
    optics = project.optics(groups=3)
    optics["rlnOpticsGroup"] = [7, 2, 5]
    optics["rlnVoltage"] = [300.0, 200.0, 100.0]
    columns = project.particles() | {"rlnOpticsGroup": [5, 7, 5, 7]}
    particles = read_particles(project.write(columns, optics))
    assert [group.name for group in particles.optics] == ["group1", "group3"]
    np.testing.assert_array_equal(particles.optics_index, [1, 0, 1, 0])
    assert particles.optics[1].voltage == 100.0


def test_a_particles_value_overrides_its_groups(project: Project) -> None:
    optics = project.optics() | {"rlnCtfScalefactor": [0.5], "rlnCtfBfactor": [40.0]}
    columns = project.particles() | {"rlnCtfScalefactor": [1.0, 0.9, 0.8, 0.7]}
    particles = read_particles(project.write(columns, optics))
    np.testing.assert_allclose(particles.scale, [1.0, 0.9, 0.8, 0.7])
    np.testing.assert_allclose(particles.b_factor, 40.0)


@pytest.mark.parametrize(
    ("label", "attribute"),
    [("rlnCtfDataAreCtfPremultiplied", "ctf_premultiplied"), ("rlnCtfDataArePhaseFlipped", "phase_flipped")],
)
def test_ctf_flags_belong_to_their_group(project: Project, label: str, attribute: str) -> None:
    optics = project.optics(groups=2) | {label: [1, 0]}
    columns = project.particles() | {"rlnOpticsGroup": [1, 1, 2, 2]}
    particles = read_particles(project.write(columns, optics))
    assert [getattr(group, attribute) for group in particles.optics] == [True, False]


def test_box_is_taken_from_the_stack_where_the_file_has_none(project: Project) -> None:
    optics = project.optics()
    del optics["rlnImageSize"]
    assert read_particles(project.write(project.particles(), optics)).box == 8


def test_one_row_optics_as_pairs(project: Project) -> None:
    pairs = "\n".join(f"_{label} {values[0]} # a comment" for label, values in project.optics().items())
    path = project.write_text(f"data_optics\n\n{pairs}\n\n{format_block('particles', project.particles())}")
    assert read_particles(path).optics[0].name == "group1"


def test_comments_quotes_blank_lines_tabs_and_unnumbered_labels(project: Project) -> None:
    text = (
        "# a comment\ndata_optics # and another\n\nloop_\n"
        "_rlnOpticsGroup\n# between labels\n_rlnOpticsGroupName\n_rlnVoltage\n_rlnSphericalAberration\n"
        "_rlnAmplitudeContrast\n_rlnImagePixelSize\n_rlnImageSize\n"
        '1\t"my #1 group"\t300\t2.7\t0.1\t2.0\t8 # done\n'
    )
    particles = format_block("particles", project.particles()).replace("\n000003", "\n\n# here\n 000003")
    result = read_particles(project.write_text(text + particles))
    assert result.count == 4
    assert result.optics[0].name == "my #1 group"


def test_windows_line_ends_byte_order_mark_and_no_newline_at_the_end(project: Project) -> None:
    path = project.write(project.particles(), project.optics())
    text = path.read_bytes().rstrip().replace(b"\n", b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text)
    assert read_particles(path).count == 4


def test_rows_need_not_follow_the_stack(project: Project) -> None:
    columns = project.particles()
    columns["rlnImageName"] = [f"{number}@Extract/images.mrcs" for number in (4, 1, 1, 2)]
    np.testing.assert_array_equal(
        read_particles(project.write(columns, project.optics())).slice_index, [3, 0, 0, 1]
    )


def test_a_name_without_a_number_is_a_file_with_one_image(project: Project) -> None:
    with mrcfile.new(project.folder / "Extract" / "one.mrc") as file:
        file.set_data(np.zeros((1, 8, 8), dtype=np.float32))
    columns = project.particles()
    columns["rlnImageName"][2] = "Extract/one.mrc"
    particles = read_particles(project.write(columns, project.optics()))
    assert particles.slice_index[2] == 0
    assert particles.stack_paths[particles.stack_index[2]].name == "one.mrc"


def test_images_are_found_from_a_given_project(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = project.write(project.particles(), project.optics())
    copy = tmp_path_factory.mktemp("run") / "particles.star"
    copy.write_bytes(path.read_bytes())
    assert read_particles(copy, project=path.parent).stack_paths[0].is_file()


def test_beam_tilt_is_the_particles_own_or_its_groups(project: Project) -> None:
    optics = project.optics() | {"rlnBeamTiltX": [0.1], "rlnBeamTiltY": [-0.2]}
    columns = project.particles() | {"rlnBeamTiltY": [1.0, 2.0, 3.0, 4.0]}
    particles = read_particles(project.write(columns, optics))
    np.testing.assert_allclose(particles.beam_tilt, [[0.1, 1], [0.1, 2], [0.1, 3], [0.1, 4]])
    assert len(particles.optics) == 1


def test_odd_zernikes_belong_to_their_group(project: Project) -> None:
    optics = project.optics(groups=2) | {"rlnOddZernike": ["[0,0.5,-1e-3,4,5,6]", "[]"]}
    columns = project.particles() | {"rlnOpticsGroup": [2, 1, 2, 1]}
    particles = read_particles(project.write(columns, optics))
    assert [group.odd_zernikes for group in particles.optics] == [(0, 0.5, -1e-3, 4, 5, 6), ()]
    np.testing.assert_array_equal(particles.optics_index, [1, 0, 1, 0])


def test_even_zernikes_belong_to_their_group(project: Project) -> None:
    optics = project.optics() | {"rlnEvenZernike": ["[45.5,-1.5,67.5,14.4]"]}
    particles = read_particles(project.write(project.particles(), optics))
    assert particles.optics[0].even_zernikes == (45.5, -1.5, 67.5, 14.4)


def test_rows_of_one_group_with_different_zernikes_form_groups(project: Project) -> None:
    columns = project.particles() | {"rlnOddZernike": ["[1]", "[2]", "[1]", "[2]"]}
    particles = read_particles(project.write(columns, project.optics()))
    assert [group.odd_zernikes for group in particles.optics] == [(1,), (2,)]
    np.testing.assert_array_equal(particles.optics_index, [0, 1, 0, 1])


def test_beam_tilt_takes_the_place_of_comas_zernikes(project: Project) -> None:
    optics = project.optics() | {"rlnBeamTiltX": [0.0], "rlnOddZernike": ["[1,2,3,4,5,6]"]}
    particles = read_particles(project.write(project.particles(), optics))
    assert particles.optics[0].odd_zernikes == (1, 2, 3, 0, 0, 6)


@pytest.mark.parametrize(
    "text",
    [
        "None",
        "abc",
        "[0,x]",
        "[0,nan]",
        "[1,,2]",
        "0,1",
        "[0,1",
        "[[0,1]]",
        "]0[",
        "[1_0]",
        "[0x1]",
        "[,]",
        "[0,1e7]",
        "[-1e300]",
        "[1e999]",
    ],
)
def test_aberrations_that_are_no_numbers_are_refused(project: Project, text: str) -> None:
    path = project.write(project.particles(), project.optics() | {"rlnOddZernike": [text]})
    sentence = f", optics group group1: rlnOddZernike is {text!r}, but must be a list of numbers up to 1e+06"
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_particles(path)


@pytest.mark.parametrize("text", ["[]", "[0]", "[-1.5,+2.,.5,1e-3,2E+05]"])
def test_lists_of_numbers_are_read_as_relion_writes_them(project: Project, text: str) -> None:
    path = project.write(project.particles(), project.optics() | {"rlnEvenZernike": [text]})
    assert read_particles(path).optics[0].even_zernikes == tuple(
        json.loads(text.replace("+2.,.5", "2.0,0.5"))
    )


@pytest.mark.parametrize(
    ("label", "value", "wanted"),
    [
        ("rlnBeamTiltX", 200, "between -100 and 100; give it in mrad"),
        ("rlnBeamTiltY", "-inf", "between -100 and 100; give it in mrad"),
        ("rlnSphericalAberration", 2.7e7, "between 0 and 100; give it in mm"),
        ("rlnCtfDataAreCtfPremultiplied", 2, "0 or 1; write 1 for yes and 0 for no"),
        ("rlnCtfDataArePhaseFlipped", 0.5, "0 or 1; write 1 for yes and 0 for no"),
        ("rlnImageSize", 8.5, "a whole number of pixels; give the side of the images"),
        ("rlnCtfBfactor", 1e6, "between -1000 and 10000; give it in Å²"),
        ("rlnCtfScalefactor", 1e4, "between -100 and 100; give a factor on the CTF"),
        ("rlnPhaseShift", 1000, "between -360 and 360; give it in degrees"),
    ],
)
def test_a_value_that_no_microscope_has_is_refused(
    project: Project, label: str, value: object, wanted: str
) -> None:
    sentence = re.escape(f": {label} is {float(value):g}, but must be {wanted}")
    right = project.optics().get(label, [0])[0]
    particles = project.particles()
    optics = project.optics(groups=2) | {label: [right, value]}
    path = project.write(particles | {"rlnOpticsGroup": [1, 1, 2, 2]}, optics)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}, optics group group2{sentence}"):
        read_particles(path)
    path = project.write(particles | {label: [right, right, right, value]}, project.optics())
    with pytest.raises(InputError, match=f", row 4{sentence}"):
        read_particles(path)


def test_an_underscore_makes_no_number(project: Project) -> None:
    path = project.write(
        project.particles() | {"rlnDefocusU": ["12000", "1e4", "1_2000", "15000"]}, project.optics()
    )
    with pytest.raises(
        InputError, match="row 3 of data_particles: rlnDefocusU is '1_2000', but must be a number"
    ):
        read_particles(path)


def test_magnification_belongs_to_its_group(project: Project) -> None:
    optics = project.optics(groups=2) | {"rlnMagMat00": [1.01, 0.99], "rlnMagMat01": [-0.02, 0.03]}
    particles = read_particles(project.write(project.particles() | {"rlnOpticsGroup": [1, 2, 2, 1]}, optics))
    assert [group.magnification for group in particles.optics] == [(1.01, -0.02, 0, 1), (0.99, 0.03, 0, 1)]


@pytest.mark.parametrize(
    ("sizes", "boxes", "box", "pixel_size"),
    [
        ([2.0, 2.5], [10, 8], 10, 2.0),  # equally wide
        ([2.0, 2.5], [8, 8], 10, 2.0),
        ([2.5, 2.0], [8, 8], 10, 2.0),
        ([2.0, 2.0], [8, 12], 12, 2.0),
        ([2.0, 3.0], [8, 6], 10, 2.0),  # 18 angstrom need 9 px, and boxes are even
        ([2.0, 2.0001], [8, 8], 8, 2.0),
    ],
)
def test_groups_of_different_scale_share_a_map_that_no_image_exceeds(
    project: Project, sizes: list[float], boxes: list[int], box: int, pixel_size: float
) -> None:
    for number, side in enumerate(boxes, 1):
        write_stack(project.folder / f"Extract/group{number}.mrcs", np.zeros((2, side, side)), 1.0)
    columns = project.particles() | {"rlnOpticsGroup": [1, 2, 1, 2]}
    columns["rlnImageName"] = [f"{row // 2 + 1}@Extract/group{row % 2 + 1}.mrcs" for row in range(4)]
    optics = project.optics(groups=2) | {"rlnImagePixelSize": sizes, "rlnImageSize": boxes}
    particles = read_particles(project.write(columns, optics))
    assert (particles.box, particles.pixel_size) == (box, pixel_size)
    assert read_images(particles, np.array([1, 3])).shape == (2, boxes[1], boxes[1])
    if boxes[0] != boxes[1]:
        with pytest.raises(ValueError, match="of several sizes"):
            read_images(particles, np.array([0, 1]))
    facts = check(particles.source).facts["optics_groups"]
    assert [(group["box"], group["pixel_size"]) for group in facts] == list(zip(boxes, sizes, strict=True))


def test_a_magnification_far_from_one_is_refused(project: Project) -> None:
    path = project.write(project.particles(), project.optics() | {"rlnMagMat11": [0.0]})
    with pytest.raises(
        InputError, match=r", optics group group1: rlnMagMat11 is 0, but must be less than 0.5 from 1; give"
    ):
        read_particles(path)


def test_aberrations_are_not_worth_a_warning(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    columns = {
        "rlnBeamTiltX": [0.1],
        "rlnMagMat00": [1.01],
        "rlnOddZernike": ["[0,0]"],
        "rlnEvenZernike": ["[1]"],
    }
    read_particles(project.write(project.particles(), project.optics() | columns))
    assert not caplog.records


def test_columns_have_the_type_that_fits(project: Project) -> None:
    names = ["mic_1", "mic_1", "mic_2", "2018_10"]
    columns = read_columns(
        project.write(project.particles() | {"rlnMicrographName": names}, project.optics())
    )
    assert columns["rlnRandomSubset"].dtype == np.int64
    assert columns["rlnDefocusU"].dtype == np.float64
    assert columns["rlnMicrographName"].tolist() == names
    assert list(read_columns(project.folder / "Refine3D/job001/run_data.star", ["rlnAngleRot", "none"])) == [
        "rlnAngleRot"
    ]


# -- files of other programs ---------------------------------------------------------------------------------------


def test_optics_after_the_particles_reads_the_same(shared_data: Path) -> None:
    first = read_particles(shared_data / "cryodrgn" / "relion31.star")
    second = read_particles(shared_data / "cryodrgn" / "relion31.v2.star")
    assert (first.box, first.pixel_size, first.optics) == (256, 2.806, second.optics)
    for field in ("rotation", "shift", "defocus", "scale", "b_factor", "half_set"):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))


def test_two_groups_of_relion(shared_data: Path) -> None:
    particles = read_particles(shared_data / "relion_golden" / "proj_ctf.star")
    assert [(g.voltage, g.spherical_aberration, g.amplitude_contrast) for g in particles.optics] == [
        (300.0, 2.7, 0.1),
        (200.0, 2.0, 0.07),
    ]
    assert (particles.phase_shift > 0).sum() == 4


def test_relion_30_file_reads_as_another_program_reads_it(shared_data: Path, tmp_path: Path) -> None:
    name = "FinalRefinement-OriginalParticles-PfCRT"
    source = tmp_path / "run_data.star"
    source.write_bytes((shared_data / "cryodrgn" / f"{name}.star").read_bytes())
    stack = tmp_path / "Extract" / "job012" / f"{name}.mrcs"
    stack.parent.mkdir(parents=True)
    with mrcfile.new(stack) as file:
        file.set_data(np.zeros((5, 300, 300), dtype=np.int8))
    particles = read_particles(source)
    rotation, shift = load_arrays(shared_data / "cryodrgn" / "pose.star.pkl")
    ctf = load_arrays(shared_data / "cryodrgn" / "ctf1.pkl")

    assert particles.box == 300
    assert particles.pixel_size == pytest.approx(1.035)
    np.testing.assert_allclose(particles.rotation, rotation, atol=1e-6)
    np.testing.assert_allclose(particles.shift, shift * 300 * 1.035, atol=1e-4)
    np.testing.assert_allclose(particles.defocus, ctf[:, 2:5], rtol=1e-6)
    np.testing.assert_allclose(particles.phase_shift, ctf[:, 8])


def test_relion_5_file_with_lists_in_brackets(shared_data: Path) -> None:
    columns = read_columns(shared_data / "cryodrgn" / "relion5.star")
    assert len(columns["rlnImageName"]) == 17
    assert columns["rlnImageName"][0] == "1@toy_images_a.mrcs"
