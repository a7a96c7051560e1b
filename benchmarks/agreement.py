"""How far the native operations are from plain PyTorch in float64 on the CPU: a table on stderr, JSON on stdout.

    python benchmarks/agreement.py [--device cuda --boxes 64 96 --basis 16 64 --batch 8]

Norm of the difference over the norm of the truth, of everything that an operation returns or adds to. On a GPU the same is
asked of a stream that is not the default one and is busy when the work arrives, and it is told which results differ in a
bit between two runs, with torch's deterministic algorithms asked for and without. `misfit` that
reads volumes of bfloat16 is compared with float64 of the same.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from device import usable
from torch import Tensor

from napari_sbackprop import ops
from napari_sbackprop.imaging.grids import HalfDisc, HalfSphere, half_disc, half_sphere
from napari_sbackprop.imaging.poses import random_rotations
from napari_sbackprop.ops import reference
from napari_sbackprop.ops.determinism import sums_in_one_order
from napari_sbackprop.ops.tables import mirror_pairs

BOUND = 1e-5  # relative error of float32 sums over thousands of terms
STEP = {"decay": 0.2, "pull": 0.7}

Tensors = dict[str, Tensor]


def problem(box: int, basis: int, batch: int) -> Tensors:
    """Random tensors of the operations' shapes, in float32 on the CPU."""
    disc, sphere, channels = half_disc(box // 2 - 1), half_sphere(box // 2 - 1), basis + 1
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    second = normal(batch, channels, channels)
    return {
        "volumes": normal(sphere.size, channels, 2),
        "coefficients": normal(batch, channels),
        "rotation": random_rotations(batch, generator).float(),
        "data": torch.complex(normal(batch, disc.size), normal(batch, disc.size)),
        "transfer": normal(batch, disc.size),
        "second": second + second.mT,
        "rows": torch.randint(batch, (batch,), generator=generator),
        "weight": torch.rand(sphere.size, generator=generator),
        "inverse": torch.rand(sphere.size, channels, generator=generator),
    }


def widened(tensors: Tensors) -> Tensors:
    """The same numbers in float64."""
    wide = {torch.complex64: torch.complex128, torch.int64: torch.int64}
    return {name: tensor.to(wide.get(tensor.dtype, torch.float64)) for name, tensor in tensors.items()}


def misfit_results(implementation: Any, given: Tensors, disc: HalfDisc, sphere: HalfSphere) -> Tensors:
    """Misfit of each image and its gradients, that of the volumes added to ones."""
    gradient = given["weight"].new_ones(given["volumes"].shape)
    images = (given["data"], given["transfer"], given["rows"])
    mixed = (given["volumes"], given["coefficients"], given["rotation"])
    energy, slope = implementation.misfit(*mixed, *images, disc, sphere, gradient)
    return {"misfit": energy, "misfit: ds": slope, "misfit: dV": gradient}


def results(implementation: Any, given: Tensors, disc: HalfDisc, sphere: HalfSphere) -> Tensors:
    """Everything that `ops` or `ops.reference` make of a problem."""
    volumes, transfer, rotation = given["volumes"], given["transfer"], given["rotation"]
    channels, grids = volumes.shape[1], (disc, sphere)
    leaves = [given[name].clone().requires_grad_() for name in ("volumes", "coefficients", "rotation")]
    slices = implementation.project(*leaves, *grids)
    slopes = torch.autograd.grad(slices, leaves, given["data"])
    found = {"slices": slices.detach()}
    found |= dict(zip(("slices: dV", "slices: ds", "slices: dA"), slopes, strict=True))

    found |= misfit_results(implementation, given, *grids)
    matrix, vector = implementation.gram(volumes, given["data"], transfer, rotation, *grids)
    found |= {"gram: matrix": matrix, "gram: vector": vector}

    sums = (volumes.new_ones(sphere.size, channels * (channels + 1) // 2), torch.ones_like(volumes))
    moments = (given["coefficients"], given["second"])
    implementation.normal_equations(given["data"], transfer, *moments, rotation, *grids, *sums)
    found |= dict(zip(("normal equations: matrix", "normal equations: vector"), sums, strict=True))

    stepped = volumes.clone()
    numbers = (stepped, found["misfit: dV"].clone(), given["weight"], given["inverse"])
    if implementation is reference:
        reference.descend(*numbers, mirror_pairs(sphere, volumes.device), **STEP)
    else:
        ops.descend(*numbers, sphere, **STEP)
    return found | {"descend": stepped}


def relative_errors(found: Tensors, truth: Tensors) -> dict[str, float]:
    """Norm of each difference over the norm of the truth; NaN where a result is not finite."""
    wide = widened({name: tensor.cpu() for name, tensor in found.items()})
    return {
        name: float((wide[name] - tensor).norm() / tensor.norm())
        if wide[name].isfinite().all()
        else float("nan")
        for name, tensor in truth.items()
    }


def on_a_busy_stream(work: Callable[[Tensors], Tensors], given: Tensors) -> Tensors:
    """Work queued on a stream of its own behind what makes its arguments: elsewhere it would find none."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        late = {name: torch.zeros_like(tensor) for name, tensor in given.items()}
        delay = torch.randn(4096, 4096, device="cuda")
        for _ in range(50):
            delay = torch.tanh(delay @ delay)
        for name, tensor in given.items():
            late[name].copy_(tensor)
        found = work(late)
    stream.synchronize()
    return found


def unequal(work: Callable[[], Tensors], *, deterministic: bool) -> list[str]:
    """Results that differ between two runs in a bit."""
    with sums_in_one_order(deterministic):
        first, second = work(), work()
    return [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]


def compare(box: int, basis: int, batch: int, device: torch.device, *, once: bool = False) -> dict[str, Any]:
    """Errors at one size and, unless every operation is to run only once, what else the module's docstring promises."""
    disc, sphere = half_disc(box // 2 - 1), half_sphere(box // 2 - 1)
    narrow = problem(box, basis, batch)
    given = {name: tensor.to(device) for name, tensor in narrow.items()}

    def work(tensors: Tensors = given) -> Tensors:
        return results(ops, tensors, disc, sphere)

    truth = results(reference, widened(narrow), disc, sphere)
    row: dict[str, Any] = {"box": box, "basis": basis, "errors": relative_errors(work(), truth)}
    if once:
        return row
    if device.type == "cuda":
        row["errors_on_another_stream"] = relative_errors(on_a_busy_stream(work, given), truth)
        row["unequal"] = unequal(work, deterministic=False)
        with sums_in_one_order():
            row["errors_when_deterministic"] = relative_errors(work(), truth)
    row["unequal_when_deterministic"] = unequal(work, deterministic=True)
    rounded = narrow | {"volumes": narrow["volumes"].bfloat16()}
    truth = misfit_results(reference, widened(rounded), disc, sphere)
    there = {name: tensor.to(device) for name, tensor in rounded.items()}
    row["errors_of_bfloat16"] = relative_errors(misfit_results(ops, there, disc, sphere), truth)
    return row


def worst(row: dict[str, Any]) -> tuple[str, float]:
    """The result that is furthest off in a row of `compare`, and by how much; not a number is furthest."""
    errors = [
        (f"{name}{kind.removeprefix('errors').replace('_', ' ')}", error)
        for kind, found in row.items()
        if kind.startswith("errors")
        for name, error in found.items()
    ]
    return max(errors, key=lambda item: (item[1] != item[1], item[1]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--boxes", type=int, nargs="+", default=[64, 96], help="box sizes M, pixels")
    parser.add_argument("--basis", type=int, nargs="+", default=[16, 64], help="basis volumes K")
    parser.add_argument("--batch", type=int, default=8, help="images")
    parser.add_argument("--device", type=usable, default="cpu")
    parser.add_argument("--once", action="store_true", help="errors alone: every operation runs once")
    options = parser.parse_args()
    device = torch.device(options.device)
    rows = []
    for box, basis in itertools.product(options.boxes, options.basis):
        row = compare(box, basis, options.batch, device, once=options.once)
        rows.append(row)
        name, error = worst(row)
        print(f"M {box:3} K {basis:3}: at most {error:.1e} ({name})", file=sys.stderr, flush=True)
    print(json.dumps({"backend": ops.backend(device)._asdict(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
