import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_sbackprop.gui.surface import contour_surface, default_contour, low_pass, make_frame


def ball(
    box: int = 64, radius: float = 12.0, centre: tuple[float, float, float] = (30, 25, 40)
) -> np.ndarray:
    """Cone of density (M, M, M) that falls from `radius` at its centre to 0 at the distance `radius`."""
    grid = np.stack(np.meshgrid(*[np.arange(box)] * 3, indexing="ij"))
    distance = np.linalg.norm(grid - np.reshape(centre, (3, 1, 1, 1)), axis=0)
    return np.maximum(radius - distance, 0).astype(np.float32)


@pytest.mark.parametrize("step", [1, 2])
def test_surface_of_a_ball_has_its_radius_and_place(step: int) -> None:
    vertices, faces = contour_surface(ball(), 4.0, step)
    np.testing.assert_allclose(np.linalg.norm(vertices - (30, 25, 40), axis=1), 8.0, atol=0.3)
    assert faces.max() < len(vertices)


@pytest.mark.parametrize("threshold", [-1.0, 13.0, np.inf])
def test_a_contour_outside_the_map_gives_an_empty_surface(threshold: float) -> None:
    vertices, faces = contour_surface(ball(), threshold)
    assert vertices.shape == (0, 3)
    assert faces.shape == (0, 3)


def test_low_pass_of_a_part_equals_that_of_the_whole() -> None:
    np.testing.assert_allclose(low_pass(ball(), 0.8), gaussian_filter(ball(), 0.8, truncate=2.5), atol=1e-4)


def test_low_pass_of_an_empty_map_is_empty() -> None:
    assert not low_pass(np.zeros((16, 16, 16), np.float32)).any()


def test_only_large_boxes_are_contoured_coarsely() -> None:
    small, large = ball(32, 8, (16, 16, 16)), ball()
    assert not make_frame(small, 2.0, coarse=True, title="").coarse
    assert make_frame(large, 2.0, coarse=True, title="").coarse


def test_default_contour_lies_inside_the_map() -> None:
    volume = ball()
    sigma = float(volume.std())
    assert 1.0 <= default_contour(volume, sigma) < volume.max() / sigma
    assert default_contour(np.zeros((8, 8, 8), np.float32), 1.0) > 0
