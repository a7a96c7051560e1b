"""The schedule of the closed-form start, and its random starts."""

import itertools

import pytest
import torch

from napari_sbackprop.imaging.grids import half_sphere
from napari_sbackprop.imaging.masks import radius_grid
from napari_sbackprop.training.closed_form import Kind, schedule
from napari_sbackprop.training.linear_model import LinearModel
from napari_sbackprop.training.volume_solver import multiply_maps


@pytest.mark.parametrize("radius", [4, 12, 14, 23, 31, 40, 47, 127])
def test_every_schedule_starts_jointly_and_ends_in_halves_at_the_full_band(radius):
    iterations = schedule(radius)
    assert iterations[0].kind is Kind.JOINT
    assert sum(kind is Kind.JOINT for _, kind in iterations) >= 6
    assert [iteration.radius for iteration in iterations] == sorted(
        iteration.radius for iteration in iterations
    )
    assert iterations[-1] == (radius, Kind.HALVES)
    for before, after in itertools.pairwise(iterations):
        # Only halves know where something moves, and a search needs their region on its own box.
        assert after.kind is not Kind.SEARCH or (
            before.kind is not Kind.JOINT and before.radius == after.radius
        )


def test_restarted_directions_are_random_inside_the_region_and_the_others_stay():
    sphere, box = half_sphere(11), 24
    region = (radius_grid(box, 3) < 5).float()
    volumes = torch.randn(sphere.size, 4, 2, generator=torch.Generator().manual_seed(2))
    model = LinearModel(volumes, sphere, torch.ones(4, 12), torch.ones(4), region)
    again = model.restarted(torch.tensor([False, True, True]), torch.Generator().manual_seed(3))
    torch.testing.assert_close(again.volumes[:, :2], volumes[:, :2], rtol=0, atol=0)
    fresh = again.volumes[:, 2:]
    assert (fresh[:, 0] - fresh[:, 1]).norm() > 0.5 * fresh[:, 0].norm()
    outside = multiply_maps(fresh, sphere, 1 - region)
    assert outside.norm() < 0.3 * fresh.norm()
    assert model.volumes is volumes  # the model itself is left alone
