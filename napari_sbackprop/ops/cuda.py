"""The operations on NVIDIA GPUs: arguments of the kernels in csrc/cuda, registered for torch's CUDA key."""

import ctypes
import math

import torch
from torch import Tensor

from napari_sbackprop.imaging.grids import half_disc, half_sphere
from napari_sbackprop.ops import cuda_runtime, reference
from napari_sbackprop.ops.cuda_runtime import CudaError
from napari_sbackprop.ops.extension import CompileError
from napari_sbackprop.ops.schemas import library
from napari_sbackprop.ops.tables import Tables, mirror_pairs, tables

_HALF_DIAGONAL = 7 / math.sqrt(2)  # of a tile of 8 x 8 pixels
_BRICK = 12  # voxels; items that read the same brick run together, so that L2 serves them
_GRAM_PARTS = 4  # blocks per image
_MOST_BLOCKS = 4096  # of a kernel whose threads go on a grid further


class _Geometry(ctypes.Structure):
    _fields_ = (
        ("pixels", ctypes.c_void_p),
        ("tile_starts", ctypes.c_void_p),
        ("tile_centres", ctypes.c_void_p),
        ("row", ctypes.c_void_p),
        ("rotation", ctypes.c_void_p),
        ("side", ctypes.c_int),
        ("pixel_count", ctypes.c_int),
        ("limit", ctypes.c_float),
    )


def _pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def _geometry(rotation: Tensor, lookup: Tables) -> _Geometry:
    pointers = (tensor.data_ptr() for tensor in (*lookup[:4], rotation))
    return _Geometry(*pointers, len(lookup.row), len(lookup.pixels), (lookup.radius + 0.5) ** 2)


def sorted_items(rotation: Tensor, lookup: Tables) -> Tensor:
    """Every (image, tile, sign of p_x) that can have pixels, sorted by the brick of the volume that it reads.

    Returns
    -------
    (2 B T,) int32, (image * T + tile) * 2 + negated; those that cannot have pixels are -1, at the end. Their number
    stays on the device: nothing here waits for it.
    """
    centre = lookup.tile_centres @ rotation[:, :2]  # (B, T, 3)
    signed = torch.stack([centre, -centre], dim=2)  # (B, T, 2, 3)
    products = rotation[:, :2] @ rotation[:, :2].mT  # (B, 2, 2)
    stretch = products.abs().sum(-1).amax(-1).sqrt()  # at least the largest singular value
    # So written that a pose that is not a number keeps its items: they write zeros.
    present = ~(signed[..., 0] < -(_HALF_DIAGONAL * stretch + 1e-3)[:, None, None])

    reach = lookup.radius + 3.5
    count = math.ceil(2 * reach / _BRICK)
    brick = ((signed + reach) / _BRICK).long().clamp(0, count - 1)
    key = (brick[..., 2] * count + brick[..., 1]) * count + brick[..., 0]
    key = torch.where(present, key, count**3).flatten()
    order = torch.argsort(key, stable=True)
    return torch.where(key[order] < count**3, order, -1).int()


def _launch_over_items(
    program: str,
    kernel: str,
    rotation: Tensor,
    lookup: Tables,
    channels: int,
    tensors: list[Tensor | None],
    stored: torch.dtype = torch.float32,
) -> None:
    items = sorted_items(rotation, lookup)
    if len(items) == 0:
        return
    arguments = [_geometry(rotation, lookup), _pointer(items), ctypes.c_int(len(lookup.tile_centres))]
    arguments += [_pointer(tensor) for tensor in tensors]
    cuda_runtime.launch(program, kernel, channels, (len(items), 1), arguments, rotation.device, stored)


def project(volumes: Tensor, coefficients: Tensor, rotation: Tensor, *lookup: Tensor | int) -> Tensor:
    """Kernel of napari_sbackprop::project."""
    table = Tables(*lookup)  # type: ignore[arg-type]
    slices = coefficients.new_empty(len(coefficients), len(table.pixels), 2)
    tensors: list[Tensor | None] = [volumes, coefficients, slices]
    _launch_over_items("project", "project", rotation, table, volumes.shape[1], tensors, volumes.dtype)
    return slices


