"""Lookup tables of a disc and a sphere in the types and on the device where the kernels read them.

They are kept for good: a CUDA graph may have recorded where they are.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from napari_sbackprop.imaging.grids import HalfDisc, HalfSphere, half_sphere

_BRICK = 8  # voxels a side; kBrickSide in csrc/cuda/bricks.cu
_REACH = 0.75 * (_BRICK + 1)  # mean distance of planes that touch a brick from its centre, at most
_FEWEST_MEETINGS = (
    32  # of images with a brick, in a part: reading and writing its rows takes the time of a few
)
_PARTS = 1024  # enough for a GPU; more parts would cost memory


class Tables(NamedTuple):
    """Arguments that every native operation shares, in schema order.

    Attributes
    ----------
    pixels : (P, 3) float32, x, y and weight of each pixel, in tiles.
    tile_starts : (T + 1,) int32, first pixel of each tile.
    tile_centres : (T, 2) float32.
    row : (S, S) int32, first voxel of each row (z, y); the centre is S // 2.
    radius : radius of the sphere; points beyond radius + 1/2 contribute nothing.
    """

    pixels: Tensor
    tile_starts: Tensor
    tile_centres: Tensor
    row: Tensor
    radius: int


@cache
def tables(disc: HalfDisc, sphere: HalfSphere, device: torch.device) -> Tables:
    """Collect (once per disc, sphere and device) what the kernels look up."""
    pixels = torch.cat([disc.coordinates.float(), disc.weight[:, None].float()], dim=-1)
    return Tables(
        pixels.contiguous().to(device),
        disc.tile_starts.int().contiguous().to(device),
        disc.tile_centres.float().contiguous().to(device),
        sphere.row.int().contiguous().to(device),
        sphere.radius,
    )


@cache
def mirror_pairs(sphere: HalfSphere, device: torch.device) -> Tensor:
    """Hermitian pairs (n, 2) int64 of the x = 0 plane, the origin with itself."""
    own = torch.arange(sphere.size)
    first = own[(sphere.coordinates[:, 0] == 0) & (own <= sphere.conjugate)]
    return torch.stack([first, sphere.conjugate[first]], dim=-1).to(device)


@cache
def plane(pixels: Tensor) -> Tensor:
    """Pixel at each frequency (y, x) of a half plane, (2 R + 1, R + 1) int32, -1 for none; R is the disc's radius.

    Parameters
    ----------
    pixels : (P, 3), as in `Tables`. The result is kept for this tensor, since the first call has to wait for a GPU.
    """
    x, y = pixels.cpu()[:, :2].long().unbind(-1)
    radius = int(y.max())
    table = torch.full((2 * radius + 1, radius + 1), -1, dtype=torch.int32)
    table[y + radius, x] = torch.arange(len(pixels), dtype=torch.int32)
    return table.to(pixels.device)


class Bricks(NamedTuple):
    """A half sphere in bricks of 8 x 8 x 8 voxels, those near its centre first.

    Attributes
    ----------
    corners : (n, 3) int32, lowest x, y and z of each brick.
    voxels : (n, 512) int32, stored voxels, x fastest and z slowest; -1 where none is stored.
    """

    corners: Tensor
    voxels: Tensor


@cache
def bricks(radius: int, device: torch.device) -> Bricks:
    """Cut the half sphere of slices up to `radius` into bricks."""
    coordinates = half_sphere(radius).coordinates
    corners, owner = (coordinates // _BRICK * _BRICK).unique(dim=0, return_inverse=True)
    inside = coordinates % _BRICK
    voxels = torch.full((len(corners), _BRICK**3), -1, dtype=torch.int32)
    local = (inside[:, 2] * _BRICK + inside[:, 1]) * _BRICK + inside[:, 0]
    voxels[owner, local] = torch.arange(len(coordinates), dtype=torch.int32)
    order = torch.argsort((corners + (_BRICK - 1) / 2).norm(dim=-1), stable=True)
    return Bricks(corners[order].int().contiguous().to(device), voxels[order].contiguous().to(device))


class Parts(NamedTuple):
    """How the images of a batch are shared out among blocks that own a brick each.

    A part is a brick and a range of images. The first part of a brick adds to the result, the others leave their sums in
    slots of scratch memory.

    Attributes
    ----------
    parts : (m, 4) int32: brick, first image, end of the images, slot or -1.
    several : (k, 3) int32, bricks of more than one part: brick, first slot, end of the slots.
    slots : number of slots.
    """

    parts: Tensor
    several: Tensor
    slots: int


@cache
def parts(radius: int, batch: int, device: torch.device) -> Parts:
    """Share a batch of random directions out: at distance d of the centre a brick meets one in max(1, d / reach) images."""
    corners = bricks(radius, torch.device("cpu")).corners
    distance = (corners + (_BRICK - 1) / 2).norm(dim=-1)
    meetings = batch * (_REACH / distance).clamp(max=1)
    most = max(_FEWEST_MEETINGS, float(meetings.sum()) / _PARTS)
    count = (meetings / most).round().clamp(1, batch).long()

    brick = torch.repeat_interleave(torch.arange(len(count)), count)
    rank = torch.arange(len(brick)) - (count.cumsum(0) - count)[brick]
    first, end = rank * batch // count[brick], (rank + 1) * batch // count[brick]
    slot = torch.where(rank > 0, (rank > 0).cumsum(0) - 1, -1)
    end_slot = (count - 1).cumsum(0)
    several = torch.stack([torch.arange(len(count)), end_slot - count + 1, end_slot], dim=-1)[count > 1]
    return Parts(
        torch.stack([brick, first, end, slot], dim=-1).int().to(device),
        several.int().contiguous().to(device),
        int(end_slot[-1]),
    )
