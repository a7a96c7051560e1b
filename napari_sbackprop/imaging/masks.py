"""Soft masks in real space: discs, spheres, and the region that a map fills."""

import torch
from torch import Tensor

from napari_sbackprop.imaging.fourier import gaussian_filter


def radius_grid(box: int, dimensions: int) -> Tensor:
    """Distance in pixels of every pixel or voxel from the centre, index M // 2."""
    axis = (torch.arange(box, dtype=torch.float32) - box // 2) ** 2
    square = axis
    for _ in range(dimensions - 1):
        square = square[..., None] + axis
    return square.sqrt()


def soft_ball(box: int, radius: float, edge: float, dimensions: int) -> Tensor:
    """1 up to `radius` pixels from the centre, 0 beyond radius + edge, a cosine between: a disc (2) or a ball (3)."""
    distance = ((radius_grid(box, dimensions) - radius) / edge).clamp(0, 1)
    return 0.5 + 0.5 * torch.cos(torch.pi * distance)


def solvent_mask(
    volume: Tensor,
    pixel_size: float,
    *,
    low_pass: float = 20.0,
    level: float = 0.05,
    grow: float = 8.0,
    edge: float = 8.0,
) -> Tensor:
    """Soft mask (M, M, M) of the region that a map fills.

    The map is low-passed, what exceeds a fraction of its maximum is kept and grown.

    Parameters
    ----------
    volume : (M, M, M) map, the molecule positive.
    pixel_size : angstrom per voxel.
    low_pass : angstrom, width 1/e of the Gaussian low-pass in Fourier space.
    level : fraction of the maximum.
    grow : angstrom that the region grows before its edge.
    edge : angstrom, width of the cosine edge.
    """
    smooth = gaussian_filter(volume, low_pass / pixel_size)
    # Outside a ball that touches the box there can be no particle, whatever the noise does there.
    inside = (smooth > level * smooth.max()) & (
        radius_grid(volume.shape[-1], 3).to(volume.device) < volume.shape[-1] // 2 - 1
    )
    distance = distance_outside(inside, reach=int((grow + edge) / pixel_size) + 2) * pixel_size
    return 0.5 + 0.5 * torch.cos(torch.pi * ((distance - grow) / edge).clamp(0, 1))


def distance_outside(inside: Tensor, reach: int) -> Tensor:
    """Euclidean distance in voxels from each voxel to the region (M, M, M) bool; at most `reach` where it is far."""
    far = torch.full(inside.shape, float(reach**2), device=inside.device)
    square = torch.where(inside, torch.zeros_like(far), far)
    # The squared distance is separable: one lower envelope of parabolas along each axis in turn.
    for axis in range(inside.ndim):
        nearest = square.clone()
        for step in range(1, reach + 1):
            ahead = torch.narrow(square, axis, step, square.shape[axis] - step) + step**2
            front = torch.narrow(nearest, axis, 0, ahead.shape[axis])
            torch.minimum(front, ahead, out=front)
            behind = torch.narrow(square, axis, 0, square.shape[axis] - step) + step**2
            back = torch.narrow(nearest, axis, step, behind.shape[axis])
            torch.minimum(back, behind, out=back)
        square = nearest
    return square.sqrt()
