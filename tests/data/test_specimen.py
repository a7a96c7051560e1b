"""Screws: rotation about an axis in space with an advance along it."""

import numpy as np
import pytest

from napari_sbackprop.data.specimen import Screw, rotation_about

SCREW = Screw(np.array([2.0, 1.0, 2.0]) / 3, np.array([4.0, -7.0, 1.0]), angle=63.0, advance=4.5)


def test_rotation_is_right_handed() -> None:
    assert np.allclose(rotation_about(np.array([0.0, 0.0, 1.0]), 90) @ [1, 0, 0], [0, 1, 0])


def test_points_of_the_axis_only_advance() -> None:
    axis_points = SCREW.point + np.outer([-3, 0, 8], SCREW.axis)
    assert np.allclose(SCREW.apply(axis_points, 0.5), axis_points + 2.25 * SCREW.axis)


def test_fractions_compose_and_go_back() -> None:
    points = np.random.default_rng(0).normal(size=(5, 3))
    assert np.allclose(SCREW.apply(SCREW.apply(points, 0.3), 0.7), SCREW.apply(points, 1.0))
    assert np.allclose(SCREW.apply(SCREW.apply(points, 1.0), -1.0), points)


@pytest.mark.parametrize("angle", [1.0, 63.0, 120.0, 175.0])
def test_rigid_motion_gives_its_screw_back(angle: float) -> None:
    rotation = rotation_about(SCREW.axis, angle)
    translation = SCREW.point - rotation @ SCREW.point + SCREW.advance * SCREW.axis
    found = Screw.from_rigid(rotation, translation)
    points = np.random.default_rng(0).normal(size=(5, 3))
    assert found.angle == pytest.approx(angle)
    assert found.advance == pytest.approx(SCREW.advance)
    assert np.allclose(found.apply(points, 1.0), points @ rotation.T + translation)


def test_shifted_body_moves_alike() -> None:
    offset = np.array([1.0, 2.0, 3.0])
    points = np.random.default_rng(0).normal(size=(5, 3))
    assert np.allclose(SCREW.moved(offset).apply(points + offset, 0.6), SCREW.apply(points, 0.6) + offset)