def project_backward(
    gradient: Tensor, volumes: Tensor, coefficients: Tensor, rotation: Tensor, *rest: Tensor | int | bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Kernel of napari_sbackprop::project_backward."""
    *lookup, need_volumes, need_rotation = rest
    table = Tables(*lookup)  # type: ignore[arg-type]
    of_volumes = coefficients.new_zeros(len(volumes) if need_volumes else 0, *volumes.shape[1:])
    of_coefficients = torch.zeros_like(coefficients)
    of_rotation = torch.zeros_like(rotation) if need_rotation else rotation.new_empty(0, 3, 3)
    tensors = [
        *(volumes, coefficients, gradient),
        of_volumes if need_volumes else None,
        of_coefficients,
        of_rotation if need_rotation else None,
    ]
    channels, stored = volumes.shape[1], volumes.dtype
    _launch_over_items("project", "project_backward", rotation, table, channels, tensors, stored)
    return of_volumes, of_coefficients, of_rotation


def misfit(
    volumes: Tensor,
    coefficients: Tensor,
    rotation: Tensor,
    data: Tensor,
    transfer: Tensor,
    rows: Tensor,
    *rest: Tensor | int,
) -> tuple[Tensor, Tensor]:
    """Kernel of napari_sbackprop::misfit; trusts `rows`, since a look at them would wait for the GPU."""
    *lookup, gradient = rest
    assert isinstance(gradient, Tensor)
    energy, slope = coefficients.new_zeros(len(coefficients)), torch.zeros_like(coefficients)
    tensors: list[Tensor | None] = [volumes, coefficients, data, transfer, rows, gradient, energy, slope]
    table = Tables(*lookup)  # type: ignore[arg-type]
    _launch_over_items("project", "misfit", rotation, table, volumes.shape[1], tensors, volumes.dtype)
    return energy, slope


def _launch_over_channels(
    kernel: str, like: Tensor, count: int, tensors: list[Tensor | None], numbers: tuple[float, ...]
) -> None:
    """Start a kernel of descend.cu over `count` rows of channels; `like` is (W, C, 2)."""
    channels = like.shape[1]
    blocks = max(1, min(_MOST_BLOCKS, math.ceil(count * channels / cuda_runtime.THREADS)))
    arguments = [*map(_pointer, tensors), ctypes.c_int64(count), *map(ctypes.c_float, numbers)]
    cuda_runtime.launch("descend", kernel, channels, (blocks, 1), arguments, like.device)


def descend(
    volumes: Tensor,
    gradient: Tensor,
    weight: Tensor,
    inverse: Tensor,
    pairs: Tensor,
    decay: float,
    pull: float,
    reading: Tensor | None = None,
) -> None:
    """Kernels of napari_sbackprop::descend."""
    _launch_over_channels("tie_pairs", gradient, len(pairs), [gradient, pairs], ())
    tensors = [volumes, gradient, weight, inverse, reading]
    _launch_over_channels("descend", volumes, len(volumes), tensors, (decay, pull))


def gram(
    volumes: Tensor, data: Tensor, transfer: Tensor, rotation: Tensor, *lookup: Tensor | int
) -> tuple[Tensor, Tensor]:
    """Kernel of napari_sbackprop::gram."""
    table = Tables(*lookup)  # type: ignore[arg-type]
    batch, channels = len(data), volumes.shape[1]
    upper, vector = data.new_zeros(batch, channels, channels), data.new_zeros(batch, channels)
    if batch > 0:
        tensors = (volumes, data, transfer, upper, vector)
        arguments = [_geometry(rotation, table), *(_pointer(tensor) for tensor in tensors)]
        grid = (_GRAM_PARTS, batch)
        cuda_runtime.launch("moments", "gram", channels, grid, arguments, data.device, volumes.dtype)
    return upper + upper.triu(1).mT, vector


def normal_equations(
    data: Tensor, transfer: Tensor, first: Tensor, second: Tensor, rotation: Tensor, *rest: Tensor | int
) -> None:
    """Kernel of napari_sbackprop::normal_equations."""
    *lookup, matrix, vector = rest
    assert isinstance(matrix, Tensor)
    assert isinstance(vector, Tensor)
    channels = first.shape[1]
    upper = torch.triu_indices(channels, channels, device=second.device)
    packed = second[:, upper[0], upper[1]].contiguous()  # (B, C (C + 1) / 2)
    tensors: list[Tensor | None] = [data, transfer, first, packed, matrix, vector]
    table = Tables(*lookup)  # type: ignore[arg-type]
    _launch_over_items("moments", "normal_equations", rotation, table, channels, tensors)


for _kernel in (project, project_backward, misfit, descend, gram, normal_equations):
    library.impl(_kernel.__name__, _kernel, "CUDA")


def _largest_error(results: tuple[Tensor, ...], truths: tuple[Tensor, ...]) -> float:
    errors = [(a - b).norm() / b.norm() for a, b in zip(results, truths, strict=True)]
    return float(torch.stack(errors).max())


def _check_against_reference(device: torch.device, stored: torch.dtype) -> float:
    """Largest relative error of all kernels on a small problem, with volumes stored as float32 or bfloat16."""
    generator = torch.Generator().manual_seed(0)
    disc, sphere, batch, channels = half_disc(8), half_sphere(8), 4, 3

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    columns = torch.linalg.qr(torch.randn(batch, 3, 3, generator=generator)).Q
    rotation = columns.contiguous().to(device)  # LAPACK's matrices are stored by columns
    lookup = tables(disc, sphere, device)
    rounded, coefficients = normal(sphere.size, channels, 2).to(stored), normal(batch, channels)
    volumes = rounded.float()
    data, transfer = normal(batch, disc.size, 2), normal(batch, disc.size)
    second = normal(batch, channels, channels)
    second = second + second.mT
    spectra = torch.view_as_complex(data)

    inputs = [tensor.clone().requires_grad_() for tensor in (volumes, coefficients, rotation)]
    slices = torch.view_as_real(reference.project(inputs[0], inputs[1], inputs[2], disc, sphere))
    slopes = torch.autograd.grad(slices, inputs, data)
    results = [project(rounded, coefficients, rotation, *lookup)]
    results += project_backward(data, rounded, coefficients, rotation, *lookup, True, True)
    results += gram(rounded, data, transfer, rotation, *lookup)
    truths = [slices.detach(), *slopes]
    truths += reference.gram(volumes, spectra, transfer, rotation, disc, sphere)

    def empty() -> tuple[Tensor, Tensor]:
        return volumes.new_zeros(sphere.size, channels * (channels + 1) // 2), torch.zeros_like(volumes)

    sums, true_sums = empty(), empty()
    normal_equations(data, transfer, coefficients, second, rotation, *lookup, *sums)
    reference.normal_equations(spectra, transfer, coefficients, second, rotation, disc, sphere, *true_sums)
    results += sums
    truths += true_sums

    rows = torch.tensor([2, 0, 2, 1], device=device)
    images, true_images = (data, transfer, rows), (spectra, transfer, rows)
    slope, true_slope = torch.zeros_like(volumes), torch.zeros_like(volumes)
    results += misfit(rounded, coefficients, rotation, *images, *lookup, slope)
    truths += reference.misfit(volumes, coefficients, rotation, *true_images, disc, sphere, true_slope)
    results.append(slope.clone())
    truths.append(true_slope.clone())

    weight, inverse, pairs = normal(sphere.size), normal(sphere.size, channels), mirror_pairs(sphere, device)
    steps, reading = (volumes.clone(), volumes.clone()), torch.zeros_like(volumes, dtype=torch.bfloat16)
    for _ in range(2):  # the second step shows whether the first has left the gradient at zero
        descend(steps[0], slope, weight, inverse, pairs, -0.1, -0.2, reading)
        reference.descend(steps[1], true_slope, weight, inverse, pairs, 0.1, 0.2)
    results += (steps[0], reading.float())
    truths += (steps[1], steps[0].bfloat16().float())
    return _largest_error(tuple(results), tuple(truths))


def self_check(device: torch.device) -> str:
    """Compile the kernels and compare them with plain PyTorch once; empty when they serve, else one sentence why not."""
    for stored in (torch.float32, torch.bfloat16):
        try:
            error = _check_against_reference(device, stored)
        except (CompileError, CudaError) as failure:
            return str(failure)
        if not error < 1e-4:
            return f"The CUDA kernels differ from plain PyTorch by {error:.1e} on this GPU."
    return ""
