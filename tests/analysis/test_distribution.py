"""Distributions of a selection against all particles."""

import numpy as np

from napari_sbackprop.analysis.distribution import histogram, orientations


def test_a_histogram_shows_what_is_special_about_a_selection() -> None:
    values = np.concatenate([np.full(900, 10.0), np.linspace(0, 20, 100)])
    shown = histogram(values, np.flatnonzero(values > 15))
    assert shown.selected.sum() == shown.everything.sum() == 1
    middle = (shown.edges[:-1] + shown.edges[1:]) / 2
    assert not shown.selected[middle < 14.5].any()
    assert shown.everything.max() > 0.9


def test_outliers_share_the_last_bin_and_missing_values_are_left_out() -> None:
    values = np.concatenate([np.linspace(0, 1, 1000), [1e9, np.nan]])
    shown = histogram(values, np.arange(1002))
    assert shown.edges[-1] < 1.1
    np.testing.assert_allclose([shown.selected.sum(), shown.everything.sum()], 1)
    assert histogram(np.ones(5), np.arange(2)) is None
    assert histogram(np.full(5, np.nan), np.arange(2)) is None


def test_uniform_views_have_the_density_one() -> None:
    random = np.random.default_rng(0)
    tilt = np.degrees(np.arccos(random.uniform(-1, 1, 400_000)))
    rot = random.uniform(0, 360, 400_000)  # as some programs write it
    density = orientations(rot, tilt, np.arange(400_000))
    assert density.shape == (12, 24)
    np.testing.assert_allclose(density, 1, atol=0.15)


def test_one_view_is_one_spot() -> None:
    density = orientations(np.array([95.0, -5.0]), np.array([42.0, 90.0]), np.array([0]))
    assert np.argwhere(density).tolist() == [[1, 18]]  # (1 - cos 42) 6 = 1.5, (95 + 180) / 15 = 18.3
    assert density[1, 18] == density.size
