"""Where two half sets agree."""

import torch
from torch import Tensor

from napari_sbackprop.imaging.fourier import volumes_to_sphere
from napari_sbackprop.imaging.grids import half_sphere
from napari_sbackprop.imaging.masks import radius_grid
from napari_sbackprop.training.closed_form import agreed_model
from napari_sbackprop.training.signal_mask import signal_mask
from napari_sbackprop.training.volume_solver import multiply_maps

BOX = 32
SPHERE = half_sphere(BOX // 2 - 1)
MASK = (radius_grid(BOX, 3) < 14).float()
MOVING = torch.roll(radius_grid(BOX, 3) < 4, 6, dims=2)
"""A ball to the right of the centre."""


def half_sets(noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """Two bases of two volumes with the same signal in the moving ball and their own noise all over the mask."""
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(2, BOX, BOX, BOX, generator=generator) * MOVING
    consensus = MASK[None]
    halves = []
    for _ in range(2):
        noisy = signal + noise * torch.randn(signal.shape, generator=generator) * MASK
        values = volumes_to_sphere(torch.cat([consensus, noisy]), SPHERE)
        halves.append(torch.view_as_real(values).transpose(0, 1).contiguous())
    truth = volumes_to_sphere(torch.cat([consensus, signal]), SPHERE)
    return halves[0], halves[1], torch.view_as_real(truth).transpose(0, 1)


def test_the_mask_is_where_half_sets_agree():
    a, b, _ = half_sets(noise=0.3)
    shrinkage = torch.ones(3, SPHERE.radius + 1)
    region = signal_mask(a, b, shrinkage, SPHERE, MASK)
    assert region[MOVING].mean() > 0.7
    outside = (MASK > 0) & (radius_grid(BOX, 3).roll(6, dims=2) > 7)
    assert region[outside].mean() < 0.1
    assert region[MASK == 0].max() == 0
    assert region.min() >= 0
    assert region.max() <= 1


def test_the_consensus_does_not_decide_where():
    a, b, _ = half_sets(noise=0.3)
    shrinkage = torch.ones(3, SPHERE.radius + 1)
    before = signal_mask(a, b, shrinkage, SPHERE, MASK)
    a[:, 0] *= 100
    torch.testing.assert_close(signal_mask(a, b, shrinkage, SPHERE, MASK), before)


def test_agreement_brings_the_basis_nearer_to_the_truth():
    a, b, truth = half_sets(noise=1.0)
    model = agreed_model(a, b, SPHERE, MASK)

    def error(volumes: Tensor) -> float:
        return float((volumes - truth)[:, 1:].norm() / truth[:, 1:].norm())

    assert error(model.volumes) < 0.6 * error((a + b) / 2)
    torch.testing.assert_close(model.volumes[:, 0], (a + b)[:, 0] / 2)
    # The masked half sets alone decide on the shells: noise elsewhere does not count against the signal.
    masked = multiply_maps((a + b) / 2, SPHERE, model.region)
    assert error(model.volumes) < error(masked)
    assert model.correlation[1:, 4:12].min() > 0.3


def test_halves_without_anything_in_common_leave_next_to_nothing():
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(SPHERE.size, 3, 2, generator=generator) for _ in range(2))
    model = agreed_model(a, b, SPHERE, MASK)
    assert model.volumes[:, 1:].norm() < 0.05 * ((a + b) / 2)[:, 1:].norm()
