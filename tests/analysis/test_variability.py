"""Where the map varies, against maps of every particle."""

import numpy as np
import pytest

from napari_sbackprop.analysis.variability import (
    basis_shares,
    centre_of_change,
    collectivity,
    standard_deviation,
)


@pytest.fixture
def basis() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 500)).astype(np.float32)


@pytest.fixture
def coefficients() -> np.ndarray:
    mixing = np.array([[1.0, 0.0, 0.0], [0.8, 0.4, 0.0], [-0.3, 0.2, 0.1]])
    return (np.random.default_rng(1).normal(size=(2000, 3)) @ mixing.T + 5).astype(np.float32)


def test_the_standard_deviation_is_that_of_the_maps_of_all_particles(
    basis: np.ndarray, coefficients: np.ndarray
) -> None:
    maps = coefficients @ basis
    np.testing.assert_allclose(standard_deviation(basis, coefficients), maps.std(axis=0, ddof=1), rtol=1e-3)


def test_shares_are_the_covariances_of_each_part_with_the_map(
    basis: np.ndarray, coefficients: np.ndarray
) -> None:
    maps = (coefficients - coefficients.mean(0)) @ basis
    parts = [
        np.outer(column - column.mean(), volume) for column, volume in zip(coefficients.T, basis, strict=True)
    ]
    expected = [(part * maps).sum() / (maps**2).sum() for part in parts]
    np.testing.assert_allclose(basis_shares(basis, coefficients), expected, atol=1e-4)
    assert basis_shares(basis, coefficients).sum() == pytest.approx(1)


def test_one_volume_explains_all_and_none_explains_nothing(
    basis: np.ndarray, coefficients: np.ndarray
) -> None:
    np.testing.assert_allclose(basis_shares(basis[:1], coefficients[:, :1]), [1])
    np.testing.assert_array_equal(basis_shares(0 * basis, coefficients), 0)


def test_the_centre_of_a_change_is_in_angstrom_from_the_middle_of_the_box() -> None:
    change = np.zeros((16, 16, 16), np.float32)
    change[8 + 2, 8 - 3, 8 + 5] = -4  # z, y, x
    np.testing.assert_allclose(centre_of_change(change, 1.5), [7.5, -4.5, 3.0])
    change[8 + 2, 8 - 3, 8 + 1] = 4
    np.testing.assert_allclose(centre_of_change(change, 1.5), [4.5, -4.5, 3.0])
    assert not centre_of_change(0 * change, 1.5).any()


@pytest.mark.parametrize("moved", [1, 10, 100])
def test_collectivity_is_the_share_of_voxels_that_change_alike(moved: int) -> None:
    change, region = np.zeros(1000, np.float32), np.zeros(1000, bool)
    region[:100] = True
    change[:moved] = np.where(np.arange(moved) % 2, 2, -2)
    change[500:] = 9  # outside the region
    shape = (10, 10, 10)
    assert collectivity(change.reshape(shape), region.reshape(shape)) == pytest.approx(moved / 100)
    assert collectivity(np.zeros(shape, np.float32), region.reshape(shape)) == 0
