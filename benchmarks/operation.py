"""Time the native operations against plain PyTorch in the same process: a table on stderr, JSON on stdout.

    python benchmarks/operation.py --boxes 64 96 128 160 256 --basis 16 64 --batch 256 --threads 2

A box of M pixels keeps shells 0 ... M/2 - 1. Poses are random and uniform. Times are microseconds per image, the
smallest of several runs: what other programs on the machine take is not ours to report. Plain PyTorch is measured at
its own best of several batches and sizes of its intermediates: large ones overflow a processor's caches, and small ones
leave a GPU idle. On a GPU (--device cuda) it is also said what an operation takes where its sums keep one order ("fixed"),
and what memory a call needs beside its arguments.

"MB" are the compulsory bytes of an image: every voxel that a slice touches read once per pass (and its gradient read and
written once), the image once. "copy" is the rate at which they went by, of the machine's measured copy rate: beyond 100 %
means that the images of a batch share voxels in the caches. "MFLOP" are the additions and multiplications that the
algorithm needs, and "GEMM" is their rate, of the measured rate of a float32 matrix product.
"""

import argparse
import itertools
import json
import math
import os
import platform
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from device import now, usable
from torch import Tensor

from napari_sbackprop import ops
from napari_sbackprop.imaging.grids import HalfDisc, HalfSphere, half_disc, half_sphere
from napari_sbackprop.imaging.poses import random_rotations
from napari_sbackprop.ops import reference
from napari_sbackprop.ops.determinism import sums_in_one_order

OPERATIONS = ("project", "project + gradients", "misfit", "gram", "normal equations")
PLAIN = {
    "cpu": [(16, 2**24), (64, 2**24), (64, 2**27)],
    "cuda": [(64, 2**24), (256, 2**26), (256, 2**28)],
}
"""Images per call of plain PyTorch and floats of its largest intermediate that are tried, by device."""
LARGEST = 6e9  # bytes of one array: accumulators beyond are not measured on a processor, nor beyond half a GPU's memory


class Work(NamedTuple):
    """What one image costs at least."""

    bytes: float
    operations: float


def best_time(work: Callable[[], object], images: int, device: torch.device, budget: float) -> float:
    """Smallest time of repeated calls, microseconds per image; at least two calls after the first."""
    work()
    times: list[float] = []
    start = now(device)
    while len(times) < 2 or now(device) - start < budget:
        begin = now(device)
        work()
        times.append(now(device) - begin)
    return 1e6 * min(times) / images


class Cost(NamedTuple):
    """Microseconds per image, and the megabytes that a call needs beside its arguments; NaN where they are not known."""

    microseconds: float
    megabytes: float


def cost(work: Callable[[], object], images: int, device: torch.device, budget: float) -> Cost:
    """`best_time` with the memory it takes on a GPU."""
    if device.type != "cuda":
        return Cost(best_time(work, images, device, budget), math.nan)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    microseconds = best_time(work, images, device, budget)
    return Cost(microseconds, (torch.cuda.max_memory_allocated(device) - before) / 1e6)


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


