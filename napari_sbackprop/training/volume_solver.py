"""Volumes from posteriors: least squares per voxel, as a gridding reconstruction does it for one volume.

For fixed moments of the coefficients the expected misfit is quadratic in the volumes. Coupling between neighbouring
voxels (through the trilinear weights) is dropped, which leaves a C x C system at every voxel.
"""

import torch
from torch import Tensor

from napari_sbackprop import ops
from napari_sbackprop.imaging.fourier import (
    gridding_correction,
    resample_volumes,
    sphere_to_volumes,
    volumes_to_sphere,
)
from napari_sbackprop.imaging.grids import HalfSphere
from napari_sbackprop.imaging.shells import shell_mean
from napari_sbackprop.training.spectra import Spectra

_BATCH = 512
_RIDGE = 1e-3  # of the mean weight: keeps rarely seen voxels finite
_RINGING = 0.02  # of a resampled mask: less is no mask
_VOXELS_AT_ONCE = 8192  # of the per-voxel solve: its matrices stay in cache
_VOXELS_AT_ONCE_ON_GPU = 131072  # enough to keep it busy


def solve_volumes(
    spectra: Spectra, sphere: HalfSphere, chosen: Tensor, first: Tensor, second: Tensor
) -> Tensor:
    """Least-squares volumes (W, C, 2) for the coefficients of the chosen particles; the gridding is still in them.

    Parameters
    ----------
    chosen : (n,) indices of particles.
    first : (N, C), expected coefficients; 1 for the consensus.
    second : (N, C, C), expected products of coefficients.
    """
    return solve_equations(*voxel_equations(spectra, sphere, chosen, first, second), sphere)


