"""Transforms between real space and the half disc or half sphere.

Unnormalised, with the origin at index M // 2 in real space: the transform of a projection (sum of the voxels along the
ray) is the central slice of the transform of the map. Arrays are [z, y, x] and [y, x].
"""

from functools import lru_cache

import torch
from torch import Tensor

from napari_sbackprop.imaging.grids import HalfDisc, HalfSphere


def images_to_disc(images: Tensor, disc: HalfDisc) -> Tensor:
    """Transform images (..., M, M), real, to half-disc values (..., P), complex."""
    _require_room(images.shape[-1], disc.radius)
    transform = torch.fft.rfft2(torch.fft.ifftshift(images, dim=(-2, -1)))
    x, y = disc.coordinates.to(images.device).unbind(-1)
    return transform[..., y, x]  # a negative y indexes from the end, as the FFT orders it


def disc_to_images(values: Tensor, disc: HalfDisc, box: int) -> Tensor:
    """Inverse of `images_to_disc` for images of (box, box) pixels; frequencies outside the disc are zero."""
    _require_room(box, disc.radius)
    x, y = disc.coordinates.to(values.device).unbind(-1)
    transform = values.new_zeros(*values.shape[:-1], box, box // 2 + 1)
    transform[..., y, x] = values
    return torch.fft.fftshift(torch.fft.irfft2(transform, s=(box, box)), dim=(-2, -1))


def volumes_to_sphere(volumes: Tensor, sphere: HalfSphere) -> Tensor:
    """Transform maps (..., M, M, M), real, to half-sphere values (..., W), complex.

    Voxels beyond the last shell, or beyond what the box holds, are zero.
    """
    _require_room(volumes.shape[-1], sphere.radius)
    transform = torch.fft.rfftn(torch.fft.ifftshift(volumes, dim=(-3, -2, -1)), dim=(-3, -2, -1))
    inside, place = _kept(sphere, volumes.shape[-1], volumes.device)
    values = transform.new_zeros(*volumes.shape[:-3], sphere.size)
    values[..., inside] = transform.flatten(-3)[..., place]
    return values


def sphere_to_volumes(values: Tensor, sphere: HalfSphere, box: int) -> Tensor:
    """Inverse of `volumes_to_sphere` for maps of box^3 voxels, from values (..., W), complex.

    Voxels beyond the last shell serve interpolation alone and are dropped.
    """
    _require_room(box, sphere.radius)
    inside, place = _kept(sphere, box, values.device)
    transform = values.new_zeros(*values.shape[:-1], box, box, box // 2 + 1)
    transform.flatten(-3)[..., place] = values[..., inside]  # a view
    return torch.fft.fftshift(torch.fft.irfftn(transform, s=(box, box, box)), dim=(-3, -2, -1))


def gridding_correction(box: int, padding: float = 1.0) -> Tensor:
    """Real-space effect of trilinear interpolation, sinc^2 along each axis: (M, M, M) float32, 1 at the centre.

    Slicing a transform trilinearly acts like slicing that of the map times this. Divide a known map by it before its
    transform; multiply a map that was learned through the slicer by it.

    Parameters
    ----------
    box : M, voxels per side of the map.
    padding : box of the transform divided by M.
    """
    axis = torch.arange(box, dtype=torch.float64) - box // 2
    sinc = torch.sinc(axis / (padding * box)) ** 2
    return (sinc[:, None, None] * sinc[:, None] * sinc).float()


def resample_volumes(volumes: Tensor, box: int) -> Tensor:
    """Fourier crop or pad maps (..., M, M, M) to (..., box, box, box); densities keep their values, Nyquist is dropped."""
    old = volumes.shape[-1]
    transform = torch.fft.rfftn(torch.fft.ifftshift(volumes, dim=(-3, -2, -1)), dim=(-3, -2, -1))
    keep = min(old, box) // 2
    axis = torch.arange(-keep + 1, keep, device=volumes.device)
    cropped = transform.new_zeros(*volumes.shape[:-3], box, box, box // 2 + 1)
    z, y, x = axis[:, None, None], axis[:, None], axis[keep - 1 :]
    cropped[..., z, y, x] = transform[..., z, y, x]
    real = torch.fft.fftshift(torch.fft.irfftn(cropped, s=(box, box, box)), dim=(-3, -2, -1))
    return real * (box / old) ** 3


def gaussian_filter(volumes: Tensor, width: float) -> Tensor:
    """Low-pass maps (..., M, M, M) by exp(-(k width)^2), k in cycles per voxel: a feature of `width` voxels falls to 1/e."""
    box = volumes.shape[-1]
    full = torch.fft.fftfreq(box, device=volumes.device) ** 2
    half = torch.fft.rfftfreq(box, device=volumes.device) ** 2
    k2 = full[:, None, None] + full[:, None] + half
    transform = torch.fft.rfftn(volumes, dim=(-3, -2, -1)) * torch.exp(-k2 * width**2)
    return torch.fft.irfftn(transform, s=(box, box, box))


@lru_cache(maxsize=8)  # 16 bytes a voxel each
def _kept(sphere: HalfSphere, box: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Voxels of the sphere that a box keeps, and where they lie in its flattened real transform (box, box, box//2 + 1)."""
    inside = torch.nonzero(sphere.shell <= sphere.radius).squeeze(-1)
    x, y, z = sphere.coordinates[inside].unbind(-1)
    return inside.to(device), ((z % box * box + y % box) * (box // 2 + 1) + x).to(device)


def _require_room(box: int, radius: int) -> None:
    if box % 2:
        raise ValueError(f"the box must be even, not {box}")
    if radius >= box // 2:
        raise ValueError(f"a radius of {radius} shells reaches the Nyquist frequency of a box of {box}")
