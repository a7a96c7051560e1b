"""Zernike polynomials that describe aberrations, in RELION's order and units.

They are not scaled to a disc: the radius is the spatial frequency itself, in 1/angstrom.
"""

import math
from collections.abc import Sequence
from enum import Enum

import torch
from torch import Tensor


class Parity(Enum):
    """Which polynomials a list of coefficients counts: those that keep or those that change their sign at -k."""

    EVEN = 0
    ODD = 1


def zernike_sum(frequencies: Tensor, coefficients: Sequence[float], parity: Parity) -> Tensor:
    """Sum of Zernike polynomials, in radians where the coefficients are rlnEvenZernike or rlnOddZernike.

    Parameters
    ----------
    frequencies : (P, 2) spatial frequencies (kx, ky) in 1/angstrom.
    coefficients : of the polynomials in the order of `zernike_degrees`.

    Returns
    -------
    (P,) float64, on the device of `frequencies`.
    """
    kx, ky = frequencies.double().unbind(-1)
    rho, angle = torch.hypot(kx, ky), torch.atan2(ky, kx)
    total = torch.zeros_like(rho)
    for index, coefficient in enumerate(coefficients):
        if coefficient:
            n, m = zernike_degrees(index, parity)
            turn = torch.cos(m * angle) if m >= 0 else torch.sin(-m * angle)
            total += coefficient * _radial(n, abs(m), rho) * turn
    return total


def zernike_degrees(index: int, parity: Parity) -> tuple[int, int]:
    """Degree n and azimuthal degree m (below 0: a sine) of the polynomial at a place in RELION's list, from 0."""
    if parity is Parity.EVEN:
        half = math.isqrt(index)
        return 2 * half, 2 * (index - half**2 - half)
    half = (math.isqrt(1 + 4 * index) - 1) // 2
    return 2 * half + 1, 2 * (index - half**2 - half) - 2 * half - 1


def _radial(n: int, m: int, rho: Tensor) -> Tensor:
    terms = [
        (-1) ** k * math.comb(n - k, k) * math.comb(n - 2 * k, (n - m) // 2 - k) * rho ** (n - 2 * k)
        for k in range((n - m) // 2 + 1)
    ]
    return torch.stack(terms).sum(0)
