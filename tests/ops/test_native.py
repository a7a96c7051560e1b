"""Properties of the compiled CPU kernels as torch operations."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from problem import Problem, make_problem
from torch import Tensor

from napari_sbackprop import ops
from napari_sbackprop.ops.tables import mirror_pairs, tables

pytestmark = pytest.mark.skipif(ops.backend("cpu").name != "native", reason="no compiled kernels here")

CPU = torch.device("cpu")
native = torch.ops.napari_sbackprop


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def real(values: Tensor) -> Tensor:
    return torch.view_as_real(values).contiguous()


def native_arguments(problem: Problem) -> tuple[Tensor, ...]:
    return problem.volumes, problem.coefficients, problem.rotation, *tables(problem.disc, problem.sphere, CPU)


@pytest.mark.parametrize("stretch", [1.0, 1.5])
def test_results_are_bitwise_equal_for_any_number_of_threads(threads: None, stretch: float) -> None:
    problem = make_problem(radius=20, batch=24, channels=17)
    problem.rotation.mul_(stretch)
    outcomes = []
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        lookup = tables(problem.disc, problem.sphere, CPU)
        slices = native.project(*native_arguments(problem))
        gradients = native.project_backward(real(problem.data), *native_arguments(problem), True, True)
        products = native.gram(
            problem.volumes, real(problem.data), problem.transfer, problem.rotation, *lookup
        )
        matrix, vector = torch.zeros(problem.sphere.size, 17 * 9), torch.zeros_like(problem.volumes)
        moments = (
            real(problem.data),
            problem.transfer,
            problem.coefficients,
            problem.second,
            problem.rotation,
        )
        native.normal_equations(*moments, *lookup, matrix, vector)
        slope = torch.zeros_like(problem.volumes)
        misfits = native.misfit(
            *native_arguments(problem)[:3], *moments[:2], torch.arange(24), *lookup, slope
        )
        volumes, weight, inverse = problem.volumes.clone(), matrix[:, 0], matrix[:, :17].contiguous()
        native.descend(
            volumes,
            slope.clone(),
            weight.contiguous(),
            inverse,
            mirror_pairs(problem.sphere, CPU),
            -0.1,
            -0.1,
        )
        outcomes.append((slices, *gradients, *products, matrix, vector, *misfits, slope, volumes))
    for outcome in outcomes[1:]:
        assert all(torch.equal(a, b) for a, b in zip(outcomes[0], outcome, strict=True))


def test_gradcheck_in_float64() -> None:
    problem = make_problem(radius=3, batch=2, channels=3).double()
    inputs = [t.requires_grad_() for t in (problem.volumes, problem.coefficients, problem.rotation)]
    lookup = tables(problem.disc, problem.sphere, CPU)
    assert torch.autograd.gradcheck(lambda *x: native.project(*x, *lookup), inputs, fast_mode=True)
    assert torch.autograd.gradcheck(
        lambda s, a: native.project(problem.volumes.detach(), s, a, *lookup), inputs[1:]
    )


def test_opcheck() -> None:
    problem = make_problem(radius=4, batch=2, channels=3)
    lookup = tables(problem.disc, problem.sphere, CPU)
    inputs = [t.clone().requires_grad_() for t in (problem.volumes, problem.coefficients, problem.rotation)]
    torch.library.opcheck(native.project.default, (*inputs, *lookup))
    torch.library.opcheck(
        native.project_backward.default, (real(problem.data), *native_arguments(problem), True, False)
    )
    data = (real(problem.data), problem.transfer)
    torch.library.opcheck(native.gram.default, (problem.volumes, *data, problem.rotation, *lookup))
    matrix, vector = torch.zeros(problem.sphere.size, 6), torch.zeros_like(problem.volumes)
    moments = (*data, problem.coefficients, problem.second, problem.rotation)
    torch.library.opcheck(native.normal_equations.default, (*moments, *lookup, matrix, vector))
    images = (*native_arguments(problem)[:3], *data, torch.arange(2))
    torch.library.opcheck(native.misfit.default, (*images, *lookup, vector))
    weights = (torch.ones(problem.sphere.size), torch.ones(problem.sphere.size, 3))
    pairs = mirror_pairs(problem.sphere, CPU)
    step = (problem.volumes, vector, *weights, pairs, -0.1, -0.1)
    torch.library.opcheck(native.descend.default, step)
    torch.library.opcheck(native.descend.default, (*step, problem.volumes.bfloat16()))


def test_rows_beyond_the_data_are_refused() -> None:
    problem = make_problem(batch=2)
    images = (*native_arguments(problem)[:3], real(problem.data), problem.transfer, torch.tensor([0, 2]))
    with pytest.raises(RuntimeError, match="rows has 2, but there are 2 rows"):
        native.misfit(*images, *tables(problem.disc, problem.sphere, CPU), torch.zeros_like(problem.volumes))


def test_gradients_that_nobody_needs_are_not_made() -> None:
    problem = make_problem()
    gradients = native.project_backward(real(problem.data), *native_arguments(problem), False, False)
    assert [len(gradient) for gradient in gradients] == [0, 6, 0]
    complete = native.project_backward(real(problem.data), *native_arguments(problem), True, True)
    torch.testing.assert_close(gradients[1], complete[1])


def test_the_interpreter_is_free_during_a_call() -> None:
    problem = make_problem(radius=20, batch=256, channels=17)
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    ticker = threading.Thread(target=tick)
    ticker.start()
    start = time.perf_counter()
    for _ in range(5):
        native.project(*native_arguments(problem))
    end = time.perf_counter()
    done.set()
    ticker.join()
    assert sum(start < moment < end for moment in ticks) > 5


PORTABLE = """
import torch
from napari_sbackprop import ops
from napari_sbackprop.ops import reference
from problem import make_problem, relative_error

problem = make_problem(channels=17)
wide = problem.double()
result = ops.project(problem.volumes, problem.coefficients, problem.rotation, problem.disc, problem.sphere)
truth = reference.project(wide.volumes, wide.coefficients, wide.rotation, wide.disc, wide.sphere)
print(relative_error(result, truth))
arguments = (problem.data, problem.transfer, problem.rotation, problem.disc, problem.sphere)
wide_arguments = (wide.data, wide.transfer, wide.rotation, wide.disc, wide.sphere)
for a, b in zip(ops.gram(problem.volumes, *arguments), reference.gram(wide.volumes, *wide_arguments)):
    print(relative_error(a, b))
"""


def test_the_kernels_of_the_baseline_instruction_set_agree_too() -> None:
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), str(Path(__file__).parent)])
    environment = {**os.environ, "SBACKPROP_PORTABLE": "1", "PYTHONPATH": paths}
    command = [sys.executable, "-c", PORTABLE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    errors = [float(line) for line in done.stdout.split()]
    assert len(errors) == 3
    assert max(errors) < 3e-6


def test_wrong_tables_are_refused_with_a_sentence() -> None:
    problem = make_problem()
    arguments = list(native_arguments(problem))
    arguments[-1] += 1
    with pytest.raises(RuntimeError, match=r"row has the shape \(27, 27\), expected \(29, 29\)"):
        native.project(*arguments)


def test_mixed_precision_is_refused_with_a_sentence() -> None:
    problem = make_problem()
    arguments = list(native_arguments(problem))
    arguments[1] = arguments[1].double()
    with pytest.raises(RuntimeError, match="coefficients must have the same precision as the volumes"):
        native.project(*arguments)
