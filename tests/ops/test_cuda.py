"""The CUDA kernels without a GPU: they compile, and their own source run on the host agrees with the reference."""

import ctypes
import math
import shutil
import subprocess
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from problem import Problem, make_problem, relative_error
from torch import Tensor

from napari_sbackprop.ops import cuda, cuda_runtime, reference
from napari_sbackprop.ops.extension import source_directory
from napari_sbackprop.ops.tables import mirror_pairs, tables

ARCHITECTURES = (80, 86, 89, 90, 100, 120)
READERS = ("project", "project_backward", "misfit", "gram")  # of volumes
KERNELS = (*READERS, "tie_pairs", "descend", "normal_equations")
PROGRAMS = ("project", "moments", "descend")
STORED = [torch.float32, torch.bfloat16]
CPU = torch.device("cpu")
Launch = Callable[..., None]


@pytest.fixture(scope="session")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, torch.dtype], Any]:
    """Build the kernels for the host, per number of channels and type of the volumes."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    folder = tmp_path_factory.mktemp("emulation")
    built: dict[tuple[int, torch.dtype], Any] = {}

    def build(channels: int, stored: torch.dtype) -> Any:
        if (channels, stored) not in built:
            library = folder / f"emulation{channels}{stored}.so"
            source = Path(__file__).with_name("cuda_emulation.cpp")
            include = f"-I{source_directory() / 'cuda'}"
            flags = [
                "-std=c++17",
                "-O2",
                "-fPIC",
                "-shared",
                "-w",
                f"-DSBACKPROP_CHANNELS={channels}",
                include,
            ]
            if stored == torch.bfloat16:
                flags.append("-DSBACKPROP_BFLOAT16")
            subprocess.run(["g++", *flags, str(source), "-o", str(library)], check=True)
            built[channels, stored] = ctypes.CDLL(str(library))
        return built[channels, stored]

    return build


@pytest.fixture(params=[1, 2], ids=["order 1", "order 2"])
def on_the_host(
    request: pytest.FixtureRequest,
    emulators: Callable[[int, torch.dtype], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Let launches run the host build, in one of two random orders of threads."""

    def launch(
        program: str,
        kernel: str,
        channels: int,
        grid: tuple[int, int],
        arguments: Sequence[Any],
        device: torch.device,
        stored: torch.dtype = torch.float32,
    ) -> None:
        pointers = (ctypes.c_void_p * len(arguments))(
            *(ctypes.cast(ctypes.pointer(value), ctypes.c_void_p) for value in arguments)
        )
        assert emulators(channels, stored).emulate(kernel.encode(), *grid, pointers, request.param) == 0

    monkeypatch.setattr(cuda_runtime, "launch", launch)


def stretched(problem: Problem, stretch: float) -> Problem:
    problem.rotation.mul_(stretch)
    return problem


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("stretch", [1.0, 1.6])
@pytest.mark.parametrize("channels", [3, 17])
def test_project_and_its_gradients(channels: int, stretch: float, stored: torch.dtype) -> None:
    problem = stretched(make_problem(radius=6, batch=2, channels=channels, stored=stored), stretch)
    lookup = tables(problem.disc, problem.sphere, CPU)
    wide = problem.double()
    inputs = [t.requires_grad_() for t in (wide.volumes, wide.coefficients, wide.rotation)]
    slices = reference.project(*inputs, problem.disc, problem.sphere)
    truths = torch.autograd.grad((slices * wide.data.conj()).real.sum(), inputs)

    arguments = (problem.volumes, problem.coefficients, problem.rotation, *lookup)
    assert relative_error(torch.view_as_complex(cuda.project(*arguments)), slices) < 1e-5
    gradient = torch.view_as_real(problem.data)
    results = cuda.project_backward(gradient, *arguments, True, True)
    for name, result, truth in zip(("dV", "ds", "dA"), results, truths, strict=True):
        assert relative_error(result, truth) < 1e-5, name
    of_volumes, of_coefficients, of_rotation = cuda.project_backward(gradient, *arguments, False, False)
    assert len(of_volumes) == len(of_rotation) == 0
    assert relative_error(of_coefficients, truths[1]) < 1e-5


