"""Contrast transfer function, by RELION's sign: +amplitude contrast at zero frequency, underfocus positive.

Its antisymmetric aberrations are a phase of their own.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from napari_sbackprop.imaging.zernike import Parity, zernike_sum


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
    even_zernikes: Sequence[float] = (),
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
    even_zernikes : radians, symmetric aberrations that add to gamma, as rlnEvenZernike lists them.

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
    gamma = gamma + zernike_sum(frequencies, even_zernikes, Parity.EVEN).to(defocus)
    if phase_shift is not None:
        gamma = gamma - torch.deg2rad(phase_shift)[:, None]
    transfer = -torch.sin(gamma)
    if b_factor is not None:
        transfer = transfer * torch.exp(-b_factor[:, None] / 4 * k2)
    if scale is not None:
        transfer = transfer * scale[:, None]
    return transfer


def aberration_phase(
    frequencies: Tensor,
    beam_tilt: Tensor,
    odd_zernikes: Sequence[float] = (),
    *,
    voltage: float,
    spherical_aberration: float,
) -> Tensor:
    """Phase by which antisymmetric aberrations turn each particle's image: exp(i phi).

    phi = -2 pi Cs L^2 k^2 (beam tilt . k) + the odd Zernike polynomials. Multiply a prediction by the phase, or the data by
    its conjugate. Its twin for -k is its conjugate.

    Parameters
    ----------
    frequencies : (P, 2) spatial frequencies (kx, ky) in 1/angstrom.
    beam_tilt : (B, 2) mrad, (x, y).
    odd_zernikes : radians, as rlnOddZernike lists them.
    voltage : kV.
    spherical_aberration : mm.

    Returns
    -------
    (B, P) complex, in the precision and on the device of `beam_tilt`.
    """
    k = frequencies.to(beam_tilt)
    coma = -2 * math.pi * spherical_aberration * 1e7 * electron_wavelength(voltage) ** 2
    # mrad are 1e-3 of a radian
    angle = beam_tilt @ (1e-3 * coma * k.square().sum(-1, keepdim=True) * k).T  # (B, P)
    angle = angle + zernike_sum(frequencies, odd_zernikes, Parity.ODD).to(beam_tilt)
    return torch.polar(torch.ones_like(angle), angle)
