"""Closed-form start: probabilistic PCA of the maps behind the images.

Two exact steps in turn: the posterior of the coefficients for fixed volumes, and a least-squares solve per voxel for
fixed posteriors. States separate within seconds, at low resolution first. Tipping and Bishop, "Probabilistic principal
component analysis", 1999, with the projection and CTF of each image; Punjani and Fleet's 3DVA (2021) is a relative.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_sbackprop import ops
from napari_sbackprop.imaging.fourier import (
    gridding_correction,
    resample_volumes,
    sphere_to_volumes,
    volumes_to_sphere,
)
from napari_sbackprop.imaging.grids import HalfSphere, half_sphere
from napari_sbackprop.imaging.shells import shell_mean
from napari_sbackprop.training.posterior import Posterior, image_statistics, linear_posterior
from napari_sbackprop.training.spectra import Spectra

_BATCH = 512
_RIDGE = 1e-3  # of the mean weight: keeps rarely seen voxels finite
_LEAST_CORRELATION = 0.1  # a basis shell is never shrunk below this, so that it can recover
_VOXELS_AT_ONCE = 8192  # of the per-voxel solve: its matrices stay in cache


@dataclass(frozen=True)
class Stage:
    """Iterations at one resolution: shells 0 ... radius."""

    radius: int
    iterations: int


def schedule(radius: int) -> tuple[Stage, ...]:
    """Cheap iterations at low resolution first; the last stage has the full band."""
    low = (Stage(12, 6), Stage(20, 8), Stage(32, 4))
    return *(stage for stage in low if stage.radius < 0.9 * radius), Stage(radius, 5)


@dataclass(frozen=True, eq=False)
class LinearModel:
    """Volumes of a linear decoder, for the slicer (the gridding correction divided out).

    Attributes
    ----------
    volumes : (W, C, 2) float32, consensus and basis as the posterior uses them.
    sphere : their voxels.
    correlation : (C, R + 1), half-set FSC of each channel by shell, between 0 and 1; ones where not measured.
    """

    volumes: Tensor
    sphere: HalfSphere
    correlation: Tensor

    @property
    def decode_filter(self) -> Tensor:
        """(C, R + 1): turns the volumes of the posterior into the best estimate, 2 FSC / (1 + FSC) of the average."""
        best = 2 * self.correlation / (1 + self.correlation)
        best[0] = 1
        return best / _posterior_filter(self.correlation)

    def enlarged(self, radius: int) -> "LinearModel":
        """The same volumes on a larger sphere; new shells are empty."""
        sphere = half_sphere(radius)
        x, y, z = self.sphere.coordinates.unbind(-1)
        volumes = self.volumes.new_zeros(sphere.size, *self.volumes.shape[1:])
        kept = self.sphere.shell <= self.sphere.radius
        index = sphere.row.long()[z + sphere.offset, y + sphere.offset] + x
        volumes[index[kept].to(volumes.device)] = self.volumes[kept.to(volumes.device)]
        correlation = self.correlation.new_ones(len(self.correlation), radius + 1)
        correlation[:, : self.correlation.shape[1]] = self.correlation
        return LinearModel(volumes, sphere, correlation)


def consensus_volume(spectra: Spectra, sphere: HalfSphere, chosen: Tensor) -> Tensor:
    """Back-project the chosen particles, weighted by their CTF: raw volume (W, 1, 2), the gridding still in it."""
    ones = torch.ones(spectra.count, 1)
    return _solve(*_accumulate(spectra, sphere, chosen, ones, ones[:, :, None]), sphere)


def random_basis(consensus: Tensor, sphere: HalfSphere, count: int, generator: torch.Generator) -> Tensor:
    """Random volumes (W, count, 2) with a tenth of the consensus' amplitude in each shell."""
    power = shell_mean(consensus[:, 0].square().sum(-1).cpu(), sphere.shell, sphere.radius + 3)
    noise = torch.randn(sphere.size, count, 2, generator=generator)
    return (noise * 0.1 * (power.sqrt() / 2**0.5)[sphere.shell][:, None, None]).to(consensus)


