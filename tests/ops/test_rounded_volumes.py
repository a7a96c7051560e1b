"""Volumes stored as bfloat16: every back end computes with what they are, and a step rounds them once."""

import pytest
import torch
from problem import DEVICES, make_problem, relative_error

from napari_sbackprop import ops
from napari_sbackprop.ops import reference

TOLERANCE = 3e-6  # float32 kernels against the float64 reference


@pytest.mark.parametrize("device", DEVICES)
def test_project_and_its_gradients_agree_with_the_float64_reference(device: str) -> None:
    problem = make_problem(device=device, stored=torch.bfloat16)
    outcomes = []
    for given, project in ((problem, ops.project), (problem.double(), reference.project)):
        inputs = [t.requires_grad_() for t in (given.volumes, given.coefficients, given.rotation)]
        slices = project(*inputs, problem.disc, problem.sphere)
        loss = (slices * given.data.conj()).real.sum()
        outcomes.append((slices, *torch.autograd.grad(loss, inputs)))
    (slices, of_volumes, *slopes), (true_slices, true_of_volumes, *true_slopes) = outcomes
    assert of_volumes.dtype == torch.bfloat16  # as autograd has it; misfit's is float32
    assert relative_error(of_volumes, true_of_volumes) < 4e-3
    for result, truth in zip((slices, *slopes), (true_slices, *true_slopes), strict=True):
        assert relative_error(result, truth) < 10 * TOLERANCE


@pytest.mark.parametrize("device", DEVICES)
def test_misfit_and_gram_agree_with_the_float64_reference(device: str) -> None:
    problem = make_problem(device=device, stored=torch.bfloat16)
    outcomes = []
    for given, back_end in ((problem, ops), (problem.double(), reference)):
        gradient = torch.zeros_like(given.volumes, dtype=given.coefficients.dtype)
        grids, rows = (problem.disc, problem.sphere), torch.arange(6, device=device)
        images = (given.coefficients, given.rotation, given.data, given.transfer, rows)
        results = back_end.misfit(given.volumes, *images, *grids, gradient)
        results += back_end.gram(given.volumes, given.data, given.transfer, given.rotation, *grids)
        outcomes.append((*results, gradient))
    for result, truth in zip(*outcomes, strict=True):
        assert result.dtype == torch.float32
        assert relative_error(result, truth) < TOLERANCE


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("backend", ["native", "torch"])
def test_descent_leaves_a_rounded_copy(backend: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem(device=device)
    monkeypatch.setenv("SBACKPROP_BACKEND", backend)
    weight = torch.ones(problem.sphere.size, device=device)
    inverse, gradient = weight[:, None].repeat(1, 5), torch.ones_like(problem.volumes)
    before, reading = problem.volumes.clone(), torch.zeros_like(problem.volumes, dtype=torch.bfloat16)
    step = {"decay": 0.2, "pull": 0.7, "reading": reading}
    ops.descend(problem.volumes, gradient, weight, inverse, problem.sphere, **step)
    assert not torch.equal(problem.volumes, before)
    assert torch.equal(reading, problem.volumes.bfloat16())


def test_only_what_is_read_may_be_rounded() -> None:
    problem = make_problem()
    rounded, ones = problem.volumes.bfloat16(), torch.ones(problem.sphere.size)
    images = (problem.data, problem.transfer, torch.arange(6), problem.disc, problem.sphere)
    with pytest.raises(ValueError, match=r"gradient .* must be contiguous torch\.float32"):
        ops.misfit(rounded, problem.coefficients, problem.rotation, *images, torch.zeros_like(rounded))
    step = (torch.zeros_like(problem.volumes), ones, ones[:, None].repeat(1, 5), problem.sphere)
    with pytest.raises(ValueError, match=r"volumes is .* must be contiguous torch\.float32"):
        ops.descend(rounded, *step, decay=0, pull=0)
    with pytest.raises(ValueError, match=r"reading is .* must be contiguous torch\.bfloat16"):
        ops.descend(problem.volumes, *step, decay=0, pull=0, reading=torch.zeros_like(problem.volumes))
