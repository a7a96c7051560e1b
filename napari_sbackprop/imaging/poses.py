"""Poses: RELION's Euler angles and origins.

The matrix A takes map coordinates (x, y, z) to image coordinates: its rows are the image axes in the map's frame. The
image frequency (kx, ky) samples the map's transform at A^T (kx, ky, 0). The origin is the translation that centres the
particle, so the particle sits at centre - origin.
"""

import math

import torch
from torch import Tensor


def euler_to_matrix(angles: Tensor) -> Tensor:
    """Rotation matrices A (N, 3, 3) of ZYZ angles (N, 3): rot, tilt, psi in degrees."""
    rot, tilt, psi = torch.deg2rad(angles).unbind(-1)
    ca, cb, cg = rot.cos(), tilt.cos(), psi.cos()
    sa, sb, sg = rot.sin(), tilt.sin(), psi.sin()
    rows = [
        torch.stack([cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb], dim=-1),
        torch.stack([-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb], dim=-1),
        torch.stack([sb * ca, sb * sa, cb], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def matrix_to_euler(matrix: Tensor) -> Tensor:
    """Angles (N, 3) rot, tilt, psi in degrees of rotation matrices A (N, 3, 3); rot = 0 where tilt is 0 or 180."""
    tilt = torch.atan2(torch.hypot(matrix[:, 2, 0], matrix[:, 2, 1]), matrix[:, 2, 2])
    regular = torch.hypot(matrix[:, 2, 0], matrix[:, 2, 1]) > 1e-6
    rot = torch.where(regular, torch.atan2(matrix[:, 2, 1], matrix[:, 2, 0]), torch.zeros_like(tilt))
    psi = torch.atan2(matrix[:, 1, 2], -matrix[:, 0, 2])
    at_pole = torch.atan2(-matrix[:, 1, 0] * matrix[:, 2, 2].sign(), matrix[:, 1, 1])
    return torch.rad2deg(torch.stack([rot, tilt, torch.where(regular, psi, at_pole)], dim=-1))


def rotation_vectors_to_matrix(vectors: Tensor) -> Tensor:
    """Rotation matrices (N, 3, 3) of vectors (N, 3) along the axis, as long as the angle in radians (Rodrigues).

    They turn vectors. cryoSPARC's poses are such vectors, and their matrix is A transposed.
    """
    zero = torch.zeros_like(vectors[:, 0])
    x, y, z = vectors.unbind(-1)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(-1, 3, 3)
    return torch.linalg.matrix_exp(cross)


def random_rotations(count: int, generator: torch.Generator) -> Tensor:
    """Uniform random rotation matrices (count, 3, 3), from unit quaternions."""
    q = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    w, x, y, z = (q / q.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], dim=-1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], dim=-1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def slice_matrix(rotation: Tensor, magnification: Tensor) -> Tensor:
    """Matrices (B, 3, 3) for the slices that distorted images show: A with the image axes replaced by M^T A[:2].

    They take the place of A: image frequency (kx, ky) samples the map's transform at A^T (M k, 0).

    Parameters
    ----------
    rotation : (B, 3, 3), A.
    magnification : (2, 2), M.
    """
    return torch.cat([magnification.to(rotation).T @ rotation[:, :2], rotation[:, 2:]], dim=1)


def shift_phase(coordinates: Tensor, origin_px: Tensor, box: int) -> Tensor:
    """Phases that move a centred prediction to where the particle sits: exp(+2 pi i k.t / M).

    Multiply a prediction by it, or the data by its conjugate.

    Parameters
    ----------
    coordinates : (P, 2) frequencies (x, y) in cycles per box.
    origin_px : (B, 2) origins (x, y) in pixels.
    box : M.

    Returns
    -------
    (B, P) complex.
    """
    angle = 2 * math.pi / box * (origin_px @ coordinates.to(origin_px).T)  # (B, P)
    return torch.polar(torch.ones_like(angle), angle)
