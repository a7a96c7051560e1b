"""Time the native operations against plain PyTorch in the same process: a table on stderr, JSON on stdout.

    python benchmarks/operation.py --boxes 64 96 128 160 256 --basis 16 64 --batch 256 --threads 2

A box of M pixels keeps shells 0 ... M/2 - 1. Poses are random and uniform. Times are microseconds per image, the
smallest of several runs: what other programs on the machine take is not ours to report. Plain PyTorch is measured at
its own best of several small batches, because large ones overflow the caches.

"MB" are the compulsory bytes of an image: every voxel that a slice touches read once per pass (and its gradient read and
written once), the image once. "copy" is the rate at which they went by, of the machine's measured copy rate: beyond 100 %
means that the images of a batch share voxels in the caches. "MFLOP" are the additions and multiplications that the
algorithm needs, and "GEMM" is their rate, of the measured rate of a float32 matrix product.
"""

import argparse
import itertools
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from napari_sbackprop import ops
from napari_sbackprop.imaging.grids import HalfDisc, HalfSphere, half_disc, half_sphere
from napari_sbackprop.imaging.poses import random_rotations
from napari_sbackprop.ops import reference

PLAIN_BATCHES = (16, 64)
LARGEST = 6e9  # bytes of one array: accumulators beyond are not measured


class Work(NamedTuple):
    """What one image costs at least."""

    bytes: float
    operations: float


def best_time(work: Callable[[], object], images: int, device: torch.device, budget: float) -> float:
    """Smallest time of repeated calls, microseconds per image; at least two calls after the first."""
    work()
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < 2 or time.perf_counter() - start < budget:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        begin = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begin)
    return 1e6 * min(times) / images


def make_inputs(
    disc: HalfDisc, sphere: HalfSphere, channels: int, batch: int, device: torch.device
) -> dict[str, Tensor]:
    """Random tensors of the operations' shapes."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    return {
        "volumes": normal(sphere.size, channels, 2),
        "coefficients": normal(batch, channels),
        "rotation": random_rotations(batch, generator).float().to(device),
        "data": torch.complex(normal(batch, disc.size), normal(batch, disc.size)),
        "transfer": normal(batch, disc.size),
        "second": normal(batch, channels, channels),
    }


def workloads(
    implementation: object, inputs: dict[str, Tensor], batch: int, disc: HalfDisc, sphere: HalfSphere
) -> dict[str, Callable[[], object]]:
    """One callable per operation over the first images of the inputs."""
    volumes = inputs["volumes"]
    coefficients, rotation, data, transfer, second = (
        inputs[name][:batch] for name in ("coefficients", "rotation", "data", "transfer", "second")
    )
    grids = (disc, sphere)
    channels = volumes.shape[1]
    matrix = volumes.new_zeros(sphere.size, channels * (channels + 1) // 2)
    vector = torch.zeros_like(volumes)
    leaves = [tensor.detach().requires_grad_() for tensor in (volumes, coefficients)]

    def project() -> Tensor:
        with torch.no_grad():
            return implementation.project(volumes, coefficients, rotation, *grids)  # type: ignore[attr-defined]

    def project_with_gradients() -> tuple[Tensor, ...]:
        slices = implementation.project(*leaves, rotation, *grids)  # type: ignore[attr-defined]
        return torch.autograd.grad(slices, leaves, data)

    residual_gradient = torch.zeros_like(volumes)

    rows = torch.arange(batch, device=volumes.device)

    def misfit() -> tuple[Tensor, Tensor]:
        images = (data, transfer, rows)
        return implementation.misfit(  # type: ignore[attr-defined]
            volumes, coefficients, rotation, *images, *grids, residual_gradient
        )

    def gram() -> tuple[Tensor, Tensor]:
        return implementation.gram(volumes, data, transfer, rotation, *grids)  # type: ignore[attr-defined]

    def normal_equations() -> None:
        moments = (data, transfer, coefficients, second, rotation)
        implementation.normal_equations(*moments, *grids, matrix, vector)  # type: ignore[attr-defined]

    return {
        "project": project,
        "project + gradients": project_with_gradients,
        "misfit": misfit,
        "gram": gram,
        "normal equations": normal_equations,
    }


def copy_rate(device: torch.device) -> float:
    """Measured bytes per microsecond (MB/s) that a copy reads and writes."""
    source = torch.ones(2**26, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / best_time(lambda: target.copy_(source), 1, device, 1.0)


def matrix_rate(device: torch.device) -> float:
    """Measured GFLOP/s of a float32 matrix product."""
    a = torch.ones(2048, 2048, device=device)
    return 2 * 2048**3 / best_time(lambda: a @ a, 1, device, 1.0) / 1e3


def work_per_image(disc: HalfDisc, sphere: HalfSphere, channels: int) -> dict[str, Work]:
    """Bytes that one image must move and operations that it needs; see the module's docstring."""
    rotation = random_rotations(8, torch.Generator().manual_seed(1)).float()
    index = reference.corners(rotation, disc, sphere).index.flatten(1)
    touched = sum(len(row.unique()) for row in index) / len(index)
    row, packed = 8 * channels, 4 * channels * (channels + 1) // 2
    slices, data = 8 * disc.size, 12 * disc.size
    mix = 4 * channels * touched  # of complex rows with real coefficients; so is each gradient
    stencil = 32 * disc.size  # eight corners of a complex number
    products = 2 * (channels + 1) * (channels + 2) * disc.size
    return {
        "project": Work(touched * row + slices, mix + stencil),
        "project + gradients": Work(touched * 4 * row + 2 * slices, 3 * mix + 2 * stencil),
        "misfit": Work(touched * 3 * row + data, 3 * mix + 2 * stencil),
        "gram": Work(touched * row + data, channels * stencil + products),
        "normal equations": Work(
            touched * 2 * (row + packed) + data, touched * packed / 2 + mix + 1.5 * stencil
        ),
    }


