"""Averages over Fourier shells, and the Fourier shell correlation. A shell is a rounded radius; corners stay out."""

import torch
from torch import Tensor

from napari_sbackprop.imaging.fourier import volumes_to_sphere
from napari_sbackprop.imaging.grids import half_sphere


def shell_mean(values: Tensor, shell: Tensor, count: int, weight: Tensor | None = None) -> Tensor:
    """Average values (..., P) over shells 0 ... count - 1.

    Parameters
    ----------
    values : (..., P) real.
    shell : (P,) int64, the shell of each component.
    count : number of shells; components of higher shells are ignored.
    weight : (P,) real, 1 by default.

    Returns
    -------
    (..., count); 0 where a shell is empty.
    """
    keep = shell < count
    shell = shell[keep].to(values.device)
    weight = torch.ones_like(shell, dtype=values.dtype) if weight is None else weight[keep].to(values)
    total = values.new_zeros(*values.shape[:-1], count).index_add_(-1, shell, values[..., keep] * weight)
    norm = values.new_zeros(count).index_add_(0, shell, weight)
    return total / norm.clamp(min=torch.finfo(values.dtype).tiny)


def fourier_shell_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Correlate two maps (..., M, M, M) shell by shell.

    Returns
    -------
    (..., M / 2) float64 for shells 0 ... M / 2 - 1; 0 where a shell of either map is empty.
    """
    count = a.shape[-1] // 2
    sphere = half_sphere(count - 1)
    fa, fb = volumes_to_sphere(a.double(), sphere), volumes_to_sphere(b.double(), sphere)
    weight = torch.where(sphere.coordinates[:, 0] == 0, 0.5, 1.0).double()
    cross = shell_mean((fa * fb.conj()).real, sphere.shell, count, weight)
    power_a = shell_mean(fa.abs() ** 2, sphere.shell, count, weight)
    power_b = shell_mean(fb.abs() ** 2, sphere.shell, count, weight)
    return cross / (power_a * power_b).sqrt().clamp(min=torch.finfo(torch.float64).tiny)