def tie_conjugates(volumes: Tensor, sphere: HalfSphere) -> Tensor:
    """Average the Hermitian pairs of the x = 0 plane, which a half volume holds twice."""
    mirror = volumes[sphere.conjugate.to(volumes.device)] * volumes.new_tensor([1, -1])
    plane = (sphere.coordinates[:, 0] == 0).to(volumes.device)
    return torch.where(plane[:, None, None], (volumes + mirror) / 2, volumes)


def mask_raw_volumes(volumes: Tensor, sphere: HalfSphere, mask: Tensor) -> Tensor:
    """Turn back-projected volumes into slicer volumes inside a real-space mask.

    Insertion dims the map by sinc^2, and the slicer will dim it once more: divide by both.

    Parameters
    ----------
    volumes : (W, C, 2) raw solution of the normal equations.
    mask : (m, m, m) for any box m with room for the sphere; the field of view is the same.
    """
    factor = (mask / gridding_correction(mask.shape[-1]).to(mask) ** 2).to(volumes.device)
    result = torch.empty_like(volumes)
    for channel in range(volumes.shape[1]):  # one at a time: real-space maps are eight times a half sphere
        values = torch.view_as_complex(volumes[:, channel].contiguous())
        masked = sphere_to_volumes(values, sphere, mask.shape[-1]) * factor
        result[:, channel] = torch.view_as_real(volumes_to_sphere(masked, sphere))
    return result


