"""The CPU kernels on 64-bit ARM: they compile without a warning, and agree with the reference under emulation."""

import math
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from problem import Problem, make_problem, relative_error
from torch import Tensor

from napari_sbackprop import ops
from napari_sbackprop.ops import extension
from napari_sbackprop.ops.tables import tables

COMPILER = "aarch64-linux-gnu-g++"
EMULATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
LANES = 4  # kLanes of csrc/cpu/tasks.h

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"needs {COMPILER}"),
]


def test_every_file_compiles_for_arm_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(extension.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(extension, "_FLAGS", (*extension._FLAGS, "-Wall", "-Wextra", "-Werror"))
    # The torch that is installed here has no libraries to link with.
    monkeypatch.setattr(extension, "_link_flags", lambda libraries: ["-r"])
    extension._build(COMPILER, extension.source_directory(), tmp_path / "native.o")
    assert (tmp_path / "native.o").read_bytes()[18] == 183  # e_machine of an ELF file: AArch64


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Build the kernels with a program around them, which needs no torch."""
    target, kernels = tmp_path / "kernels", extension.source_directory() / "cpu"
    sources = [str(Path(__file__).with_name("arm_kernels.cpp")), str(kernels / "kernels_portable.cpp")]
    command = [COMPILER, *extension._FLAGS, f"-I{kernels}", "-static", *sources, "-o", str(target)]
    subprocess.run(command, check=True)
    return target


def pack(coefficients: Tensor) -> Tensor:
    """A number per lane; zeros where the row's last vector overlaps the one before it."""
    doubled = coefficients.repeat_interleave(2, dim=1)
    whole = doubled.shape[1] // LANES * LANES
    gap = doubled.new_zeros(len(doubled), -doubled.shape[1] % LANES)
    return torch.cat([doubled[:, :whole], gap, doubled[:, whole:]], dim=1)


def results(program: Path, problem: Problem) -> list[Tensor]:
    """Slices, misfits and their gradients, normal equations, upper Gram matrices and correlations."""
    pixels, starts, centres, row, _ = tables(problem.disc, problem.sphere, torch.device("cpu"))
    (voxels, channels, _), images, tiles = problem.volumes.shape, len(problem.rotation), len(centres)
    sizes = torch.tensor([images, len(pixels), tiles, len(row), voxels, channels], dtype=torch.int32)
    upper = torch.triu_indices(channels, channels)
    inputs = (problem.rotation, problem.volumes, torch.view_as_real(problem.data), problem.transfer)
    moments = (pack(problem.coefficients), problem.second[:, upper[0], upper[1]])
    numbers = (sizes, pixels, starts, centres, row, *inputs, *moments)
    sent = b"".join(tensor.contiguous().numpy().tobytes() for tensor in numbers)
    received = subprocess.check_output([str(EMULATOR), str(program)], input=sent)
    columns = -(-(channels + 1) // LANES) * LANES
    shapes = [
        (images, len(pixels), 2),
        (images, 2 * tiles),
        (images, 2 * tiles, channels),
        (voxels, channels, 2),
        (voxels, len(upper[0])),
        (voxels, channels, 2),
        (images, columns, columns),
    ]
    parts = torch.frombuffer(bytearray(received), dtype=torch.float32).split([*map(math.prod, shapes)])
    slices, misfit, slope, gradient, matrix, vector, products = map(torch.reshape, parts, shapes)
    gram, correlation = products[:, :channels, :channels].triu(), products[:, :channels, channels]
    return [slices, misfit.sum(1), slope.sum(1), gradient, matrix, vector, gram, correlation]


def truths(problem: Problem) -> list[Tensor]:
    """The same by the operations of this machine in the problem's precision."""
    images, grids = (problem.data, problem.transfer), (problem.disc, problem.sphere)
    mixture = (problem.volumes, problem.coefficients, problem.rotation)
    gradient, vector = torch.zeros_like(problem.volumes), torch.zeros_like(problem.volumes)
    channels = problem.volumes.shape[1]
    matrix = vector.new_zeros(len(vector), channels * (channels + 1) // 2)
    rows = torch.arange(len(problem.rotation))
    misfit, slope = ops.misfit(*mixture, *images, rows, *grids, gradient)
    moments = (problem.coefficients, problem.second, problem.rotation)
    ops.normal_equations(*images, *moments, *grids, matrix, vector)
    gram, correlation = ops.gram(problem.volumes, *images, problem.rotation, *grids)
    slices = torch.view_as_real(ops.project(*mixture, *grids))
    return [slices, misfit, slope, gradient, matrix, vector, gram.triu(), correlation]


@pytest.mark.skipif(EMULATOR is None, reason="needs qemu-aarch64")
def test_the_kernels_agree_with_float64_under_emulation(program: Path) -> None:
    for channels in (2, 5, 17, 33):  # no overlap, loops with one, compile-time constants
        problem = make_problem(radius=9, batch=4, channels=channels)
        for value, truth in zip(results(program, problem), truths(problem.double()), strict=True):
            assert relative_error(value, truth) < 3e-6
