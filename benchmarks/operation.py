"""Time the native operations against plain PyTorch in the same process: a table on stderr, JSON on stdout.

    python benchmarks/operation.py --boxes 64 96 160 --basis 16 --batch 256 --threads 2

A box of M pixels keeps shells 0 ... M/2 - 1. Poses are random and uniform. Times are microseconds per image, the
smallest of several runs: what other programs on the machine take is not ours to report. Plain PyTorch is measured at
its own best of several small batches, because large ones overflow the caches.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from napari_sbackprop import ops
from napari_sbackprop.imaging.grids import HalfDisc, HalfSphere, half_disc, half_sphere
from napari_sbackprop.imaging.poses import random_rotations
from napari_sbackprop.ops import reference

PLAIN_BATCHES = (16, 64)


def best_time(work: Callable[[], object], images: int, device: torch.device, budget: float) -> float:
    """Smallest time of repeated calls, microseconds per image; at least three calls."""
    work()
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < budget:
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
    leaves = [tensor.clone().requires_grad_() for tensor in (volumes, coefficients)]

    def project() -> Tensor:
        with torch.no_grad():
            return implementation.project(volumes, coefficients, rotation, *grids)  # type: ignore[attr-defined]

    def project_with_gradients() -> tuple[Tensor, ...]:
        slices = implementation.project(*leaves, rotation, *grids)  # type: ignore[attr-defined]
        return torch.autograd.grad(slices, leaves, data)

    def gram() -> tuple[Tensor, Tensor]:
        return implementation.gram(volumes, data, transfer, rotation, *grids)  # type: ignore[attr-defined]

    def normal_equations() -> None:
        moments = (data, transfer, coefficients, second, rotation)
        implementation.normal_equations(*moments, *grids, matrix, vector)  # type: ignore[attr-defined]

    return {
        "project": project,
        "project + gradients": project_with_gradients,
        "gram": gram,
        "normal equations": normal_equations,
    }


def measure_box(box: int, options: argparse.Namespace) -> list[dict[str, object]]:
    """Rows of the table for one box size."""
    device = torch.device(options.device)
    disc, sphere = half_disc(box // 2 - 1), half_sphere(box // 2 - 1)
    inputs = make_inputs(disc, sphere, options.basis + 1, options.batch, device)
    native = {
        name: best_time(work, options.batch, device, options.seconds)
        for name, work in workloads(ops, inputs, options.batch, disc, sphere).items()
        if name in options.operations
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
                "basis": options.basis,
                "batch": options.batch,
                "operation": name,
                "native_us": round(microseconds, 1),
                "plain_us": round(plain, 1),
                "speedup": round(plain / microseconds, 1),
            }
        )
    return rows


def parse_options() -> argparse.Namespace:
    operations = ["project", "project + gradients", "gram", "normal equations"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--boxes", type=int, nargs="+", default=[64, 96, 160], help="box sizes M, pixels")
    parser.add_argument("--basis", type=int, default=16, help="basis volumes K")
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
    rows: list[dict[str, object]] = []
    print(f"{'M':>4} {'operation':<20} {'native':>9} {'plain':>9}   (us per image)", file=sys.stderr)
    for box in options.boxes:
        for row in measure_box(box, options):
            rows.append(row)
            line = "{box:>4} {operation:<20} {native_us:>9.1f} {plain_us:>9.1f} {speedup:>6.1f}x".format(
                **row
            )
            print(line, file=sys.stderr, flush=True)
    backend = ops.backend(options.device)
    machine = {
        "backend": backend.name,
        "device": torch.cuda.get_device_name() if options.device == "cuda" else platform.processor(),
        "threads": options.threads,
        "torch": torch.__version__,
        "load_before": load,
    }
    print(json.dumps({"machine": machine, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
