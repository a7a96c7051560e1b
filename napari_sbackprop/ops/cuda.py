"""The operations on NVIDIA GPUs: arguments of the kernels in csrc/cuda, registered for torch's CUDA key.

Sums over pixels that end in voxels are made in one of two ways. By default each block adds what its pixels give to memory
with atomics, in any order. With `owned`, or where torch.use_deterministic_algorithms asks for it, each block owns a
brick of voxels and goes through the images: results then have the same bits in every run. The first `owned` call of a
shape prepares tables on the host and cannot be captured in a CUDA graph; later ones can.
"""

import ctypes
import math

import torch
from torch import Tensor

from napari_sbackprop.imaging.grids import HalfSphere, half_disc, half_sphere
from napari_sbackprop.ops import cuda_runtime, reference
from napari_sbackprop.ops.cuda_runtime import CudaError
from napari_sbackprop.ops.extension import CompileError
from napari_sbackprop.ops.schemas import library
from napari_sbackprop.ops.tables import Tables, bricks, mirror_pairs, parts, plane, tables

_HALF_DIAGONAL = 7 / math.sqrt(2)  # of a tile of 8 x 8 pixels
_BRICK = 12  # voxels; items that read the same brick run together, so that L2 serves them
_GRAM_PARTS = 4  # blocks per image
_SUMS = 34  # of a voxel in one block; kSums in csrc/cuda/bricks.cu
_SCRATCH_BLOCKS = 4  # per brick
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


