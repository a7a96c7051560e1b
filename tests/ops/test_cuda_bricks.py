"""CUDA blocks that own bricks of voxels, run on the host: the same bits in every run, and right for any pose."""

from collections.abc import Callable, Iterator

import pytest
import torch
from problem import Problem, make_problem, relative_error
from torch import Tensor

from napari_sbackprop.imaging.grids import half_sphere
from napari_sbackprop.ops import cuda, reference
from napari_sbackprop.ops import tables as tables_module
from napari_sbackprop.ops.tables import bricks, parts, plane, tables

CPU = torch.device("cpu")


@pytest.fixture
def set_meetings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Choose with how many images a brick meets in a part, about."""

    def set_them(fewest: int) -> None:
        monkeypatch.setattr(tables_module, "_FEWEST_MEETINGS", fewest)
        monkeypatch.setattr(tables_module, "_PARTS", 1_000_000)
        parts.cache_clear()

    yield set_them
    parts.cache_clear()


@pytest.fixture
def small_parts(set_meetings: Callable[[int], None]) -> None:
    set_meetings(2)


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def run_all(problem: Problem) -> dict[str, Tensor]:
    """Every result that sums over pixels."""
    lookup = tables(problem.disc, problem.sphere, problem.volumes.device)
    model, data = (problem.volumes, problem.coefficients, problem.rotation), torch.view_as_real(problem.data)
    backward = cuda.project_backward(data, *model, *lookup, True, True)
    gradient = torch.zeros_like(problem.volumes)
    rows = torch.arange(len(data), device=data.device).flip(0)
    energy, slope = cuda.misfit(*model, data, problem.transfer, rows, *lookup, gradient)
    packed = problem.volumes.shape[1] * (problem.volumes.shape[1] + 1) // 2
    matrix, vector = gradient.new_zeros(problem.sphere.size, packed), torch.zeros_like(gradient)
    moments = (data, problem.transfer, problem.coefficients, problem.second, problem.rotation)
    cuda.normal_equations(*moments, *lookup, matrix, vector)
    products = cuda.gram(problem.volumes, data, problem.transfer, problem.rotation, *lookup)
    names = ("dV", "ds", "dA", "misfit dV", "E", "misfit ds", "matrix", "vector", "G", "h")
    return dict(zip(names, (*backward, gradient, energy, slope, matrix, vector, *products), strict=True))


def differing(problem: Problem, launch_on_the_host: Callable[[int], None]) -> set[str]:
    """Results whose bits depend on the order of threads and blocks."""
    launch_on_the_host(1)
    first = run_all(problem)
    launch_on_the_host(2)
    second = run_all(problem)
    return {name for name in first if not torch.equal(first[name], second[name])}


def test_only_what_atomics_add_to_depends_on_the_order(launch_on_the_host: Callable[[int], None]) -> None:
    problem = make_problem(radius=12, batch=5, channels=3)
    assert differing(problem, launch_on_the_host) == {"dV", "misfit dV", "matrix", "vector"}


@pytest.mark.usefixtures("deterministic", "small_parts")
@pytest.mark.parametrize("channels", [3, 17])
def test_deterministic_algorithms_leave_the_same_bits_in_every_order(
    channels: int, launch_on_the_host: Callable[[int], None]
) -> None:
    problem = make_problem(radius=12, batch=5, channels=channels)
    assert differing(problem, launch_on_the_host) == set()


@pytest.mark.cuda
@pytest.mark.usefixtures("deterministic")
def test_deterministic_algorithms_leave_the_same_bits_in_every_run_and_in_a_graph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    problem = make_problem(radius=31, batch=256, channels=17, device="cuda")
    first, second = run_all(problem), run_all(problem)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run_all(problem)
    graph.replay()
    for name, result in first.items():
        assert torch.equal(result, second[name]), name
        assert torch.equal(result, captured[name]), name


def compare_gradients(problem: Problem) -> None:
    """Hold the volumes' gradient and the normal equations of the owners of bricks against the reference."""
    lookup = tables(problem.disc, problem.sphere, CPU)
    data, wide = torch.view_as_real(problem.data), problem.double()
    wide.volumes.requires_grad_()
    slices = reference.project(wide.volumes, wide.coefficients, wide.rotation, problem.disc, problem.sphere)
    truths = [*torch.autograd.grad((slices * wide.data.conj()).real.sum(), wide.volumes)]
    model = (problem.volumes, problem.coefficients, problem.rotation)
    results = [cuda.project_backward(data, *model, *lookup, True, False, owned=True)[0]]

    packed = problem.volumes.shape[1] * (problem.volumes.shape[1] + 1) // 2
    results += [torch.zeros(problem.sphere.size, packed), torch.zeros_like(problem.volumes)]
    truths += [tensor.double() for tensor in results[1:]]
    moments = (problem.transfer, problem.coefficients, problem.second, problem.rotation)
    cuda.normal_equations(data, *moments, *lookup, *results[1:], owned=True)
    wide_moments = (wide.transfer, wide.coefficients, wide.second, wide.rotation)
    reference.normal_equations(wide.data, *wide_moments, problem.disc, problem.sphere, *truths[1:])
    for name, result, truth in zip(("dV", "matrix", "vector"), results, truths, strict=True):
        assert relative_error(result, truth) < 1e-5, name


