"""What half maps say of a decoded map."""

import numpy as np
import pytest

from napari_sbackprop.analysis.evidence import THRESHOLD, judge
from napari_sbackprop.imaging.masks import radius_grid, soft_ball

BOX, PIXEL_SIZE = 32, 3.0
MASK = soft_ball(BOX, 10, 3, 3).numpy()


def blob(z: int, y: int, x: int, width: float = 1.5) -> np.ndarray:
    square = np.roll(radius_grid(BOX, 3).numpy() ** 2, (z, y, x), (0, 1, 2))
    return np.exp(-square / (2 * width**2)).astype(np.float32)


CONSENSUS = blob(0, 0, 0, 3.0) + blob(4, 0, 0)
STATE = blob(0, 0, 0, 3.0) + blob(0, 5, 0)


def half_maps(noise: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    first, second = (STATE + noise * random.standard_normal(STATE.shape).astype(np.float32) for _ in range(2))
    return first, second


def test_a_true_map_is_shown_in_full_and_an_invented_one_is_not():
    first, second = half_maps(noise=0.1)
    true = judge(first, second, STATE * MASK, CONSENSUS * MASK, MASK, PIXEL_SIZE)
    assert abs(true.change - 1) < 0.1
    invented = judge(first, second, (CONSENSUS + blob(0, 0, 6)) * MASK, CONSENSUS * MASK, MASK, PIXEL_SIZE)
    assert invented.change < 0.3
    assert (true.decoded - true.consensus)[1:8].min() > 0
    assert (invented.decoded - true.decoded)[1:8].max() < 0


@pytest.mark.parametrize("contrast", [0.5, 1.5])
def test_dim_and_bright_images_show_the_same_change(contrast):
    halves = half_maps(noise=0.1)
    even = judge(*halves, STATE * MASK, CONSENSUS * MASK, MASK, PIXEL_SIZE)
    scaled = judge(*(contrast * half for half in halves), STATE * MASK, CONSENSUS * MASK, MASK, PIXEL_SIZE)
    assert scaled.change == pytest.approx(even.change, rel=1e-5)
    assert scaled.change_error == pytest.approx(even.change_error, rel=1e-5)


def test_the_error_is_that_of_the_noise():
    errors = []
    for noise in (0.05, 0.5):
        evidence = judge(*half_maps(noise), STATE * MASK, CONSENSUS * MASK, MASK, PIXEL_SIZE)
        errors.append(evidence.change_error)
        assert abs(evidence.change - 1) < 4 * evidence.change_error + 0.05
    assert errors[1] > 3 * errors[0]


def test_resolution_follows_the_noise():
    fine, coarse = (
        judge(*half_maps(noise), STATE * MASK, CONSENSUS * MASK, MASK, PIXEL_SIZE).resolution
        for noise in (0.01, 0.5)
    )
    assert 2 * PIXEL_SIZE < fine < coarse < BOX * PIXEL_SIZE


def test_a_mask_alone_brings_no_resolution():
    random = np.random.default_rng(1)
    first, second = (random.standard_normal((BOX,) * 3).astype(np.float32) for _ in range(2))
    tight = soft_ball(BOX, 6, 2, 3).numpy()
    common = 10 * blob(0, 0, 0, 4.0)  # broad: its spectrum ends at shell 4, but the mask spreads it
    evidence = judge(first + common, second + common, STATE, CONSENSUS, tight, PIXEL_SIZE)
    beyond = slice(7, None)
    assert abs(evidence.unmasked[beyond].mean()) < 0.05
    assert evidence.masked[beyond].mean() > 2 * THRESHOLD
    assert abs(evidence.corrected[beyond].mean()) < 0.5 * THRESHOLD


def test_the_average_is_cleaner_than_the_halves():
    first, second = half_maps(noise=0.3)
    average = judge(first, second, STATE * MASK, CONSENSUS * MASK, MASK, PIXEL_SIZE).average
    error = np.linalg.norm((average - STATE) * MASK)
    assert error < 0.7 * np.linalg.norm(((first + second) / 2 - STATE) * MASK)


def test_equal_maps_leave_nothing_to_judge():
    evidence = judge(*half_maps(0.1), CONSENSUS * MASK, CONSENSUS * MASK, MASK, PIXEL_SIZE)
    assert evidence.change == pytest.approx(float("nan"), nan_ok=True)
