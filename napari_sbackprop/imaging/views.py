"""Views: the directions from which particles are seen, and the in-plane angle between images of one view.

A view is a unit vector (x, y, z) of the map, the third row of A, along which the image is projected. The upright image of
a view has psi = 0.
"""

import math

import torch
from torch import Tensor


def spiral_directions(count: int) -> Tensor:
    """Unit vectors (count, 3), evenly spread over the sphere on a Fibonacci spiral.

    Each stands for a solid angle of 4 pi / count.
    """
    place = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1 - 2 * place / count
    azimuth = math.pi * (3 - math.sqrt(5)) * place
    radius = (1 - z**2).sqrt()
    return torch.stack([radius * azimuth.cos(), radius * azimuth.sin(), z], dim=-1)


def view_angles(directions: Tensor) -> Tensor:
    """Angles (n, 3) rot, tilt and psi = 0 in degrees of the upright images of directions (n, 3)."""
    x, y, z = directions.unbind(-1)
    angles = torch.stack([torch.atan2(y, x), torch.atan2(torch.hypot(x, y), z), torch.zeros_like(z)], dim=-1)
    return torch.rad2deg(angles)


def in_plane_angles(rotation: Tensor, upright: Tensor) -> Tensor:
    """Psi (n,) in degrees which, added to poses `upright`, comes closest to poses `rotation`, both (n, 3, 3) A.

    It maximises the trace of (Rz(psi) upright)^T rotation.
    """
    turn = rotation @ upright.transpose(-1, -2)
    sine, cosine = turn[:, 0, 1] - turn[:, 1, 0], turn[:, 0, 0] + turn[:, 1, 1]
    return torch.rad2deg(torch.atan2(sine, cosine))
