"""Is a decoded map real? What half maps of its particles say, which were made without the model."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from napari_sbackprop.imaging.fourier import sphere_to_volumes, volumes_to_sphere
from napari_sbackprop.imaging.grids import half_sphere
from napari_sbackprop.imaging.shells import fourier_shell_correlation

Map = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]

THRESHOLD = 0.143
"""FSC of half maps at the resolution of their average (Rosenthal and Henderson 2003)."""
_RANDOM_FROM = 0.8  # unmasked FSC below which phases are made random to see what the mask alone does
_GUARD = 2  # shells beyond the first random one where the correction sets in, as RELION has it


@dataclass(frozen=True, eq=False)
class Evidence:
    """Half maps of some particles beside the map that was decoded for them.

    Attributes
    ----------
    unmasked, masked, corrected : (M / 2,) FSC of the half maps: as they are, inside the mask, and inside it less what
        the mask itself brings about (Chen et al. 2013).
    decoded, consensus : (M / 2,) FSC inside the mask of the average of the half maps with the decoded map, and with the
        consensus: the first should be the higher one.
    resolution : angstrom where `corrected` falls below 0.143; infinity where it never exceeds it.
    change : how much of the decoded map's difference from the consensus the half maps show, by least squares inside
        the mask: 1 all of it, 0 none, so that the decoder made it up.
    change_error : its uncertainty, from the two half sets.
    average : (M, M, M), mean of the half maps, each shell weighted by 2 FSC / (1 + FSC) of `corrected`.
    """

    unmasked: Curve
    masked: Curve
    corrected: Curve
    decoded: Curve
    consensus: Curve
    resolution: float
    change: float
    change_error: float
    average: Map


def judge(first: Map, second: Map, decoded: Map, consensus: Map, mask: Map, pixel_size: float) -> Evidence:
    """Compare half maps with the decoded map of the same particles, all (M, M, M).

    Parameters
    ----------
    decoded, consensus : as a decoder gives them, the mask applied.
    mask : the soft mask, which the half maps are still without.
    pixel_size : angstrom per voxel.
    """
    a, b, soft = (torch.from_numpy(np.ascontiguousarray(values)) for values in (first, second, mask))
    mean = (a + b) / 2
    unmasked = fourier_shell_correlation(a, b)
    masked = fourier_shell_correlation(a * soft, b * soft)
    corrected = _without_mask_effect(a, b, soft, unmasked, masked)
    box = len(first)
    below = torch.nonzero(corrected[1:] < THRESHOLD).flatten()
    shell = int(below[0]) if len(below) else box // 2 - 1  # the last shell above it
    shares = [_share(half * mask, decoded, consensus) for half in (first, second)]
    return Evidence(
        unmasked=unmasked.numpy(),
        masked=masked.numpy(),
        corrected=corrected.numpy(),
        decoded=fourier_shell_correlation(mean * soft, torch.from_numpy(decoded)).numpy(),
        consensus=fourier_shell_correlation(mean * soft, torch.from_numpy(consensus)).numpy(),
        resolution=box * pixel_size / shell if shell else float("inf"),
        change=float(np.mean(shares)),
        change_error=abs(shares[0] - shares[1]) / 2,
        average=_filtered(mean, corrected).numpy(),
    )


def _without_mask_effect(
    a: torch.Tensor, b: torch.Tensor, mask: torch.Tensor, unmasked: torch.Tensor, masked: torch.Tensor
) -> torch.Tensor:
    low = torch.nonzero(unmasked[1:] < _RANDOM_FROM).flatten()
    if not len(low):
        return masked
    start = int(low[0]) + 1
    generator = torch.Generator().manual_seed(0)
    random = fourier_shell_correlation(
        _random_phases(a, start, generator) * mask, _random_phases(b, start, generator) * mask
    )
    corrected = masked.clone()
    beyond = slice(start + _GUARD, None)
    corrected[beyond] = (masked[beyond] - random[beyond]) / (1 - random[beyond]).clamp(min=1e-6)
    return corrected


def _random_phases(volume: torch.Tensor, start: int, generator: torch.Generator) -> torch.Tensor:
    """The map with random phases from a shell on; amplitudes stay."""
    box = volume.shape[-1]
    sphere = half_sphere(box // 2 - 1)
    values = volumes_to_sphere(volume, sphere)
    phase = 2 * torch.pi * torch.rand(values.shape, generator=generator)
    turned = torch.where(sphere.shell >= start, torch.polar(values.abs(), phase), values)
    return sphere_to_volumes(turned, sphere, box)


def _share(half: Map, decoded: Map, consensus: Map) -> float:
    change = (decoded - consensus).astype(np.float64)
    power = float(np.vdot(change, change))
    return float(np.vdot(half - consensus, change)) / power if power > 0 else float("nan")


def _filtered(volume: torch.Tensor, correlation: torch.Tensor) -> torch.Tensor:
    box = volume.shape[-1]
    sphere = half_sphere(box // 2 - 1)
    known = correlation.clamp(0, 1).float()
    weight = (2 * known / (1 + known))[sphere.shell.clamp(max=sphere.radius)]
    return sphere_to_volumes(volumes_to_sphere(volume, sphere) * weight, sphere, box)
