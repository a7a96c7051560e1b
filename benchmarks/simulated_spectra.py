"""Particles made where they are used, in memory: spectra of a molecule of blobs, some of which come and go."""

import torch
from torch import Tensor

from napari_sbackprop import ops
from napari_sbackprop.imaging.ctf import contrast_transfer
from napari_sbackprop.imaging.fourier import gridding_correction, volumes_to_sphere
from napari_sbackprop.imaging.grids import HalfDisc, HalfSphere, half_disc, half_sphere
from napari_sbackprop.imaging.poses import random_rotations
from napari_sbackprop.training.spectra import Spectra

WIDTH_ANGSTROM = 256  # of the box
SNR = 0.1
BLOBS, MOVING_BLOBS = 60, 6
_BATCH = 1024


def blobs(box: int, count: int, generator: torch.Generator) -> Tensor:
    """Map (M, M, M) of Gaussian blobs two pixels wide, within a third of the box from the centre."""
    place = torch.randn(count, 3, generator=generator)
    radius = box / 3 * torch.rand(count, 1, generator=generator) ** (1 / 3)
    place = place / place.norm(dim=-1, keepdim=True) * radius
    axis = torch.arange(box) - box // 2
    z, y, x = (torch.exp(-((axis - place[:, i, None]) ** 2) / 8) for i in range(3))
    return torch.einsum("nz,ny,nx->zyx", z, y, x)


def slicer_volumes(box: int, directions: int, sphere: HalfSphere, generator: torch.Generator) -> Tensor:
    """Volumes (W, 1 + directions, 2): a molecule, and blobs that come where others go, in each direction."""
    maps = [blobs(box, BLOBS, generator)]
    for _ in range(directions):
        come, go = blobs(box, MOVING_BLOBS, generator), blobs(box, MOVING_BLOBS, generator)
        maps.append(come - go)
    values = [volumes_to_sphere(density / gridding_correction(box), sphere) for density in maps]
    return torch.view_as_real(torch.stack(values, dim=1)).contiguous()


def transfer_of(disc: HalfDisc, box: int, defocus: Tensor) -> Tensor:
    """CTF (B, P) at 300 kV for defoci (B,) in angstrom."""
    frequencies = disc.coordinates / WIDTH_ANGSTROM
    defocus = torch.stack([defocus, defocus, torch.zeros_like(defocus)], dim=-1)
    return contrast_transfer(
        frequencies, defocus, voltage=300, spherical_aberration=2.7, amplitude_contrast=0.1
    )


def simulated_spectra(
    box: int, count: int, directions: int, device: torch.device, seed: int = 0
) -> tuple[Spectra, Tensor]:
    """Spectra of `count` particles at a signal-to-noise ratio of 0.1, and their true coefficients (N, directions)."""
    generator = torch.Generator().manual_seed(seed)
    disc, sphere = half_disc(box // 2 - 1), half_sphere(box // 2 - 1)
    volumes = slicer_volumes(box, directions, sphere, generator).to(device)
    truth = torch.randn(count, directions, generator=generator)
    weights = torch.cat([torch.ones(count, 1), truth], dim=1).to(device)
    rotation = random_rotations(count, generator).float().to(device)
    defocus = (10_000 + 15_000 * torch.rand(count, generator=generator)).to(device)
    data = torch.empty(count, disc.size, dtype=torch.complex64, device=device)
    transfer = torch.empty(count, disc.size, device=device)
    noise = torch.Generator(device).manual_seed(seed)
    scale = None
    for start in range(0, count, _BATCH):
        part = slice(start, start + _BATCH)
        transfer[part] = transfer_of(disc, box, defocus[part])
        clean = transfer[part] * ops.project(volumes, weights[part], rotation[part], disc, sphere)
        if scale is None:
            scale = (SNR / clean.abs().square().mean()).sqrt()
        data[part] = scale * clean + torch.randn(
            clean.shape, dtype=clean.dtype, device=device, generator=noise
        )
    return Spectra(disc, data, transfer, rotation), truth.to(device)