def stage_mask(mask: Tensor, radius: int) -> Tensor:
    """The mask (M, M, M) on the smallest convenient box that holds a sphere of `radius` shells."""
    box = 16 * (2 * radius // 16 + 1)
    return mask if box >= mask.shape[-1] else resample_volumes(mask, box).clamp(0, 1)


def gauge(posterior: Posterior, sampled: bool) -> tuple[Tensor, Tensor]:
    """Centre and transform (K, K) T of the coefficients, s = centre + T s', that make them a unit Gaussian.

    The axes diagonalise the mean information, most informative first.

    Parameters
    ----------
    sampled : count the posterior covariance as spread; without it the means alone become white (subspace iteration).
    """
    centre = posterior.mean.mean(0)
    spread = torch.cov(posterior.mean.T).reshape(len(centre), len(centre))
    if sampled:
        spread = spread + posterior.covariance.mean(0)
    ridge = 1e-6 * spread.diagonal().mean().clamp(min=1e-12)
    factor = torch.linalg.cholesky(spread + ridge * torch.eye(len(centre)).to(spread))
    _, axes = torch.linalg.eigh(factor.T @ posterior.information.mean(0) @ factor)
    return centre, factor @ axes.flip(-1)


def change_gauge(volumes: Tensor, centre: Tensor, transform: Tensor) -> Tensor:
    """Volumes (W, C, 2) that give the same maps with coefficients s' where s = centre + transform s'."""
    consensus = volumes[:, :1] + torch.einsum("wkc,k->wc", volumes[:, 1:], centre)[:, None]
    return torch.cat([consensus, torch.einsum("wkc,kj->wjc", volumes[:, 1:], transform)], dim=1)


def iterate(
    model: LinearModel,
    spectra: Spectra,
    mask: Tensor,
    halves: Sequence[Tensor],
    *,
    subspace: bool,
) -> tuple[LinearModel, Posterior]:
    """One round: posterior, gauge, per-voxel solve.

    Parameters
    ----------
    spectra : at the model's resolution.
    mask : (m, m, m), applied to every volume.
    halves : indices of the particles that shape the volumes, in one set or in two halves; with two, every basis shell
        is shrunk by its half-set FSC.
    subspace : ignore the posterior covariance (subspace iteration), which lets weak components grow from noise.

    Returns
    -------
    The new model, and the posterior that it was made from.
    """
    posterior = linear_posterior(*image_statistics(spectra, model.volumes, model.sphere))
    centre, transform = gauge(posterior, sampled=not subspace)
    inverse = torch.linalg.inv(transform)
    mean = (posterior.mean - centre) @ inverse.T
    first = torch.cat([torch.ones_like(mean[:, :1]), mean], dim=1)  # (N, C)
    second = first[:, :, None] * first[:, None, :]
    if not subspace:
        second[:, 1:, 1:] += inverse @ posterior.covariance @ inverse.T

    solved = [
        mask_raw_volumes(_solve(*_accumulate(spectra, model.sphere, half, first, second), model.sphere), model.sphere, mask)
        for half in halves
    ]
    volumes = torch.stack(solved).mean(0)
    correlation = torch.ones(volumes.shape[1], model.sphere.radius + 1).to(volumes)
    if len(solved) == 2:
        correlation = half_correlation(solved[0], solved[1], model.sphere)
    shrink = _posterior_filter(correlation)[:, model.sphere.shell.clamp(max=model.sphere.radius)]  # (C, W)
    return LinearModel(volumes * shrink.T[..., None], model.sphere, correlation), posterior


def half_correlation(a: Tensor, b: Tensor, sphere: HalfSphere) -> Tensor:
    """FSC between volumes (W, C, 2) of two halves: (C, R + 1), clamped to 0 ... 1 (2 FSC / (1 + FSC) explodes near -1)."""
    weight = torch.where(sphere.coordinates[:, 0] == 0, 0.5, 1.0)

    def mean(values: Tensor) -> Tensor:
        return shell_mean(values.sum(-1).T.contiguous(), sphere.shell, sphere.radius + 1, weight)

    cross, power_a, power_b = mean(a * b), mean(a * a), mean(b * b)
    tiny = torch.finfo(a.dtype).tiny
    return (cross / (power_a * power_b).sqrt().clamp(min=tiny)).clamp(0, 1)


def _posterior_filter(correlation: Tensor) -> Tensor:
    shrink = correlation.clamp(min=_LEAST_CORRELATION)
    return torch.cat([torch.ones_like(shrink[:1]), shrink[1:]])  # the consensus is well determined


def _accumulate(
    spectra: Spectra, sphere: HalfSphere, chosen: Tensor, first: Tensor, second: Tensor
) -> tuple[Tensor, Tensor]:
    channels = first.shape[1]
    device = spectra.data.device
    matrix = torch.zeros(sphere.size, channels * (channels + 1) // 2, device=device)
    vector = torch.zeros(sphere.size, channels, 2, device=device)
    for rows in chosen.split(_BATCH):
        ops.normal_equations(
            spectra.data[rows],
            spectra.transfer[rows],
            first[rows],
            second[rows],
            spectra.rotation[rows],
            spectra.disc,
            sphere,
            matrix,
            vector,
        )
    return matrix, vector


def _solve(matrix: Tensor, vector: Tensor, sphere: HalfSphere) -> Tensor:
    """Solve every voxel's C x C system, the x = 0 plane tied to its mirror, by a Cholesky factorisation over voxels."""
    channels = vector.shape[1]
    plane = torch.nonzero(sphere.coordinates[:, 0] == 0).squeeze(-1).to(matrix.device)
    mirror = sphere.conjugate.to(matrix.device)[plane]
    matrix[plane] = matrix[plane] + matrix[mirror]
    vector[plane] = vector[plane] + vector[mirror] * vector.new_tensor([1, -1])

    row, column = torch.triu_indices(channels, channels)
    diagonal = torch.nonzero(row == column).squeeze(-1)
    ridge = _RIDGE * matrix[:, diagonal].mean(0).clamp(min=torch.finfo(matrix.dtype).tiny)
    solution = torch.empty_like(vector)
    for start in range(0, len(matrix), _VOXELS_AT_ONCE):
        part = slice(start, start + _VOXELS_AT_ONCE)
        packed = matrix[part].T  # (T, w)
        full = packed.new_empty(channels, channels, packed.shape[1])
        full[row, column] = packed
        full[column, row] = packed
        full.diagonal().add_(ridge)
        solution[part] = _cholesky_solve(full, vector[part].permute(1, 2, 0).contiguous()).permute(2, 0, 1)
    return solution


def _cholesky_solve(a: Tensor, b: Tensor) -> Tensor:
    """Solve a x = b for symmetric positive a (C, C, w) and b (C, 2, w), voxels innermost; overwrites both."""
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
