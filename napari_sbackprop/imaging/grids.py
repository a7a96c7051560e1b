"""Which Fourier components an image and a volume keep: a half disc of pixels and a half sphere of voxels.

Both are real in real space, so half of Fourier space holds everything (Friedel). Coordinates are integer frequencies,
cycles per box, ordered (x, y) and (x, y, z) with x >= 0. A shell is a rounded radius.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

TILE = 8  # pixels per side of a tile of the half disc; the native kernels rely on it
_CLOSURE = 0.5 + 1e-3  # points up to radius + _CLOSURE interpolate from stored voxels alone


@dataclass(frozen=True, eq=False)
class HalfDisc:
    """Pixels with x >= 0 and shell <= radius, in tiles of 8 x 8 so that neighbours in memory are neighbours in space.

    Attributes
    ----------
    radius : largest shell.
    coordinates : (P, 2) int64, frequencies (x, y).
    shell : (P,) int64, rounded radius of each pixel.
    weight : (P,) float32, 1, but 1/2 where x = 0, because those pixels are present as +y and as -y.
    tile_starts : (T + 1,) int32, first pixel of each tile.
    tile_centres : (T, 2) float32, centre (x, y) of each tile's full square.
    """

    radius: int
    coordinates: Tensor
    shell: Tensor
    weight: Tensor
    tile_starts: Tensor
    tile_centres: Tensor

    @property
    def size(self) -> int:
        """Number of pixels P."""
        return int(self.coordinates.shape[0])

    def positions(self, inner: "HalfDisc") -> Tensor:
        """Where the pixels of a smaller half disc are in this one, (P',) int64."""
        table = torch.empty(2 * self.radius + 1, self.radius + 1, dtype=torch.long)
        x, y = self.coordinates.unbind(-1)
        table[y + self.radius, x] = torch.arange(self.size)
        return table[inner.coordinates[:, 1] + self.radius, inner.coordinates[:, 0]]


@dataclass(frozen=True, eq=False)
class HalfSphere:
    """Voxels with x >= 0 of a sphere, closed under trilinear interpolation: no lookup inside needs a bounds test.

    Every corner of a unit cell (x >= 0) whose nearest point lies within radius + 1/2 is stored. Rows along x are
    contiguous and start at x = 0, so the voxel (x, y, z) has the index ``row[z + offset, y + offset] + x``.

    Attributes
    ----------
    radius : largest shell that pixels may have.
    offset : centre of the row table.
    row, length : (S, S) int32, first voxel and number of voxels of each row (z, y).
    coordinates : (W, 3) int64, frequencies (x, y, z).
    shell : (W,) int64, rounded radius.
    conjugate : (W,) int64, index of (-x, -y, -z) where x = 0, else the voxel's own index.
    """

    radius: int
    offset: int
    row: Tensor
    length: Tensor
    coordinates: Tensor
    shell: Tensor
    conjugate: Tensor

    @property
    def size(self) -> int:
        """Number of voxels W."""
        return int(self.coordinates.shape[0])


def _shell(coordinates: Tensor) -> Tensor:
    return coordinates.double().norm(dim=-1).round().long()


@cache
def half_disc(radius: int) -> HalfDisc:
    """Build (once) the half disc of shells 0 ... radius."""
    y, x = torch.meshgrid(torch.arange(-radius, radius + 1), torch.arange(radius + 1), indexing="ij")
    coordinates = torch.stack([x.flatten(), y.flatten()], dim=-1)
    coordinates = coordinates[_shell(coordinates) <= radius]  # (P, 2)

    tile = torch.stack([coordinates[:, 0] // TILE, (coordinates[:, 1] + radius) // TILE], dim=-1)
    width = radius // TILE + 1
    tile_index = tile[:, 1] * width + tile[:, 0]
    order = torch.argsort(tile_index, stable=True)  # stable: y then x inside a tile
    coordinates, tile, tile_index = coordinates[order], tile[order], tile_index[order]

    _, counts = torch.unique_consecutive(tile_index, return_counts=True)
    starts = torch.zeros(len(counts) + 1, dtype=torch.int32)
    starts[1:] = counts.cumsum(0)
    corner = tile[starts[:-1].long()] * TILE - torch.tensor([0, radius])
    return HalfDisc(
        radius=radius,
        coordinates=coordinates,
        shell=_shell(coordinates),
        weight=torch.where(coordinates[:, 0] == 0, 0.5, 1.0),
        tile_starts=starts,
        tile_centres=corner.float() + (TILE - 1) / 2,
    )


@cache
def half_sphere(radius: int) -> HalfSphere:
    """Build (once) the half sphere that slices of shells 0 ... radius read."""
    offset = radius + 3
    axis = torch.arange(-offset, offset + 1)
    # Distance along each axis from the origin to the nearest point of either cell that has this corner.
    nearest = (axis.abs() - 1).clamp(min=0).double()
    z, y = torch.meshgrid(nearest, nearest, indexing="ij")
    room = (radius + _CLOSURE) ** 2 - z**2 - y**2
    # Largest x whose cell [x - 1, x] still touches the ball; the row holds 0 ... x.
    length = torch.where(room >= 0, room.clamp(min=0).sqrt().floor() + 2, torch.zeros_like(room)).int()
    row = (length.flatten().cumsum(0) - length.flatten()).int().reshape(length.shape)

    zy = torch.repeat_interleave(torch.arange(length.numel()), length.flatten().long())
    x = torch.arange(len(zy)) - row.flatten().long()[zy]
    coordinates = torch.stack([x, axis[zy % len(axis)], axis[zy // len(axis)]], dim=-1)  # (W, 3)

    index = torch.arange(len(zy))
    opposite = row.long()[offset - coordinates[:, 2], offset - coordinates[:, 1]]
    return HalfSphere(
        radius=radius,
        offset=offset,
        row=row,
        length=length,
        coordinates=coordinates,
        shell=_shell(coordinates),
        conjugate=torch.where(x == 0, opposite, index),
    )
