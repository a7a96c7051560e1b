"""Contrast transfer: signs, astigmatism, damping."""

import math

import numpy as np
import pytest
import torch

from napari_sbackprop.imaging.ctf import aberration_phase, contrast_transfer, electron_wavelength

OPTICS = {"voltage": 300.0, "spherical_aberration": 2.7, "amplitude_contrast": 0.1}


def test_wavelength_is_relativistic():
    assert electron_wavelength(300) == pytest.approx(0.019687, abs=1e-6)


def test_zero_frequency_has_the_amplitude_contrast():
    transfer = contrast_transfer(torch.zeros(1, 2), torch.tensor([[15000.0, 15000, 0]]), **OPTICS)
    assert transfer.item() == pytest.approx(0.1, abs=1e-6)


def test_first_zero_of_underfocus():
    defocus, wavelength = 10000.0, electron_wavelength(300)
    zero = math.sqrt(1 / (wavelength * defocus))  # sine of pi: without Cs and amplitude contrast
    optics = {"voltage": 300.0, "spherical_aberration": 0.0, "amplitude_contrast": 0.0}
    frequencies = torch.tensor([[0.5 * zero, 0.0], [zero, 0.0], [1.2 * zero, 0.0]], dtype=torch.float64)
    below, at, above = contrast_transfer(
        frequencies, torch.tensor([[defocus, defocus, 0.0]]).double(), **optics
    )[0]
    assert below > 0.5
    assert at.abs() < 1e-9
    assert above < 0


def test_astigmatism_runs_from_x_towards_y():
    frequencies = torch.tensor([[0.02, 0.0], [0.0, 0.02], [0.02, 0.02]], dtype=torch.float64)
    along_y = torch.tensor([[30000.0, 10000.0, 90.0]], dtype=torch.float64)
    transfer = contrast_transfer(frequencies, along_y, **OPTICS)[0]
    for frequency, defocus, value in zip(frequencies, (10000.0, 30000.0, 20000.0), transfer, strict=True):
        round_defocus = torch.tensor([[defocus, defocus, 0.0]], dtype=torch.float64)
        assert contrast_transfer(frequency[None], round_defocus, **OPTICS).item() == pytest.approx(
            value.item()
        )


def test_phase_shift_damping_and_scale():
    frequencies = torch.tensor([[0.0, 0.0], [0.1, 0.0]])
    defocus = torch.tensor([[12000.0, 12000, 0]])
    plain = contrast_transfer(frequencies, defocus, **OPTICS)
    plate = contrast_transfer(frequencies[:1], defocus, **OPTICS, phase_shift=torch.tensor([90.0]))
    assert plate.item() == pytest.approx(math.sqrt(1 - 0.1**2), abs=1e-6)
    damped = contrast_transfer(
        frequencies, defocus, **OPTICS, b_factor=torch.tensor([100.0]), scale=torch.tensor([2.0])
    )
    assert torch.allclose(damped, 2 * plain * torch.tensor([1.0, math.exp(-0.25)]))


def test_agrees_with_torch_ctf():
    torch_ctf = pytest.importorskip("torch_ctf")
    box, pixel_size, u, v, angle = 64, 2.0, 21000.0, 15000.0, 35.0
    oracle = torch_ctf.calculate_ctf_2d(
        defocus=(u + v) / 2e4,
        astigmatism=(u - v) / 2e4,
        astigmatism_angle=angle,
        voltage=300,
        spherical_aberration=2.7,
        amplitude_contrast=0.1,
        phase_shift=0,
        pixel_size=pixel_size,
        image_shape=(box, box),
        rfft=True,
        fftshift=False,
    ).numpy()
    y, x = np.meshgrid(np.fft.fftfreq(box, pixel_size), np.fft.rfftfreq(box, pixel_size), indexing="ij")
    frequencies = torch.from_numpy(np.stack([x.ravel(), y.ravel()], -1))
    ours = contrast_transfer(frequencies, torch.tensor([[u, v, angle]], dtype=torch.float64), **OPTICS)
    inside = (frequencies.norm(dim=-1) < 0.5 / pixel_size).numpy()
    assert np.abs(ours[0].numpy() - oracle.ravel())[inside].max() < 2e-3


def test_even_zernikes_can_stand_for_spherical_aberration_and_defocus():
    # Z(2,0) = 2 k^2 - 1 and Z(4,0) = 6 k^4 - 6 k^2 + 1 hold the k^2 of defocus and the k^4 of Cs.
    wavelength = electron_wavelength(300)
    fourth = math.pi / 2 * 1e7 * wavelength**3 / 6  # of one mm more of Cs
    second = (-math.pi * wavelength * 500 + 6 * fourth) / 2  # of 500 angstrom more of defocus
    frequencies = torch.rand(50, 2, dtype=torch.float64) - 0.5
    defocus = torch.tensor([[15000.0, 12000.0, 40.0]], dtype=torch.float64)
    zernikes = [second - fourth, 0, second, 0, 0, 0, fourth]
    aberrated = contrast_transfer(frequencies, defocus, **OPTICS, even_zernikes=zernikes)
    stronger = {**OPTICS, "spherical_aberration": 3.7}
    expected = contrast_transfer(frequencies, defocus + torch.tensor([500, 500, 0]), **stronger)
    assert torch.allclose(aberrated, expected)


ELECTRONS = {"voltage": 300.0, "spherical_aberration": 2.7}


def test_beam_tilt_is_coma_along_the_tilt():
    # 2.7 mm of Cs, 1 mrad along x, at 0.5/A: 2 pi Cs L^2 k^3 t = 2 pi * 2.7e7 * 0.019687^2 * 0.125 * 1e-3 radians.
    frequencies = torch.tensor([[0.5, 0.0], [0.0, 0.5], [0.25, 0.0]], dtype=torch.float64)
    phase = aberration_phase(frequencies, torch.tensor([[1.0, 0.0]]).double(), **ELECTRONS)[0]
    expected = -2 * math.pi * 2.7e7 * 0.0196874**2 * 0.125e-3
    angles = [expected, 0, expected / 8]
    assert torch.allclose(phase, torch.polar(torch.ones(3), torch.tensor(angles)).to(phase), atol=1e-3)


def test_beam_tilt_is_odd_zernikes_of_the_same_shape():
    # The tilt's cubic is Z(3,-1) and Z(3,1) plus twice the linear term that these take away.
    frequencies = torch.rand(50, 2, dtype=torch.float64) - 0.5
    coma = -2 * math.pi * 2.7e7 * electron_wavelength(300) ** 2 * 1e-3 / 3
    tilt = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    zernikes = [2 * coma * -0.2, 2 * coma * 0.3, 0, coma * -0.2, coma * 0.3, 0]
    tilted = aberration_phase(frequencies, tilt, **ELECTRONS)
    assert torch.allclose(aberration_phase(frequencies, 0 * tilt, zernikes, **ELECTRONS), tilted)
    both = aberration_phase(frequencies, tilt, zernikes, **ELECTRONS)
    assert torch.allclose(both, tilted**2)


def test_the_aberration_of_opposite_frequencies_is_conjugate():
    frequencies = torch.rand(50, 2, dtype=torch.float64) - 0.5
    tilt = torch.tensor([[0.3, -0.2], [0.0, 1.0]], dtype=torch.float64)
    phase, opposite = (
        aberration_phase(sign * frequencies, tilt, [0.5, 1, 2, 3], **ELECTRONS) for sign in (1, -1)
    )
    assert torch.allclose(opposite, phase.conj())
