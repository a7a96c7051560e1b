"""Contrast transfer function, by RELION's sign: +amplitude contrast at zero frequency, underfocus positive."""

import math

import torch
from torch import Tensor


def electron_wavelength(voltage: float) -> float:
    """Relativistic wavelength in angstrom of electrons of `voltage` kV."""
    volts = voltage * 1e3
    return 12.2643247 / math.sqrt(volts * (1.0 + 0.978466e-6 * volts))


def contrast_transfer(
    frequencies: Tensor,
    defocus: Tensor,
    *,
    voltage: float,
    spherical_aberration: float,
    amplitude_contrast: float,
    phase_shift: Tensor | None = None,
    b_factor: Tensor | None = None,
    scale: Tensor | None = None,
) -> Tensor:
    """Contrast transfer of each particle at each frequency.

    CTF = -sin(gamma), gamma = -pi L df k^2 + pi/2 Cs L^3 k^4 - phase shift - atan(Q0 / sqrt(1 - Q0^2)), with the defocus
    df = (U + V) / 2 + (U - V) / 2 cos(2 (theta - theta0)); theta0 runs from +kx towards +ky.

    Parameters
    ----------
    frequencies : (P, 2) spatial frequencies (kx, ky) in 1/angstrom.
    defocus : (B, 3) U and V in angstrom, underfocus positive, and the angle of U in degrees.
    voltage : kV.
    spherical_aberration : mm.
    amplitude_contrast : fraction Q0.
    phase_shift : (B,) degrees, of a phase plate.
    b_factor : (B,) square angstrom, damps by exp(-B k^2 / 4).
    scale : (B,) factor.

    Returns
    -------
    (B, P), in the dtype and on the device of `defocus`.
    """
    kx, ky = frequencies.to(defocus).unbind(-1)
    k2 = kx**2 + ky**2  # (P,)
    mean, half_difference = (defocus[:, 0] + defocus[:, 1]) / 2, (defocus[:, 0] - defocus[:, 1]) / 2
    angle = 2 * torch.deg2rad(defocus[:, 2])
    # df k^2 is a quadratic form of (kx, ky), so the defocus of all particles and pixels is one matrix product.
    form = torch.stack([mean, half_difference * angle.cos(), half_difference * angle.sin()], dim=-1)  # (B, 3)
    underfocus_k2 = form @ torch.stack([k2, kx**2 - ky**2, 2 * kx * ky])  # (B, P)

    wavelength = electron_wavelength(voltage)
    gamma = -math.pi * wavelength * underfocus_k2
    gamma = gamma + math.pi / 2 * spherical_aberration * 1e7 * wavelength**3 * k2**2
    gamma = gamma - math.asin(amplitude_contrast)  # atan(Q0 / sqrt(1 - Q0^2))
    if phase_shift is not None:
        gamma = gamma - torch.deg2rad(phase_shift)[:, None]
    transfer = -torch.sin(gamma)
    if b_factor is not None:
        transfer = transfer * torch.exp(-b_factor[:, None] / 4 * k2)
    if scale is not None:
        transfer = transfer * scale[:, None]
    return transfer