def compare_misfit(problem: Problem, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hold the kernel's misfit and gradients of images `rows` against the reference; they are added to a gradient of 1."""
    lookup = tables(problem.disc, problem.sphere, CPU)
    arguments = (problem.volumes, problem.coefficients[: len(rows)], problem.rotation[: len(rows)])
    gradient = torch.ones_like(problem.volumes, dtype=torch.float32)
    data = torch.view_as_real(problem.data)
    results = cuda.misfit(*arguments, data, problem.transfer, rows, *lookup, gradient)

    wide = problem.double()
    wide_arguments = (wide.volumes, wide.coefficients[: len(rows)], wide.rotation[: len(rows)])
    true_gradient = torch.ones_like(wide.volumes)
    images = (wide.data, wide.transfer, rows, wide.disc, wide.sphere)
    truths = reference.misfit(*wide_arguments, *images, true_gradient)
    for name, result, truth in zip(
        ("E", "ds", "dV"), (*results, gradient), (*truths, true_gradient), strict=True
    ):
        assert relative_error(result, truth) < 1e-5, name
    return *results, gradient


def beyond_the_sphere(problem: Problem) -> Tensor:
    pixels = problem.disc.coordinates.to(problem.rotation)
    return (pixels @ problem.rotation[:, :2]).norm(dim=-1) > problem.sphere.radius + 0.5  # (B, P)


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("stretch", [1.0, 1.6])
@pytest.mark.parametrize("channels", [3, 17])
def test_misfit_and_its_gradients(channels: int, stretch: float, stored: torch.dtype) -> None:
    problem = stretched(make_problem(radius=6, batch=4, channels=channels, stored=stored), stretch)
    assert beyond_the_sphere(problem).any() == (stretch > 1)
    compare_misfit(problem, torch.tensor([3, 1, 1]))


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize("channels", [3, 17])
def test_gradients_of_rounded_volumes_are_close_to_those_of_the_volumes_themselves(channels: int) -> None:
    problem = make_problem(radius=6, batch=4, channels=channels)
    lookup = tables(problem.disc, problem.sphere, CPU)
    images = (torch.view_as_real(problem.data), problem.transfer, torch.arange(4))
    results = []
    for volumes in (problem.volumes.bfloat16(), problem.volumes):
        gradient = torch.zeros_like(problem.volumes)
        arguments = (volumes, problem.coefficients, problem.rotation, *images, *lookup, gradient)
        results.append((*cuda.misfit(*arguments), gradient))
    for name, rounded, truth in zip(("E", "ds", "dV"), *results, strict=True):
        assert 0 < relative_error(rounded, truth) < 1e-2, name


@pytest.mark.usefixtures("on_the_host")
def test_tiles_in_the_box_can_reach_beyond_the_sphere() -> None:
    problem = stretched(make_problem(radius=12, batch=1, channels=3), 1.045)
    assert beyond_the_sphere(problem).any()
    compare_misfit(problem, torch.tensor([0]))


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_pose_that_is_not_a_number_has_the_misfit_of_an_empty_slice(bad: float) -> None:
    problem = make_problem(radius=6, batch=3, channels=3)
    problem.rotation[1] = bad
    energy, slope, _ = compare_misfit(problem, torch.arange(3))
    weighted = problem.data[1].abs().square() * problem.disc.weight
    torch.testing.assert_close(energy[1], weighted.sum())
    assert not slope[1].any()


@pytest.mark.usefixtures("on_the_host")
def test_data_beyond_the_sphere_that_are_not_numbers_move_nothing() -> None:
    problem = stretched(make_problem(radius=6, batch=1, channels=3), 1.6)
    outside = beyond_the_sphere(problem)[0]
    problem.data[0, outside] = float("nan")
    lookup = tables(problem.disc, problem.sphere, CPU)
    gradient = torch.zeros_like(problem.volumes)
    arguments = (problem.volumes, problem.coefficients, problem.rotation)
    images = (torch.view_as_real(problem.data), problem.transfer, torch.tensor([0]))
    energy, slope = cuda.misfit(*arguments, *images, *lookup, gradient)
    assert energy.isnan().all()
    assert torch.isfinite(slope).all()
    assert torch.isfinite(gradient).all()


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize("most_blocks", [3, 4096], ids=["many a thread", "one a thread"])
@pytest.mark.parametrize("channels", [3, 17])
def test_descent_makes_the_step_of_the_reference(
    channels: int, most_blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "_MOST_BLOCKS", most_blocks)
    problem = make_problem(radius=6, channels=channels)
    sphere, generator = problem.sphere, torch.Generator().manual_seed(1)
    numbers = [
        problem.volumes,
        torch.randn(problem.volumes.shape, generator=generator),
        torch.rand(sphere.size, generator=generator),
        torch.rand(sphere.size, channels, generator=generator),
    ]
    expected = [tensor.double() for tensor in numbers]
    pairs = mirror_pairs(sphere, CPU)
    reference.descend(*expected, pairs, 0.2, 0.7)
    cuda.descend(*numbers, pairs, -0.2, -0.7)
    assert relative_error(numbers[0], expected[0]) < 1e-6
    assert not numbers[1].any()


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("stretch", [1.0, 1.6])
@pytest.mark.parametrize("channels", [3, 17])
def test_gram_and_normal_equations(channels: int, stretch: float, stored: torch.dtype) -> None:
    problem = stretched(make_problem(radius=6, batch=2, channels=channels, stored=stored), stretch)
    lookup = tables(problem.disc, problem.sphere, CPU)
    wide = problem.double()
    data = torch.view_as_real(problem.data)
    results = list(cuda.gram(problem.volumes, data, problem.transfer, problem.rotation, *lookup))
    truths = list(
        reference.gram(wide.volumes, wide.data, wide.transfer, wide.rotation, problem.disc, problem.sphere)
    )
    matrix = torch.ones(problem.sphere.size, channels * (channels + 1) // 2)
    vector = torch.ones_like(problem.volumes, dtype=torch.float32)
    results += [matrix, vector]
    truths += [matrix.double(), vector.double()]
    moments = (problem.transfer, problem.coefficients, problem.second, problem.rotation)
    cuda.normal_equations(data, *moments, *lookup, matrix, vector)
    wide_moments = (wide.transfer, wide.coefficients, wide.second, wide.rotation)
    reference.normal_equations(wide.data, *wide_moments, problem.disc, problem.sphere, *truths[2:])
    for name, result, truth in zip(("G", "h", "matrix", "vector"), results, truths, strict=True):
        assert relative_error(result, truth) < 1e-5, name


@pytest.mark.usefixtures("on_the_host")
def test_descent_rounds_its_copy_as_torch_does() -> None:
    sphere, generator = make_problem(radius=6).sphere, torch.Generator().manual_seed(1)
    bits = torch.randint(-(2**31), 2**31, (sphere.size, 3, 2), generator=generator).int()
    bits[::2] = bits[::2] & -(2**16) | 2**15  # halfway between two of bfloat16
    largest, infinity, least, gpus_nan = 0x7F7FFFFF, 0x7F800000, 0x00008000, 0x7FFFFFFF
    special = torch.tensor([largest, infinity, least, gpus_nan, -1], dtype=torch.int32)
    bits[:5] = special[:, None, None]
    volumes, reading = bits.view(torch.float32), torch.zeros(bits.shape, dtype=torch.bfloat16)
    ones = torch.ones(sphere.size, 3)
    rest = (torch.zeros_like(volumes), ones[:, 0].contiguous(), ones, mirror_pairs(sphere, CPU))
    cuda.descend(volumes, *rest, 0.0, 0.0, reading)
    number = ~volumes.isnan()
    assert reading[~number].isnan().all()
    assert torch.equal(reading.view(torch.int16)[number], volumes.bfloat16().view(torch.int16)[number])
    assert [float(value) for value in reading[:2, 0, 0]] == [math.inf, math.inf]


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_fixed_point_sums_keep_their_precision_at_any_scale(scale: float) -> None:
    problem = make_problem(radius=5, batch=2, channels=3)
    arguments = (problem.volumes, problem.coefficients, problem.rotation)
    lookup = tables(problem.disc, problem.sphere, CPU)
    gradient = torch.view_as_real(problem.data)
    plain = cuda.project_backward(gradient, *arguments, *lookup, True, False)
    scaled = cuda.project_backward(gradient * scale, *arguments, *lookup, True, False)
    for a, b in zip(plain, scaled, strict=True):
        torch.testing.assert_close(a, b / scale, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_does_not_vanish(bad: float) -> None:
    problem = make_problem(radius=5, batch=2, channels=3)
    gradient = torch.view_as_real(problem.data).clone()
    gradient[0, 10, 1] = bad
    lookup = tables(problem.disc, problem.sphere, CPU)
    arguments = (problem.volumes, problem.coefficients, problem.rotation)
    of_volumes, of_coefficients, _ = cuda.project_backward(gradient, *arguments, *lookup, True, False)
    assert not torch.isfinite(of_volumes).all()
    assert not torch.isfinite(of_coefficients[0]).all()
    assert torch.isfinite(of_coefficients[1]).all()


@pytest.mark.usefixtures("on_the_host")
def test_kernels_that_agree_with_plain_pytorch_pass_the_check_at_first_use() -> None:
    assert cuda.self_check(CPU) == ""


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize("broken", [*product(KERNELS, STORED[:1]), *product(READERS, STORED[1:])])
def test_the_check_at_first_use_finds_a_kernel_that_does_nothing(
    broken: tuple[str, torch.dtype], monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = cuda_runtime.launch

    def launch_others(program: str, kernel: str, *rest: Any) -> None:
        stored = rest[4] if len(rest) > 4 else torch.float32
        if (kernel, stored) != broken:
            launch(program, kernel, *rest)

    monkeypatch.setattr(cuda_runtime, "launch", launch_others)
    # Fresh memory might still hold the right slices of an earlier test.
    monkeypatch.setattr(torch.Tensor, "new_empty", torch.Tensor.new_zeros)
    assert "differ from plain PyTorch" in cuda.self_check(CPU)


def test_items_cover_every_pixel_once() -> None:
    problem = make_problem(radius=12, batch=8)
    lookup = tables(problem.disc, problem.sphere, CPU)
    items = cuda.sorted_items(problem.rotation, lookup)
    items = items[items >= 0]
    assert len(items.unique()) == len(items)
    tiles = len(lookup.tile_centres)
    listed = set(items.tolist())
    point = lookup.pixels[:, :2] @ problem.rotation[:, :2]
    tile = torch.bucketize(torch.arange(problem.disc.size), lookup.tile_starts, right=True) - 1
    for image in range(8):
        needed = (image * tiles + tile) * 2 + (point[image, :, 0] < 0)
        assert set(needed.tolist()) <= listed


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
@pytest.mark.parametrize("macro", ["SBACKPROP_FLOAT32", "SBACKPROP_BFLOAT16"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_kernels_compile_for_every_architecture(program: str, macro: str, tmp_path: Path) -> None:
    targets = [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in ARCHITECTURES]
    source = source_directory() / "cuda" / f"{program}.cu"
    flags = ["-std=c++17", "-O3", "-fatbin", "--threads=2", "-Werror=all-warnings"]
    flags += ["-DSBACKPROP_CHANNELS=17", f"-D{macro}"]
    command = ["nvcc", *flags, *targets, str(source), "-o", str(tmp_path / "kernels.fatbin")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_kernels_include_nothing_of_the_system() -> None:
    for program in PROGRAMS:
        source, headers = cuda_runtime.program_source(program)
        for text in (source, *headers.values()):
            included = [line.split('"')[1] for line in text.splitlines() if line.startswith("#include")]
            assert set(included) <= set(headers)


@pytest.mark.cuda
def test_the_kernels_serve_this_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    assert cuda.self_check(torch.device("cuda")) == ""
