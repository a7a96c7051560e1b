"""The same images in several STAR files."""

from pathlib import Path

import numpy as np
import pytest

from napari_sbackprop.data.image_matching import first_of_each_image, matching_rows
from napari_sbackprop.errors import InputError

ROWS = ["1@a/one.mrcs", "2@a/one.mrcs", "1@a/two.mrcs", "2@a/one.mrcs", "3@a/two.mrcs"]


def write_star(path: Path, names: list[str]) -> Path:
    header = ["data_particles", "", "loop_", "_rlnImageName #1", "_rlnAngleRot #2"]
    path.write_text("\n".join([*header, *(f"{name} {row}.0" for row, name in enumerate(names)), ""]))
    return path


@pytest.fixture
def star(tmp_path: Path) -> Path:
    return write_star(tmp_path / "run.star", ROWS)


def test_first_row_of_each_image_is_kept(star: Path) -> None:
    assert first_of_each_image(star, np.array([0, 1, 3, 4])).tolist() == [0, 1, 4]
    assert first_of_each_image(star, np.array([3])).tolist() == [3]


def test_rows_are_matched_by_name_in_any_order(star: Path) -> None:
    original = write_star(star.with_name("other.star"), [*reversed(ROWS), "9@a/one.mrcs"])
    assert matching_rows(star, np.array([0, 2]), original).tolist() == [2, 4]


def test_all_rows_of_an_image_are_taken(star: Path) -> None:
    assert matching_rows(star, np.array([1]), star).tolist() == [1, 3]


def test_leading_zeros_do_not_matter(star: Path) -> None:
    original = write_star(star.with_name("other.star"), [f"0000{name}" for name in ROWS])
    assert matching_rows(star, np.array([4]), original).tolist() == [4]


def test_stacks_in_another_folder_are_matched_by_file_name(star: Path) -> None:
    original = write_star(star.with_name("other.star"), [name.replace("@a/", "@unbinned/") for name in ROWS])
    assert matching_rows(star, np.array([2, 4]), original).tolist() == [2, 4]


def test_file_names_that_two_stacks_share_decide_nothing(star: Path) -> None:
    names = ["1@b/one.mrcs", "1@c/one.mrcs", "1@b/two.mrcs"]
    original = write_star(star.with_name("other.star"), names)
    with pytest.raises(InputError, match=r"lacks 1 of the chosen images, first 1@a/one\.mrcs of row 1"):
        matching_rows(star, np.array([0]), original)


def test_missing_images_are_counted_and_the_first_is_named(star: Path) -> None:
    original = write_star(star.with_name("other.star"), ROWS[:2])
    with pytest.raises(InputError, match=r"lacks 2 of the chosen images, first 1@a/two\.mrcs of row 3"):
        matching_rows(star, np.array([0, 2, 4]), original)