def workload(
    name: str, implementation: Any, inputs: dict[str, Tensor], batch: int, disc: HalfDisc, sphere: HalfSphere
) -> Callable[[], object]:
    """One of OPERATIONS, by `ops` or `ops.reference`, over the first images of the inputs."""
    volumes = inputs["volumes"]
    coefficients, rotation, data, transfer, second = (
        inputs[name][:batch] for name in ("coefficients", "rotation", "data", "transfer", "second")
    )
    grids = (disc, sphere)
    if name == "project":
        return torch.no_grad()(lambda: implementation.project(volumes, coefficients, rotation, *grids))
    if name == "project + gradients":
        leaves = [tensor.detach().requires_grad_() for tensor in (volumes, coefficients)]
        return lambda: torch.autograd.grad(implementation.project(*leaves, rotation, *grids), leaves, data)
    vector = torch.zeros_like(volumes)
    if name == "misfit":
        images = (data, transfer, torch.arange(batch, device=volumes.device))
        return lambda: implementation.misfit(volumes, coefficients, rotation, *images, *grids, vector)
    if name == "gram":
        return lambda: implementation.gram(volumes, data, transfer, rotation, *grids)
    channels = volumes.shape[1]
    matrix = volumes.new_zeros(sphere.size, channels * (channels + 1) // 2)
    moments = (data, transfer, coefficients, second, rotation)
    return lambda: implementation.normal_equations(*moments, *grids, matrix, vector)


def copy_rate(device: torch.device) -> float:
    """Measured bytes per microsecond (MB/s) that a copy reads and writes."""
    source = torch.randn(2**26, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / best_time(lambda: target.copy_(source), 1, device, 1.0)


def matrix_rate(device: torch.device) -> float:
    """Measured GFLOP/s of a float32 matrix product."""
    side = 8192 if device.type == "cuda" else 2048
    a = torch.randn(side, side, device=device)
    return 2 * side**3 / best_time(lambda: a @ a, 1, device, 1.0) / 1e3


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


def plain_cost(name: str, inputs: dict[str, Tensor], budget: float, *grids: Any) -> Cost | None:
    """Cost of plain PyTorch where it is fastest; None where it finds too little memory on the GPU."""
    device, found = inputs["volumes"].device, []
    for most, floats in PLAIN[device.type]:
        batch = min(most, len(inputs["data"]))
        with patch.object(reference, "_CHUNK_FLOATS", floats):
            try:
                found.append(cost(workload(name, reference, inputs, batch, *grids), batch, device, budget))
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
    return min(found, default=None)


def largest_array(device: torch.device) -> float:
    """Bytes of the largest array that is measured on a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory / 2
    return LARGEST


def measure_box(
    box: int, basis: int, copy: float, matrix: float, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Rows of the table for one box size and number of basis volumes, beside `copy_rate` and `matrix_rate`."""
    device = torch.device(options.device)
    disc, sphere = half_disc(box // 2 - 1), half_sphere(box // 2 - 1)
    inputs = make_inputs(disc, sphere, basis + 1, options.batch, device)
    needed = work_per_image(disc, sphere, basis + 1)
    too_large = 4 * sphere.size * (basis + 1) * (basis + 2) / 2 > largest_array(device)
    for name in options.operations:
        if too_large and name == "normal equations":
            continue
        work = workload(name, ops, inputs, options.batch, disc, sphere)
        native = cost(work, options.batch, device, options.seconds)
        row: dict[str, Any] = {}
        if device.type == "cuda":
            with sums_in_one_order():
                row["fixed_us"] = round(best_time(work, options.batch, device, options.seconds), 2)
        del work  # its accumulators are as large as those of plain PyTorch
        plain = plain_cost(name, inputs, options.seconds, disc, sphere)
        microseconds = native.microseconds
        row |= {
            "box": box,
            "basis": basis,
            "batch": options.batch,
            "operation": name,
            "native_us": round(microseconds, 2),
            "images_per_second": round(1e6 / microseconds),
            "megabytes": round(needed[name].bytes / 1e6, 2),
            "of_copy_rate": round(needed[name].bytes / microseconds / copy, 2),
            "megaflop": round(needed[name].operations / 1e6, 2),
            "of_matrix_rate": round(needed[name].operations / microseconds / (1e3 * matrix), 3),
        }
        if plain is not None:
            row |= {
                "plain_us": round(plain.microseconds, 1),
                "speedup": round(plain.microseconds / microseconds, 1),
            }
        if device.type == "cuda":
            row |= {"native_mb": round(native.megabytes)}
            row |= {"plain_mb": None if plain is None else round(plain.megabytes)}
        yield row


def table_line(row: dict[str, Any]) -> str:
    """A row of `measure_box` in the columns of the table."""
    return (
        "{box:>4} {basis:>3} {operation:<20} {native_us:>8.1f} {images_per_second:>9} {plain:>9} {ratio:>6}"
        " {megabytes:>6.2f} {of_copy_rate:>5.0%} {megaflop:>6.2f} {of_matrix_rate:>5.0%}{memory}"
    ).format(
        **row,
        plain=row.get("plain_us", "no room"),
        ratio=f"{row['speedup']}x" if "speedup" in row else "",
        memory=" {fixed_us:>8} {native_mb:>7} {plain_mb!s:>7}".format(**row) if "native_mb" in row else "",
    )


HEADS = {
    "cpu": "   M   K operation                  us  images/s  plain us  ratio     MB  copy  MFLOP  GEMM",
}
HEADS["cuda"] = HEADS["cpu"] + " fixed us    MB + plain +"


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--boxes", type=int, nargs="+", default=[64, 96, 128, 160, 256], help="box sizes M, pixels"
    )
    parser.add_argument("--basis", type=int, nargs="+", default=[16, 64], help="basis volumes K")
    parser.add_argument("--batch", type=int, default=256, help="images per native call")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", type=usable, default="cpu")
    parser.add_argument("--seconds", type=float, default=2.0, help="time spent on each measurement")
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=OPERATIONS)
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    torch.set_num_threads(options.threads)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    device = torch.device(options.device)
    copy, matrix = copy_rate(device), matrix_rate(device)
    rows = []
    print(HEADS[device.type], file=sys.stderr)
    for box, basis in itertools.product(options.boxes, options.basis):
        for row in measure_box(box, basis, copy, matrix, options):
            rows.append(row)
            print(table_line(row), file=sys.stderr, flush=True)
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