def voxel_equations(
    spectra: Spectra, sphere: HalfSphere, chosen: Tensor, first: Tensor, second: Tensor
) -> tuple[Tensor, Tensor]:
    """Normal equations of every voxel from the chosen particles: packed matrices (W, C (C + 1) / 2), vectors (W, C, 2).

    Parameters are those of `solve_volumes`; see `ops.normal_equations`.
    """
    channels = first.shape[1]
    matrix = first.new_zeros(sphere.size, channels * (channels + 1) // 2)
    vector = first.new_zeros(sphere.size, channels, 2)
    for rows, part in spectra.parts(chosen, _BATCH):
        moments = (part.data, part.transfer, first[rows], second[rows], part.rotation)
        ops.normal_equations(*moments, part.disc, sphere, matrix, vector)
    return matrix, vector


def solve_equations(matrix: Tensor, vector: Tensor, sphere: HalfSphere) -> Tensor:
    """Volumes (W, C, 2) from `voxel_equations`, the x = 0 plane tied to its mirror; overwrites its arguments."""
    channels = vector.shape[1]
    plane = torch.nonzero(sphere.coordinates[:, 0] == 0).squeeze(-1).to(matrix.device)
    mirror = sphere.conjugate.to(matrix.device)[plane]
    matrix[plane] = matrix[plane] + matrix[mirror]
    vector[plane] = vector[plane] + vector[mirror] * torch.tensor([1.0, -1.0]).to(vector)

    row, column = torch.triu_indices(channels, channels, device=matrix.device)
    diagonal = torch.nonzero(row == column).squeeze(-1)
    ridge = _RIDGE * matrix[:, diagonal].mean(0).clamp(min=torch.finfo(matrix.dtype).tiny)
    at_once = _VOXELS_AT_ONCE_ON_GPU if matrix.is_cuda else _VOXELS_AT_ONCE
    for start in range(0, len(matrix), at_once):
        part = slice(start, start + at_once)
        packed = matrix[part].T  # (T, w)
        full = packed.new_empty(channels, channels, packed.shape[1])
        full[row, column] = packed
        full[column, row] = packed
        full.diagonal().add_(ridge)
        vector[part] = _cholesky_solve(full, vector[part].permute(1, 2, 0).contiguous()).permute(2, 0, 1)
    return vector


def back_project(spectra: Spectra, sphere: HalfSphere, chosen: Tensor) -> Tensor:
    """CTF-weighted back-projection (W, 1, 2) of the chosen particles; the gridding is still in it."""
    return solve_equations(*_weight_and_sum(spectra, sphere, chosen), sphere)


class BackProjection:
    """Back-projection that is fed piece by piece, for sets that memory cannot hold."""

    def __init__(self, sphere: HalfSphere) -> None:
        self._sphere = sphere
        self._weight, self._sum = torch.zeros(sphere.size, 1), torch.zeros(sphere.size, 1, 2)

    def add(self, spectra: Spectra) -> None:
        """Insert all of these particles."""
        weight, total = _weight_and_sum(spectra, self._sphere, torch.arange(spectra.count))
        self._weight += weight
        self._sum += total

    def volume(self) -> Tensor:
        """As `back_project` of all that were added; call once."""
        return solve_equations(self._weight, self._sum, self._sphere)


def voxel_weight(spectra: Spectra, sphere: HalfSphere, chosen: Tensor, scale: Tensor) -> Tensor:
    """Sum of the squared transfer, times the squared scale (N,), that the chosen particles put on each voxel: (W,).

    The x = 0 plane is averaged.
    """
    scale = scale[:, None]
    weight = voxel_equations(spectra, sphere, chosen, scale, scale.square()[:, :, None])[0][:, 0]
    return (weight + weight[sphere.conjugate.to(weight.device)]) / 2


def half_set_correlation(a: Tensor, b: Tensor, sphere: HalfSphere) -> Tensor:
    """FSC of volumes (W, C, 2) from two half sets: (C, R + 1), clamped to 0 ... 1 (2 FSC / (1 + FSC) explodes at -1)."""
    weight = torch.where(sphere.coordinates[:, 0] == 0, 0.5, 1.0)

    def mean(values: Tensor) -> Tensor:
        return shell_mean(values.sum(-1).T.contiguous(), sphere.shell, sphere.radius + 1, weight)

    tiny = torch.finfo(a.dtype).tiny
    return (mean(a * b) / (mean(a * a) * mean(b * b)).sqrt().clamp(min=tiny)).clamp(0, 1)


def mask_solution(volumes: Tensor, sphere: HalfSphere, mask: Tensor) -> Tensor:
    """Turn volumes (W, C, 2) of `solve_volumes` into slicer volumes inside a real-space mask.

    Insertion dims the map by sinc^2, and the slicer will dim it once more: divide by both. The mask (m, m, m) may have
    any box with room for the sphere; the field of view is the same.
    """
    return multiply_maps(volumes, sphere, mask / gridding_correction(mask.shape[-1]).to(mask) ** 2)


def multiply_maps(volumes: Tensor, sphere: HalfSphere, factor: Tensor) -> Tensor:
    """Multiply volumes (W, C, 2) by `factor` (m, m, m) in real space."""
    result = torch.empty_like(volumes)
    for channel in range(volumes.shape[1]):  # one at a time: real-space maps are eight times a half sphere
        values = torch.view_as_complex(volumes[:, channel].contiguous())
        product = sphere_to_volumes(values, sphere, factor.shape[-1]) * factor
        result[:, channel] = torch.view_as_real(volumes_to_sphere(product, sphere))
    return result


def multiply_basis(volumes: Tensor, sphere: HalfSphere, region: Tensor) -> Tensor:
    """Multiply all volumes (W, C, 2) but the consensus by `region` (m, m, m) in real space."""
    return torch.cat([volumes[:, :1], multiply_maps(volumes[:, 1:], sphere, region)], dim=1)


def reduced_mask(mask: Tensor, radius: int) -> Tensor:
    """The mask (M, M, M) on the smallest convenient box that holds a sphere of `radius` shells."""
    box = 16 * (2 * radius // 16 + 1)
    if box >= mask.shape[-1]:
        return mask
    small = resample_volumes(mask, box).clamp(0, 1)
    return torch.where(small < _RINGING, 0.0, small)


def _weight_and_sum(spectra: Spectra, sphere: HalfSphere, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Squared transfer (W, 1), and transfer times data (W, 1, 2), that the chosen particles put on each voxel."""
    ones = torch.ones(spectra.count, 1).to(spectra.rotation)
    return voxel_equations(spectra, sphere, chosen, ones, ones[:, :, None])


def _cholesky_solve(a: Tensor, b: Tensor) -> Tensor:
    """Solve a x = b for symmetric positive a (C, C, w) and b (C, 2, w), voxels innermost; overwrites both.

    A loop over the few channels with all voxels inside beats a library call per voxel tenfold.
    """
    size = len(a)
    for k in range(size):
        a[k:, k] *= a[k, k].rsqrt()
        b[k] /= a[k, k]
        a[k + 1 :, k + 1 :] -= a[k + 1 :, None, k] * a[None, k + 1 :, k]
        b[k + 1 :] -= a[k + 1 :, None, k] * b[k]
    for k in reversed(range(size)):
        b[k] -= (a[k + 1 :, None, k] * b[k + 1 :]).sum(0)
        b[k] /= a[k, k]
    return b