class _Bricks(ctypes.Structure):
    _fields_ = (
        ("corners", ctypes.c_void_p),
        ("voxels", ctypes.c_void_p),
        ("parts", ctypes.c_void_p),
        ("plane", ctypes.c_void_p),
        ("radius", ctypes.c_int),
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
    key = torch.where(present, key, count**3).flatten().int()  # half as many passes of the sort as of int64
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


def _add_over_bricks(
    kernel: str,
    values: Tensor,
    factors: Tensor,
    rotation: Tensor,
    lookup: Tables,
    channels: int,
    result: Tensor,
) -> None:
    """Add factors[b, l] times what values of the pixels, (B, P) or (B, P, 2), give to voxel v to result[v, l]."""
    if len(factors) == 0:
        return
    cut, table = bricks(lookup.radius, result.device), plane(lookup.pixels)
    share = parts(lookup.radius, len(factors), result.device)
    voxels, length = cut.voxels.shape[1], result[0].numel()
    scratch = result.new_empty(share.slots, voxels, length)
    layout = _Bricks(*(tensor.data_ptr() for tensor in (*cut, share.parts, table)), table.shape[1] - 1)
    arguments = [_geometry(rotation, lookup), layout, *map(_pointer, (values, factors, scratch, result))]
    grid = (len(share.parts), math.ceil(length / _SUMS))
    cuda_runtime.launch("bricks", kernel, channels, grid, arguments, result.device)
    if share.slots > 0:
        arguments = [_pointer(cut.voxels), _pointer(share.several), ctypes.c_int(length)]
        arguments += [_pointer(scratch), _pointer(result)]
        grid = (len(share.several), _SCRATCH_BLOCKS)
        cuda_runtime.launch("bricks", "add_scratch", channels, grid, arguments, result.device)


def _is_owned(owned: bool | None) -> bool:
    return torch.are_deterministic_algorithms_enabled() if owned is None else owned


def _shares(like: Tensor, lookup: Tables, *shape: int) -> Tensor:
    """Memory for what each item adds to a result of its image, (B, 2 T, ...); items that don't exist add nothing."""
    return like.new_zeros(len(like), 2 * len(lookup.tile_centres), *shape)


def project(volumes: Tensor, coefficients: Tensor, rotation: Tensor, *lookup: Tensor | int) -> Tensor:
    """Kernel of napari_sbackprop::project."""
    table = Tables(*lookup)  # type: ignore[arg-type]
    slices = coefficients.new_empty(len(coefficients), len(table.pixels), 2)
    tensors: list[Tensor | None] = [volumes, coefficients, slices]
    _launch_over_items("project", "project", rotation, table, volumes.shape[1], tensors, volumes.dtype)
    return slices


def project_backward(
    gradient: Tensor,
    volumes: Tensor,
    coefficients: Tensor,
    rotation: Tensor,
    *rest: Tensor | int | bool,
    owned: bool | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Kernels of napari_sbackprop::project_backward."""
    *lookup, need_volumes, need_rotation = rest
    table = Tables(*lookup)  # type: ignore[arg-type]
    channels, by_bricks = volumes.shape[1], _is_owned(owned)
    of_volumes = coefficients.new_zeros(len(volumes) if need_volumes else 0, channels, 2)
    of_coefficients = _shares(coefficients, table, channels)
    of_rotation = _shares(rotation, table, 9) if need_rotation else None
    tensors = [
        *(volumes, coefficients, gradient),
        of_volumes if need_volumes and not by_bricks else None,
        of_coefficients,
        of_rotation,
    ]
    _launch_over_items("project", "project_backward", rotation, table, channels, tensors, volumes.dtype)
    if need_volumes and by_bricks:
        _add_over_bricks("add_to_volumes", gradient, coefficients, rotation, table, channels, of_volumes)
    return (
        of_volumes,
        of_coefficients.sum(1),
        rotation.new_empty(0, 3, 3) if of_rotation is None else of_rotation.sum(1).view(-1, 3, 3),
    )


def misfit(
    volumes: Tensor,
    coefficients: Tensor,
    rotation: Tensor,
    data: Tensor,
    transfer: Tensor,
    rows: Tensor,
    *rest: Tensor | int,
    owned: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Kernels of napari_sbackprop::misfit; trust `rows`, since a look at them would wait for the GPU."""
    *lookup, gradient = rest
    assert isinstance(gradient, Tensor)
    table = Tables(*lookup)  # type: ignore[arg-type]
    channels = volumes.shape[1]
    energy, slope = _shares(coefficients, table), _shares(coefficients, table, channels)
    residuals = coefficients.new_empty(len(coefficients), len(table.pixels), 2) if _is_owned(owned) else None
    of_volumes = gradient if residuals is None else None
    tensors = [volumes, coefficients, data, transfer, rows, of_volumes, residuals, energy, slope]
    _launch_over_items("project", "misfit", rotation, table, channels, tensors, volumes.dtype)
    if residuals is not None:
        _add_over_bricks("add_to_volumes", residuals, coefficients, rotation, table, channels, gradient)
    return energy.sum(1), slope.sum(1)


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
    upper = data.new_zeros(batch, _GRAM_PARTS, channels, channels)
    vector = data.new_zeros(batch, _GRAM_PARTS, channels)
    if batch > 0:
        tensors = (volumes, data, transfer, upper, vector)
        arguments = [_geometry(rotation, table), *(_pointer(tensor) for tensor in tensors)]
        grid = (_GRAM_PARTS, batch)
        cuda_runtime.launch("moments", "gram", channels, grid, arguments, data.device, volumes.dtype)
    upper, vector = upper.sum(1), vector.sum(1)
    return upper + upper.triu(1).mT, vector


def normal_equations(
    data: Tensor,
    transfer: Tensor,
    first: Tensor,
    second: Tensor,
    rotation: Tensor,
    *rest: Tensor | int,
    owned: bool | None = None,
) -> None:
    """Kernels of napari_sbackprop::normal_equations."""
    *lookup, matrix, vector = rest
    assert isinstance(matrix, Tensor)
    assert isinstance(vector, Tensor)
    channels = first.shape[1]
    upper = torch.triu_indices(channels, channels, device=second.device)
    packed = second[:, upper[0], upper[1]].contiguous()  # (B, C (C + 1) / 2)
    table = Tables(*lookup)  # type: ignore[arg-type]
    if _is_owned(owned):
        weighted = table.pixels[:, 2] * transfer  # (B, P)
        _add_over_bricks("add_to_matrices", weighted * transfer, packed, rotation, table, channels, matrix)
        back = weighted[..., None] * data
        _add_over_bricks("add_to_volumes", back, first, rotation, table, channels, vector)
        return
    tensors: list[Tensor | None] = [data, transfer, first, packed, matrix, vector]
    _launch_over_items("moments", "normal_equations", rotation, table, channels, tensors)


for _kernel in (project, project_backward, misfit, descend, gram, normal_equations):
    library.impl(_kernel.__name__, _kernel, "CUDA")


def _largest_error(results: tuple[Tensor, ...], truths: tuple[Tensor, ...]) -> float:
    errors = [(a - b).norm() / b.norm() for a, b in zip(results, truths, strict=True)]
    return float(torch.stack(errors).max())


def _check_against_reference(device: torch.device, stored: torch.dtype) -> float:
    """Largest relative error of all kernels on a small problem, with enough images for several parts of a brick.

    `stored` is the type of the volumes, float32 or bfloat16.
    """
    generator = torch.Generator().manual_seed(0)
    disc, sphere, batch, channels = half_disc(5), half_sphere(5), 64, 3

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
    rows = torch.randint(batch, (batch,), generator=generator).to(device)
    spectra = torch.view_as_complex(data)

    def empty() -> list[Tensor]:
        matrix = volumes.new_zeros(sphere.size, channels * (channels + 1) // 2)
        return [matrix, torch.zeros_like(volumes), torch.zeros_like(volumes)]

    inputs = [tensor.clone().requires_grad_() for tensor in (volumes, coefficients, rotation)]
    slices = torch.view_as_real(reference.project(inputs[0], inputs[1], inputs[2], disc, sphere))
    truths = [slices.detach(), *torch.autograd.grad(slices, inputs, data)]
    truths += reference.gram(volumes, spectra, transfer, rotation, disc, sphere)
    sums = empty()
    reference.normal_equations(spectra, transfer, coefficients, second, rotation, disc, sphere, *sums[:2])
    images = (spectra, transfer, rows)
    truths += reference.misfit(volumes, coefficients, rotation, *images, disc, sphere, sums[2])
    truths += sums
    slope, model = sums[2], (rounded, coefficients, rotation, *lookup)

    results: list[Tensor] = []
    for owned in (False, True):
        results += [project(*model), *project_backward(data, *model, True, True, owned=owned)]
        results += gram(rounded, data, transfer, rotation, *lookup)
        sums = empty()
        moments = (data, transfer, coefficients, second, rotation)
        normal_equations(*moments, *lookup, *sums[:2], owned=owned)
        results += misfit(*model[:3], data, transfer, rows, *lookup, sums[2], owned=owned)
        results += sums
    steps, true_steps = _two_steps(volumes, slope, sphere)
    return _largest_error((*results, *steps), (*truths, *truths, *true_steps))


def _two_steps(volumes: Tensor, gradient: Tensor, sphere: HalfSphere) -> tuple[list[Tensor], list[Tensor]]:
    """Volumes after two steps and their rounded copy, and what they should be.

    The second step shows whether the first has left the gradient at zero.
    """
    inverse, rounded = volumes[..., 1].contiguous(), torch.zeros_like(volumes, dtype=torch.bfloat16)
    weight, pairs = inverse[:, 0].contiguous(), mirror_pairs(sphere, volumes.device)
    found, truth = ((volumes.clone(), gradient.clone()) for _ in range(2))
    for _ in range(2):
        descend(*found, weight, inverse, pairs, -0.1, -0.2, rounded)
        reference.descend(*truth, weight, inverse, pairs, 0.1, 0.2)
    return [found[0], rounded.float()], [truth[0], found[0].bfloat16().float()]


def self_check(device: torch.device) -> str:
    """Compile the kernels and compare them with plain PyTorch once; empty when they serve, else one sentence why not."""
    for stored in (torch.float32, torch.bfloat16):
        try:
            error = _check_against_reference(device, stored)
        except (CompileError, CudaError, RuntimeError) as failure:  # the last are torch's own of the GPU
            return str(failure)
        if not error < 1e-4:
            return f"The CUDA kernels differ from plain PyTorch by {error:.1e} on this GPU."
    return ""
