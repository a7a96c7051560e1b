"""Lookup tables of a disc and a sphere in the types and on the device where the kernels read them."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from napari_sbackprop.imaging.grids import HalfDisc, HalfSphere


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


@lru_cache(maxsize=64)
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


@lru_cache(maxsize=64)
def mirror_pairs(sphere: HalfSphere, device: torch.device) -> Tensor:
    """Hermitian pairs (n, 2) int64 of the x = 0 plane, the origin with itself."""
    own = torch.arange(sphere.size)
    first = own[(sphere.coordinates[:, 0] == 0) & (own <= sphere.conjugate)]
    return torch.stack([first, sphere.conjugate[first]], dim=-1).to(device)