def axis_aligned_rotations() -> Tensor:
    """The 24 rotations of a cube."""
    axes = torch.cat([torch.eye(3), -torch.eye(3)])
    pairs = [(a, b) for a in axes for b in axes if a.dot(b) == 0]
    return torch.stack([torch.stack([a, b, torch.linalg.cross(a, b)]) for a, b in pairs])


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize("radius", [6, 12])
def test_slices_whose_pixels_are_voxels(radius: int) -> None:
    compare_gradients(make_problem(radius=radius, channels=3, rotation=axis_aligned_rotations()))


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize("radius", [9, 17])
def test_random_slices_in_several_parts_of_a_brick(radius: int, small_parts: None) -> None:
    problem = make_problem(radius=radius, batch=6, channels=3)
    assert parts(radius, 6, CPU).slots > 0
    compare_gradients(problem)


@pytest.mark.usefixtures("on_the_host")
def test_more_images_than_threads_of_a_block(set_meetings: Callable[[int], None]) -> None:
    set_meetings(1000)
    problem = make_problem(radius=9, batch=135, channels=3)
    problem.rotation[17] = float("nan")
    problem.rotation[128:] = problem.rotation[0]  # many bricks meet only some of the first 128
    compare_gradients(problem)


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize(
    "axes",
    [
        pytest.param([[0.0, 0, 0], [0, 0, 0]], id="a point"),
        pytest.param([[0.6, -0.8, 0], [0, 0, 0]], id="a line"),
        pytest.param([[0.6, 0.0, 0.8], [0.6, 0.01, 0.8]], id="nearly a line"),
        pytest.param([[0.6, 0.0, 0.8], [0.6, 0.3, 0.8]], id="sheared"),
        pytest.param([[0.02, 0.0, 0], [0, 0.03, 0.01]], id="small"),
        pytest.param([[3.0, 0.0, 1], [1, 2.5, -1]], id="large"),
        pytest.param([[1e12, 1e10, 3], [1e11, 1e12, 7]], id="huge"),
        pytest.param([[1e30, 1e30, 1e30], [1e30, -1e30, 1e30]], id="beyond numbers"),
    ],
)
def test_axes_of_any_length_and_angle(axes: list[list[float]]) -> None:
    problem = make_problem(radius=8, batch=2, channels=3)
    problem.rotation[0, :2] = torch.tensor(axes)
    compare_gradients(problem)


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize("angle", [1e-7, 1e-6, 1e-5, 1e-4, 1e-3])
def test_axes_that_are_nearly_parallel(angle: float) -> None:
    problem = make_problem(radius=12, batch=16, channels=3)
    x, y = problem.rotation[:, 0], problem.rotation[:, 1]
    problem.rotation[:, 1] = x + angle * y
    # Points near the origin have the sign of a rounding: only the other way to the gradient rounds as this one does.
    lookup, data = tables(problem.disc, problem.sphere, CPU), torch.view_as_real(problem.data)
    model = (problem.volumes, problem.coefficients, problem.rotation, *lookup)
    result, expected = (
        cuda.project_backward(data, *model, True, False, owned=owned)[0] for owned in (True, False)
    )
    assert relative_error(result, expected) < 1e-5


@pytest.mark.usefixtures("on_the_host")
def test_all_pixels_in_one_voxel_do_not_overflow() -> None:
    problem = make_problem(radius=12, batch=1, channels=3, rotation=torch.zeros(1, 3, 3))
    problem.data.fill_(1.99)
    problem.transfer.fill_(1.4)
    compare_gradients(problem)


@pytest.mark.parametrize(("radius", "batch"), [(6, 1), (12, 7), (30, 100), (48, 256)])
def test_parts_cover_every_voxel_and_image_once(radius: int, batch: int) -> None:
    cut, share, sphere = bricks(radius, CPU), parts(radius, batch, CPU), half_sphere(radius)
    stored = cut.voxels[cut.voxels >= 0]
    assert torch.equal(stored.sort().values, torch.arange(sphere.size, dtype=torch.int32))
    brick, local = (cut.voxels >= 0).nonzero().unbind(-1)
    inside = torch.stack([local % 8, local // 8 % 8, local // 64], dim=-1)
    assert torch.equal(cut.corners[brick] + inside, sphere.coordinates[stored])

    images = torch.zeros(len(cut.corners), batch, dtype=torch.int)
    slots: dict[int, list[int]] = {}
    for owner, first, end, slot in share.parts.tolist():
        images[owner, first:end] += 1
        slots.setdefault(owner, []).append(slot)
    assert (images == 1).all()
    expected = {owner: list(range(first, end)) for owner, first, end in share.several.tolist()}
    assert slots == {owner: [-1, *expected.get(owner, [])] for owner in range(len(cut.corners))}
    assert sorted(slot for several in expected.values() for slot in several) == list(range(share.slots))


def test_the_plane_finds_every_pixel() -> None:
    problem = make_problem(radius=9)
    pixels = tables(problem.disc, problem.sphere, CPU).pixels
    table = plane(pixels)
    x, y = problem.disc.coordinates.unbind(-1)
    assert torch.equal(table[y + 9, x], torch.arange(problem.disc.size, dtype=torch.int32))
    assert int((table >= 0).sum()) == problem.disc.size
    assert plane(pixels) is table
