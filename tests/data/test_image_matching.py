"""The same images in several STAR files."""

import logging
from pathlib import Path

import numpy as np
import pytest

from napari_sbackprop.data.image_matching import first_of_each_image, matching_rows
from napari_sbackprop.data.star import read_columns
from napari_sbackprop.errors import InputError

ROWS = ["1@a/one.mrcs", "2@a/one.mrcs", "1@a/two.mrcs", "2@a/one.mrcs", "3@a/two.mrcs"]


SUBTRACTED = [f"{number}@Subtract/job010/Particles/subtracted.mrcs" for number in range(1, 6)]


def write_star(path: Path, names: list[str], before: list[str] | None = None) -> Path:
    """A STAR file of images; `before` are their names before subtraction."""
    header = ["data_particles", "", "loop_", "_rlnImageName #1", "_rlnAngleRot #2"]
    rows = [f"{name} {row}.0" for row, name in enumerate(names)]
    if before is not None:
        header.append("_rlnImageOriginalName #3")
        rows = [f"{row} {name}" for row, name in zip(rows, before, strict=True)]
    path.write_text("\n".join([*header, *rows, ""]))
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


def test_copies_of_an_image_are_told_apart_or_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Three subtracted images of each of two expanded ones."""
    copies = [f"{number}@sub.mrcs" for number in range(1, 7)]
    images = ["1@a.mrcs"] * 3 + ["2@a.mrcs"] * 3
    subtracted = write_star(tmp_path / "sub.star", copies[::-1], before=images[::-1])
    reverted = write_star(tmp_path / "reverted.star", images, before=copies)
    expanded = write_star(tmp_path / "expanded.star", images)
    with caplog.at_level(logging.WARNING):
        assert matching_rows(reverted, np.array([1]), subtracted).tolist() == [4]
        assert matching_rows(subtracted, np.array([4]), reverted).tolist() == [1]
        assert matching_rows(expanded, np.arange(3), subtracted).tolist() == [3, 4, 5]
        assert matching_rows(expanded, np.array([1, 4]), subtracted, unique=True).tolist() == [0, 3]
        assert not caplog.text
        assert matching_rows(expanded, np.array([1]), subtracted).tolist() == [3, 4, 5]
    assert "sub.star has more rows of the chosen images, 3, than were chosen, 1" in caplog.text
    assert "--unique-images" in caplog.text


@pytest.fixture
def expanded(tmp_path: Path) -> Path:
    """Four images with three copies each, turned about an axis of symmetry; copy c of image i is row 3 i + c."""
    angles = np.random.default_rng(4).uniform(0, 180, (4, 3)).repeat(3, axis=0)
    angles[:, 0] += np.tile([0, 120, 240], 4)
    return write_angles(
        tmp_path / "expanded.star", [f"{row // 3 + 1}@a/one.mrcs" for row in range(12)], angles
    )


def write_angles(path: Path, names: list[str], angles: np.ndarray) -> Path:
    labels = ["rlnImageName", "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
    rows = [f"{name} {rot} {tilt} {psi}" for name, (rot, tilt, psi) in zip(names, angles, strict=True)]
    path.write_text("\n".join(["data_particles", "loop_", *(f"_{label}" for label in labels), *rows, ""]))
    return path


@pytest.mark.parametrize("moved", [0.0, 5.0])
def test_copies_are_told_apart_by_their_orientations(
    expanded: Path, caplog: pytest.LogCaptureFixture, moved: float
) -> None:
    """Also after another refinement, and where the angles of the same orientation are written otherwise."""
    table = read_columns(expanded)
    angles = np.stack([table[label] for label in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")], axis=1)
    angles = angles * [1, -1, 1] + [180, moved, 180]  # the same orientation, then moved
    order = np.random.default_rng(2).permutation(12)
    names = [str(name).replace("@a/", "@unbinned/") for name in table["rlnImageName"]]
    original = write_angles(expanded.with_name("b.star"), [names[row] for row in order], angles[order])
    for chosen in ([4], [0, 1, 5, 11], range(12)):
        found = matching_rows(expanded, np.array(chosen), original)
        assert sorted(order[found].tolist()) == list(chosen)
    assert "more rows" not in caplog.text


def test_copies_of_one_orientation_are_all_taken_with_a_warning(
    expanded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    same = write_angles(expanded.with_name("same.star"), ["1@a/one.mrcs"] * 3, np.zeros((3, 3)))
    assert matching_rows(expanded, np.array([0, 1]), same).tolist() == [0, 1, 2]
    assert "nothing tells which are meant" in caplog.text


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


def test_subtracted_particles_are_matched_with_their_originals_and_back(star: Path) -> None:
    subtracted = write_star(star.with_name("subtracted.star"), SUBTRACTED, before=ROWS[::-1])
    assert matching_rows(subtracted, np.array([0, 2]), star).tolist() == [2, 4]
    assert matching_rows(star, np.array([0, 2]), subtracted).tolist() == [2, 4]


def test_two_subtractions_are_matched_by_the_images_before(star: Path) -> None:
    """Both write stacks of one name, whose images are numbered differently."""
    first = write_star(star.with_name("first.star"), SUBTRACTED, before=ROWS)
    names = [name.replace("job010", "job020") for name in SUBTRACTED[:2]]
    second = write_star(star.with_name("second.star"), names, before=[ROWS[4], ROWS[2]])
    assert matching_rows(second, np.array([0]), first).tolist() == [4]
    with pytest.raises(InputError, match=r"lacks 1 of the chosen images, first 1@Subtract/job010/"):
        matching_rows(first, np.array([0]), second)


def test_a_subtraction_of_subtracted_particles_is_matched_step_by_step(star: Path) -> None:
    first = write_star(star.with_name("first.star"), SUBTRACTED, before=ROWS)
    names = [name.replace("job010", "job020") for name in SUBTRACTED[:2]]
    second = write_star(star.with_name("second.star"), names, before=[SUBTRACTED[3], SUBTRACTED[1]])
    assert matching_rows(second, np.array([0, 1]), first).tolist() == [1, 3]


def test_subtracted_binned_particles_find_unbinned_originals(star: Path) -> None:
    subtracted = write_star(star.with_name("subtracted.star"), SUBTRACTED, before=ROWS)
    unbinned = [name.replace("@a/", "@Extract/job099/") for name in ROWS]
    original = write_star(star.with_name("unbinned.star"), unbinned)
    assert matching_rows(subtracted, np.array([4]), original).tolist() == [4]
