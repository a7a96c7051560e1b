"""What half maps of some particles say of the map that was decoded for them.

They are made without the model, so they show whether the images bear out what the decoder draws. They do not show that the
selection is more than chance: particles chosen for their latents were chosen, in part, for their noise, and their average
shows that noise again in both halves.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from napari_sbackprop.imaging.fourier import sphere_to_volumes, volumes_to_sphere
from napari_sbackprop.imaging.grids import half_sphere
from napari_sbackprop.imaging.shells import fourier_shell_correlation, shell_mean

Map = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]

THRESHOLD = 0.143
"""FSC of half maps at the resolution of their average (Rosenthal and Henderson 2003)."""
_RANDOM_FROM = 0.8  # unmasked FSC below which phases are made random to see what the mask alone does
_GUARD = 2  # shells beyond the first random one where the correction sets in, as RELION has it


@dataclass(frozen=True, eq=False)
class Agreement:
    """How well half maps agree.

    Attributes
    ----------
    unmasked, masked, corrected : (M / 2,) FSC of the half maps: as they are, inside the mask, and inside it less what
        the mask itself brings about (Chen et al. 2013).
    resolution : angstrom where `corrected` falls below 0.143; infinity where it never exceeds it.
    average : (M, M, M), mean of the half maps, each shell weighted by 2 FSC / (1 + FSC) of `corrected`.
    """

    unmasked: Curve
    masked: Curve
    corrected: Curve
    resolution: float
    average: Map


@dataclass(frozen=True, eq=False)
class Evidence(Agreement):
    """Half maps of some particles beside the map that was decoded for them.

    Attributes
    ----------
    decoded, consensus : (M / 2,) FSC inside the mask of the average of the half maps with the decoded map, and with the
        consensus: the first should be the higher one.
    change : how much of the decoded map's difference from the consensus the half maps show, by least squares inside
        the mask: 1 all of it, 0 none; NaN where there is no difference.
    change_error : its standard error, from the noise of the half maps.
    """

    decoded: Curve
    consensus: Curve
    change: float
    change_error: float


def compare_halves(first: Map, second: Map, mask: Map, pixel_size: float) -> Agreement:
    """Compare half maps (M, M, M) with each other.

    Parameters
    ----------
    mask : the soft mask, which the half maps are still without.
    pixel_size : angstrom per voxel.
    """
    a, b, soft = (torch.from_numpy(np.ascontiguousarray(values)) for values in (first, second, mask))
    unmasked = fourier_shell_correlation(a, b)
    masked = fourier_shell_correlation(a * soft, b * soft)
    corrected = _without_mask_effect(a, b, soft, unmasked, masked)
    return Agreement(
        unmasked=unmasked.numpy(),
        masked=masked.numpy(),
        corrected=corrected.numpy(),
        resolution=resolution(corrected, pixel_size),
        average=_filtered((a + b) / 2, corrected).numpy(),
    )


def resolution(curve: torch.Tensor, pixel_size: float) -> float:
    """Angstrom of the last shell before an FSC (M / 2,) of half maps falls below 0.143; infinity without such a shell."""
    below = torch.nonzero(curve[1:] < THRESHOLD).flatten()
    shell = int(below[0]) if len(below) else len(curve) - 1
    return 2 * len(curve) * pixel_size / shell if shell else float("inf")


def judge(first: Map, second: Map, decoded: Map, consensus: Map, mask: Map, pixel_size: float) -> Evidence:
    """Compare half maps with the decoded map of the same particles, all (M, M, M).

    Parameters
    ----------
    decoded, consensus : as a decoder gives them, the mask applied.
    mask : the soft mask, which the half maps are still without.
    pixel_size : angstrom per voxel.
    """
    change, change_error = _change(first, second, decoded, consensus, mask)
    mean = torch.from_numpy((first + second) / 2 * mask)
    return Evidence(
        **vars(compare_halves(first, second, mask, pixel_size)),
        decoded=fourier_shell_correlation(mean, torch.from_numpy(decoded)).numpy(),
        consensus=fourier_shell_correlation(mean, torch.from_numpy(consensus)).numpy(),
        change=change,
        change_error=change_error,
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


def _change(first: Map, second: Map, decoded: Map, consensus: Map, mask: Map) -> tuple[float, float]:
    """Share of the decoded change that the half maps show, and its standard error.

    Least squares on the consensus and the change together, in units of how much of the decoded map's consensus they show: a
    selection of strong or weak images is not taken for a change, nor its change for a larger or smaller one. The error comes
    from the spectrum of the half maps' difference, which is noise alone. NaN where they show no consensus.
    """
    flat = consensus.astype(np.float64)
    change = decoded - flat
    change -= float(np.vdot(flat, change)) / max(float(np.vdot(flat, flat)), 1e-300) * flat
    power, average = float(np.vdot(change, change)), (first + second) / 2 * mask
    shown, expected = float(np.vdot(average, flat)), float(np.vdot(decoded, flat))
    if power <= 1e-12 * float(np.vdot(flat, flat)) or min(shown, expected) <= 0:
        return float("nan"), float("nan")
    contrast = shown / expected
    share = float(np.vdot(average, change)) / power / contrast

    box = len(mask)
    sphere = half_sphere(box // 2 - 1)
    weight = torch.where(sphere.coordinates[:, 0] == 0, 0.5, 1.0).double()
    pattern, noise = (
        volumes_to_sphere(torch.from_numpy(values).double(), sphere).abs().square()
        for values in (change * mask / power, (first - second) / 2 * mask)
    )
    noise /= float(np.square(mask).mean())  # what stationary noise has without the mask
    spectrum = shell_mean(noise, sphere.shell, sphere.radius + 1, weight)[
        sphere.shell.clamp(max=sphere.radius)
    ]
    # Twice: the half sphere stands for the whole transform, of which the x = 0 plane is here in full.
    variance = 2 * float((weight * pattern * spectrum).sum()) / box**6
    return share, float(np.sqrt(variance)) / contrast


def _filtered(volume: torch.Tensor, correlation: torch.Tensor) -> torch.Tensor:
    box = volume.shape[-1]
    sphere = half_sphere(box // 2 - 1)
    known = correlation.clamp(0, 1).float()
    weight = (2 * known / (1 + known))[sphere.shell.clamp(max=sphere.radius)]
    return sphere_to_volumes(volumes_to_sphere(volume, sphere) * weight, sphere, box)
