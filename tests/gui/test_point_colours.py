import numpy as np

from napari_sbackprop.gui.point_colours import column_colours, density_colours, raster


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
    colours = column_colours("micrograph", np.array([f"m{i}" for i in range(40)]))
    assert colours.classes[-1][0] == "and 28 more"


def test_raster_puts_points_where_they_are() -> None:
    points = np.array([[0.5, 0.5], [3.5, 1.5], [99.0, 0.0]], np.float32)
    rgba = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]], np.float32)
    image = raster(points, rgba, (0.0, 0.0, 4.0, 2.0), (2, 4))
    assert image[0, 0, :3].tolist() == [255, 0, 0]
    assert image[1, 3, :3].tolist() == [0, 255, 0]
    assert (image[..., 3] > 0).sum() == 2  # the third point is out of view
