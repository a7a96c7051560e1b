"""Views and in-plane angles."""

import torch

from napari_sbackprop.imaging.poses import euler_to_matrix
from napari_sbackprop.imaging.views import in_plane_angles, spiral_directions, view_angles


def test_directions_are_evenly_spread() -> None:
    directions = spiral_directions(96)
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(96, dtype=torch.float64))
    assert directions.mean(dim=0).norm() < 0.01
    nearest = (directions @ directions.T - 3 * torch.eye(96)).amax(dim=-1).acos().rad2deg()
    assert nearest.min() > 14
    assert nearest.max() < 24


def test_angles_of_a_view_point_along_it() -> None:
    directions = spiral_directions(50)
    torch.testing.assert_close(euler_to_matrix(view_angles(directions))[:, 2], directions)


def test_psi_is_found_also_at_the_poles_and_beside_the_view() -> None:
    pose = euler_to_matrix(torch.tensor([[30.0, 70.0, 55.0], [120.0, 0.0, -100.0], [10.0, 3.0, 20.0]]))
    upright = euler_to_matrix(torch.tensor([[30.0, 70.0, 0.0], [0.0, 0.0, 0.0], [40.0, 1.0, 0.0]]))
    found = in_plane_angles(pose, upright)
    torch.testing.assert_close(found[:2], torch.tensor([55.0, 20.0]), atol=1e-3, rtol=0)
    assert abs(found[2] - (10 + 20 - 40)) < 1
