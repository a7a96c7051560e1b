"""Zernike polynomials: RELION's order, and closed forms of the low ones."""

import pytest
import torch

from napari_sbackprop.imaging.zernike import Parity, zernike_degrees, zernike_sum

FREQUENCIES = torch.tensor([[0.1, 0.0], [0.0, 0.2], [0.3, -0.1], [-0.05, 0.15]], dtype=torch.float64)


def test_order_of_the_lists() -> None:
    even = [zernike_degrees(index, Parity.EVEN) for index in range(9)]
    assert even == [(0, 0), (2, -2), (2, 0), (2, 2), (4, -4), (4, -2), (4, 0), (4, 2), (4, 4)]
    odd = [zernike_degrees(index, Parity.ODD) for index in range(6)]
    assert odd == [(1, -1), (1, 1), (3, -3), (3, -1), (3, 1), (3, 3)]


KX, KY = FREQUENCIES.unbind(-1)
K2 = KX**2 + KY**2
CLOSED_FORMS = {
    (Parity.EVEN, 0): torch.ones(4).double(),
    (Parity.EVEN, 1): 2 * KX * KY,
    (Parity.EVEN, 2): 2 * K2 - 1,
    (Parity.EVEN, 3): KX**2 - KY**2,
    (Parity.EVEN, 6): 6 * K2**2 - 6 * K2 + 1,
    (Parity.ODD, 0): KY,
    (Parity.ODD, 1): KX,
    (Parity.ODD, 2): 3 * KX**2 * KY - KY**3,
    (Parity.ODD, 4): (3 * K2 - 2) * KX,
    (Parity.ODD, 5): KX**3 - 3 * KX * KY**2,
}


@pytest.mark.parametrize(("parity", "index"), CLOSED_FORMS)
def test_low_polynomials_have_their_closed_forms(parity: Parity, index: int) -> None:
    coefficients = [0.0] * index + [1.0]
    torch.testing.assert_close(zernike_sum(FREQUENCIES, coefficients, parity), CLOSED_FORMS[parity, index])


def test_parity_is_the_sign_at_the_opposite_frequency() -> None:
    coefficients = torch.linspace(-1, 1, 16).tolist()
    for parity, sign in ((Parity.EVEN, 1), (Parity.ODD, -1)):
        here, opposite = (zernike_sum(s * FREQUENCIES, coefficients, parity) for s in (1, -1))
        torch.testing.assert_close(opposite, sign * here)


def test_without_coefficients_there_is_no_aberration() -> None:
    assert not zernike_sum(FREQUENCIES, (), Parity.EVEN).any()
