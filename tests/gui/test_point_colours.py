from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from skimage.color import rgb2lab
from vispy.color import Color

from napari_sbackprop.gui.point_colours import (
    MISSING_COLOUR,
    MOST_CLASSES,
    PALETTE,
    column_colours,
    density_colours,
    raster,
)

COLOUR_BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""What happens to linear RGB: Machado, Oliveira and Fernandes 2009, severity 1."""


def test_crowded_places_are_brighter_than_sparse_ones() -> None:
    random = np.random.default_rng(0)
    points = np.concatenate([random.normal(0, 0.1, (900, 2)), random.uniform(3, 9, (100, 2))]).astype(
        np.float32
    )
    rgba = density_colours(points).rgba
    assert rgba[:900, :3].sum(1).mean() > rgba[900:, :3].sum(1).mean() + 0.2


def test_numbers_get_a_scale_that_outliers_do_not_stretch() -> None:
    column = np.concatenate([np.linspace(0, 100, 1000), [1e9, np.nan]])
    colours = column_colours("rlnDefocusU", column)
    assert float(colours.high.replace(",", "")) < 101
    assert not np.allclose(colours.rgba[0], colours.rgba[999])
    assert np.isfinite(colours.rgba).all()


def test_few_integers_and_text_are_classes() -> None:
    for column in (np.array([1, 2, 1]), np.array(["a", "b", "a"])):
        colours = column_colours("class", column)
        assert len(colours.classes) == 2
        np.testing.assert_array_equal(colours.rgba[0], colours.rgba[2])
        assert not np.allclose(colours.rgba[0], colours.rgba[1])


def test_a_column_without_any_number_says_so() -> None:
    colours = column_colours("contrast", np.full(5, np.nan, np.float32))
    assert colours.classes[0][0] == "not known in this run"
    assert np.ptp(colours.rgba, axis=0).max() == 0


def test_more_classes_than_colours_say_so() -> None:
    colours = column_colours("micrograph", np.array([f"m{i:02}" for i in range(40)]))
    assert colours.classes[-1][0] == f"and {40 - MOST_CLASSES} more in the same colours again"
    np.testing.assert_array_equal(colours.rgba[0], colours.rgba[2 * MOST_CLASSES])


@pytest.mark.parametrize("kind", COLOUR_BLINDNESS)
def test_classes_are_told_apart_by_the_colour_blind(kind: str) -> None:
    seen = [as_seen(colour, np.asarray(COLOUR_BLINDNESS[kind])) for colour in (*PALETTE, MISSING_COLOUR)]
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > 10  # CIE 1976


def as_seen(colour: str, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Lab of "#rrggbb" to colour-blind eyes."""
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = matrix @ np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear, 0, 1)
    back = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(rgb2lab(back))


def test_text_and_whole_numbers_are_numbered_as_they_sort() -> None:
    for column in (np.array(["b", "a", "c", "a"]), np.array([5, -2, 9, -2])):
        colours = column_colours("x", column)
        assert [name for name, _ in colours.classes] == [str(value) for value in np.unique(column)]
        by_name = dict(colours.classes)
        for value, rgba in zip(column, colours.rgba, strict=True):
            assert Color(rgba).hex == by_name[str(value)]


def test_raster_puts_points_where_they_are() -> None:
    points = np.array([[0.5, 0.5], [3.5, 1.5], [99.0, 0.0]], np.float32)
    rgba = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]], np.float32)
    image = raster(points, rgba, (0.0, 0.0, 4.0, 2.0), (2, 4))
    assert image[0, 0, :3].tolist() == [255, 0, 0]
    assert image[1, 3, :3].tolist() == [0, 255, 0]
    assert (image[..., 3] > 0).sum() == 2  # the third point is out of view
