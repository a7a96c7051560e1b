"""The bead projector against the exact Fourier sum, and where things land."""

import numpy as np
import pytest
import torch

from napari_sbackprop.data.projector import BeadProjector
from napari_sbackprop.data.specimen import FloatArray, Specimen
from napari_sbackprop.data.toy import toy_complex
from napari_sbackprop.imaging.poses import euler_to_matrix

POINT = np.array([[1.0, 0.0]])  # form factor without any fall-off


def beads(positions: list[list[float]], form_factor: FloatArray = POINT) -> Specimen:
    count = len(positions)
    return Specimen(
        "beads",
        np.array([positions], float),
        np.ones(count),
        form_factor,
        np.zeros(count, bool),
        np.zeros(count, bool),
        np.ones((1, count), bool),
        "line",
        {},
    )


def image(projector: BeadProjector, rotation: FloatArray, origin: tuple[float, float] = (0, 0)) -> FloatArray:
    transform = projector.image_transform(rotation, np.array(origin), 0) * projector.image_filter()
    return np.fft.irfft2(transform)


def brightest(values: FloatArray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(values.argmax(), values.shape))


def test_image_agrees_with_the_exact_fourier_sum() -> None:
    specimen, box, pixel_size, b_factor = toy_complex(2), 64, 4.0, 40.0
    projector = BeadProjector(specimen, box, pixel_size, b_factor)
    rotation = euler_to_matrix(torch.tensor([[20.0, 50.0, -80.0]], dtype=torch.float64))[0].numpy()
    origin = np.array([7.0, -11.0])
    ours = projector.image_transform(rotation, origin, state=1) * projector.image_filter()

    points = specimen.positions[1] @ rotation[:2].T - origin
    ky, kx = np.fft.fftfreq(box, 1 / box), np.arange(box // 2 + 1)
    wave_x = np.exp(-2j * np.pi * points[:, :1] * kx / (box * pixel_size))
    wave_y = np.exp(-2j * np.pi * points[:, 1:] * ky / (box * pixel_size))
    k_squared = ky[:, None] ** 2 + kx**2
    s_squared = k_squared / (box * pixel_size) ** 2
    exact = wave_y.T @ wave_x * np.exp(-(specimen.form_factor[0, 1] + b_factor) * s_squared / 4)
    exact *= (-1.0) ** (np.abs(ky)[:, None] + kx) * (k_squared < (box // 2) ** 2)
    assert np.linalg.norm(ours - exact) < 0.01 * np.linalg.norm(exact)


def test_map_slice_is_the_projection() -> None:
    projector = BeadProjector(toy_complex(1), 32, 9.5, 40.0)
    transform = projector.image_transform(np.eye(3), np.zeros(2), 0) * projector.image_filter()
    slice_ = np.fft.rfftn(projector.volume(0))[0]
    assert np.linalg.norm(slice_ - transform) < 1e-5 * np.linalg.norm(transform)


def test_sum_of_a_map_is_the_weight_of_its_beads() -> None:
    assert BeadProjector(beads([[3.0, -4.0, 5.0], [0, 0, 0]]), 16, 2.0, 50.0).volume(
        0
    ).sum() == pytest.approx(2)


def test_bead_lands_in_its_voxel() -> None:
    projector = BeadProjector(beads([[6.0, -4.0, 10.0]]), 16, 2.0, 20.0)
    assert brightest(projector.volume(0)) == (8 + 5, 8 - 2, 8 + 3)  # z, y, x
    assert brightest(image(projector, np.eye(3))) == (8 - 2, 8 + 3)


def test_particle_sits_at_minus_its_origin() -> None:
    projector = BeadProjector(beads([[0.0, 0.0, 0.0]]), 16, 2.0, 20.0)
    assert brightest(image(projector, np.eye(3), origin=(6.0, 0.0))) == (8, 8 - 3)
    assert brightest(image(projector, np.eye(3), origin=(0.0, 6.0))) == (8 - 3, 8)


def test_psi_of_90_degrees_takes_x_to_minus_y() -> None:
    projector = BeadProjector(beads([[6.0, 0.0, 0.0]]), 16, 2.0, 20.0)
    rotation = euler_to_matrix(torch.tensor([[0.0, 0.0, 90.0]], dtype=torch.float64))[0].numpy()
    assert brightest(image(projector, rotation)) == (8 - 3, 8)


def test_nothing_lies_at_or_beyond_nyquist() -> None:
    kept = BeadProjector(beads([[0.0, 0.0, 0.0]]), 16, 2.0, 0.0).image_filter()
    ky, kx = np.fft.fftfreq(16, 1 / 16)[:, None], np.arange(9)
    beyond = ky**2 + kx**2 >= 64
    assert not kept[beyond].any()
    assert (kept[~beyond] > 0).all()


def test_absent_part_leaves_its_beads_out() -> None:
    specimen = toy_complex(1)
    projector = BeadProjector(specimen, 32, 9.5, 40.0)
    absent = projector.volume(0, present=False)
    part = projector.volume(0, part=specimen.optional)
    assert np.allclose(absent + part, projector.volume(0), atol=1e-4)
