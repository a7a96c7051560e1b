"""Images arrive in the order that was asked for."""

from pathlib import Path

import numpy as np
import pytest
from relion_project import Project

from napari_sbackprop.data.loader import read_images
from napari_sbackprop.data.mrc import open_stack, write_stack
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.errors import InputError


def test_order_repetition_and_several_stacks(project: Project) -> None:
    second = np.arange(2 * 64, dtype=np.float32).reshape(2, 8, 8)
    write_stack(project.folder / "Extract" / "second.mrcs", second, 2.0)
    columns = project.particles()
    columns["rlnImageName"] = [
        "2@Extract/second.mrcs",
        "3@Extract/images.mrcs",
        "1@Extract/second.mrcs",
        "1@Extract/images.mrcs",
    ]
    particles = read_particles(project.write(columns, project.optics()))
    first = np.array(open_stack(project.folder / "Extract" / "images.mrcs"))
    images = read_images(particles, np.array([3, 0, 1, 2, 0]))
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, [first[0], second[1], first[2], second[0], second[1]])


def test_no_images_is_an_empty_array(project: Project) -> None:
    particles = read_particles(project.write(project.particles(), project.optics()))
    assert read_images(particles, np.array([], dtype=np.int64)).shape == (0, 8, 8)


def test_row_and_stack_of_an_image_that_is_not_finite(project: Project) -> None:
    particles = read_particles(project.write(project.particles(), project.optics()))
    path = project.folder / "Extract" / "images.mrcs"
    content = bytearray(path.read_bytes())
    content[1024 + 2 * 256 : 1024 + 2 * 256 + 4] = np.float32(np.nan).tobytes()
    path.write_bytes(content)
    assert read_images(particles, np.array([0, 1])).shape == (2, 8, 8)
    with pytest.raises(
        InputError,
        match=r"images\.mrcs: image 3 \(row 3 of .*run_data\.star\) holds values that are not finite",
    ):
        read_images(particles, np.array([3, 2]))


def test_a_relion_stack_equals_its_star_file_order(shared_data: Path) -> None:
    particles = read_particles(shared_data / "relion_golden" / "proj_ctf.star")
    stack = open_stack(shared_data / "relion_golden" / "proj_ctf.mrcs")
    np.testing.assert_array_equal(read_images(particles, np.arange(16)), stack)