def measure_box(
    box: int, basis: int, copy: float, matrix: float, options: argparse.Namespace
) -> list[dict[str, object]]:
    """Rows of the table for one box size and number of basis volumes, beside `copy_rate` and `matrix_rate`."""
    device = torch.device(options.device)
    disc, sphere = half_disc(box // 2 - 1), half_sphere(box // 2 - 1)
    inputs = make_inputs(disc, sphere, basis + 1, options.batch, device)
    needed = work_per_image(disc, sphere, basis + 1)
    too_large = 4 * sphere.size * (basis + 1) * (basis + 2) / 2 > LARGEST
    native = {
        name: best_time(work, options.batch, device, options.seconds)
        for name, work in workloads(ops, inputs, options.batch, disc, sphere).items()
        if name in options.operations and not (too_large and name == "normal equations")
    }
    rows = []
    for name, microseconds in native.items():
        plain = min(
            best_time(workloads(reference, inputs, batch, disc, sphere)[name], batch, device, options.seconds)
            for batch in PLAIN_BATCHES
        )
        rows.append(
            {
                "box": box,
                "basis": basis,
                "batch": options.batch,
                "operation": name,
                "native_us": round(microseconds, 1),
                "plain_us": round(plain, 1),
                "speedup": round(plain / microseconds, 1),
                "images_per_second": round(1e6 / microseconds),
                "megabytes": round(needed[name].bytes / 1e6, 2),
                "of_copy_rate": round(needed[name].bytes / microseconds / copy, 2),
                "megaflop": round(needed[name].operations / 1e6, 2),
                "of_matrix_rate": round(needed[name].operations / microseconds / (1e3 * matrix), 2),
            }
        )
    return rows


def parse_options() -> argparse.Namespace:
    operations = ["project", "project + gradients", "misfit", "gram", "normal equations"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--boxes", type=int, nargs="+", default=[64, 96, 128, 160, 256], help="box sizes M, pixels"
    )
    parser.add_argument("--basis", type=int, nargs="+", default=[16, 64], help="basis volumes K")
    parser.add_argument("--batch", type=int, default=256, help="images per native call")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=2.0, help="time spent on each measurement")
    parser.add_argument("--operations", nargs="+", choices=operations, default=operations)
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    torch.set_num_threads(options.threads)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    device = torch.device(options.device)
    copy, matrix = copy_rate(device), matrix_rate(device)
    rows: list[dict[str, object]] = []
    heads = ("M", "K", "operation", "us", "images/s", "plain us", "ratio", "MB", "copy", "MFLOP", "GEMM")
    print(
        "{:>4} {:>3} {:<20} {:>8} {:>9} {:>9} {:>6} {:>6} {:>5} {:>6} {:>5}".format(*heads), file=sys.stderr
    )
    for box, basis in itertools.product(options.boxes, options.basis):
        for row in measure_box(box, basis, copy, matrix, options):
            rows.append(row)
            line = (
                "{box:>4} {basis:>3} {operation:<20} {native_us:>8.1f} {images_per_second:>9} {plain_us:>9.1f}"
                " {speedup:>5.1f}x {megabytes:>6.2f} {of_copy_rate:>5.0%} {megaflop:>6.2f} {of_matrix_rate:>5.0%}"
            )
            print(line.format(**row), file=sys.stderr, flush=True)
    backend = ops.backend(options.device)
    machine = {
        "backend": backend.name,
        "device": torch.cuda.get_device_name()
        if options.device == "cuda"
        else platform.processor() or platform.machine(),
        "threads": options.threads,
        "torch": torch.__version__,
        "load_before": load,
        "copy_gb_per_s": round(copy / 1e3, 1),
        "matrix_gflop_per_s": round(matrix),
    }
    print(json.dumps({"machine": machine, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
