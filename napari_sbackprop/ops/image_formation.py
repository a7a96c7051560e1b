"""The operations as the rest of the package calls them: complex tensors in, the best back end of the device inside.

Shapes: B batch, P half-disc pixels, W half-sphere voxels, C = K + 1 channels. Channel 0 is the consensus volume; its
coefficient is 1 by convention, but nothing here relies on that.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from napari_sbackprop.imaging.grids import HalfDisc, HalfSphere
from napari_sbackprop.ops import reference
from napari_sbackprop.ops import schemas as schemas  # registers the operations
from napari_sbackprop.ops.dispatch import backend
from napari_sbackprop.ops.tables import mirror_pairs, tables
from napari_sbackprop.ops.threads import threads_of_kernels

_native = torch.ops.napari_sbackprop
_CPU_CHANNELS = 256  # kMaxChannels in csrc/cpu/tasks.h
_CUDA_CHANNELS = 129  # gram keeps a run of pixels of all channels in shared memory


def _check(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} has the shape {tuple(tensor.shape)}, expected {shape}.")


def _precision(volumes: Tensor) -> torch.dtype:
    """What is computed in: bfloat16 is but a way to store volumes."""
    return torch.float32 if volumes.dtype == torch.bfloat16 else volumes.dtype


def _check_in_place(name: str, tensor: Tensor, precision: torch.dtype, device: torch.device) -> None:
    """What a kernel writes to must be memory that it knows."""
    if tensor.dtype != precision or tensor.device != device or not tensor.is_contiguous():
        raise ValueError(f"{name} is changed in place: it must be contiguous {precision} on {device}.")


def _check_rows(rows: Tensor, count: int) -> None:
    if rows.dtype.is_floating_point or rows.dtype in (torch.bool, torch.complex64, torch.complex128):
        raise ValueError(f"rows has the type {rows.dtype}, expected integers.")
    # On a GPU this would wait for it; there the caller answers for the values.
    if not rows.is_cuda and len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < count:
        raise ValueError(f"rows runs from {rows.min()} to {rows.max()}, but there are {count} images.")


def _kernel(operation: Callable[..., Any], *arguments: Any) -> Any:
    with threads_of_kernels():
        return operation(*arguments)


def is_native(volumes: Tensor) -> bool:
    """Whether kernels of ours serve volumes (W, C, 2): their device, precision and number of channels."""
    if volumes.is_cuda:
        served = _precision(volumes) == torch.float32 and volumes.shape[1] <= _CUDA_CHANNELS
    else:
        served = volumes.dtype in (torch.float32, torch.float64) and volumes.shape[1] <= _CPU_CHANNELS
    return served and backend(volumes.device).name == "native"


def _readable(volumes: Tensor) -> Tensor:
    """Volumes as their device's back end reads them: only the CUDA kernels take bfloat16."""
    return volumes if is_native(volumes) else volumes.to(_precision(volumes))


def _real_view(values: Tensor) -> Tensor:
    return torch.view_as_real(values.resolve_conj()).contiguous()


def project(
    volumes: Tensor, coefficients: Tensor, rotation: Tensor, disc: HalfDisc, sphere: HalfSphere
) -> Tensor:
    """Slice each image's volume: X[b, p] = sum_v w_v(b, p) sum_c s[b, c] V[v, c] at p = x A[0] + y A[1].

    Trilinear interpolation; where p_x < 0 the point is negated and the value conjugated (Friedel). Points beyond
    sphere.radius + 1/2 give 0. Differentiable in volumes, coefficients and rotation, once.

    Parameters
    ----------
    volumes : (W, C, 2) float32 or float64, interleaved real and imaginary parts. Or bfloat16, which halves what a GPU has
        to read; all else is float32 then, and any other device converts the volumes in every call.
    coefficients : (B, C), s.
    rotation : (B, 3, 3), A: rows are the image axes in the map's frame. Rows may be scaled or sheared.

    Returns
    -------
    (B, P) complex central slices, before CTF and shift.
    """
    batch, channels = len(coefficients), volumes.shape[1]
    _check("volumes", volumes, (sphere.size, channels, 2))
    _check("coefficients", coefficients, (batch, channels))
    _check("rotation", rotation, (batch, 3, 3))
    volumes = _readable(volumes)
    if not is_native(volumes):
        return reference.project(volumes, coefficients, rotation, disc, sphere)
    lookup = tables(disc, sphere, volumes.device)
    rotation = rotation.to(_precision(volumes))
    slices = _kernel(
        _native.project, volumes.contiguous(), coefficients.contiguous(), rotation.contiguous(), *lookup
    )
    return torch.view_as_complex(slices)


def misfit(
    volumes: Tensor,
    coefficients: Tensor,
    rotation: Tensor,
    data: Tensor,
    transfer: Tensor,
    rows: Tensor,
    disc: HalfDisc,
    sphere: HalfSphere,
    gradient: Tensor,
) -> tuple[Tensor, Tensor]:
    """Compare some images with slices of mixed volumes: misfit and its gradients in one pass.

    E_b = sum_p q_p |transfer slice_b - data|^2 with `project`'s slices and q the pixel weight (1/2 on x = 0). Adds
    d sum_b E_b / dV to `gradient`; slices are never stored. Data and transfer of another precision than the volumes', or
    not contiguous, are converted as a whole in every call.

    Parameters
    ----------
    volumes : (W, C, 2) float32, float64 or bfloat16; see `project`.
    coefficients : (B, C), s.
    rotation : (B, 3, 3), A.
    data : (N, P) complex, whitened and centred spectra of all images.
    transfer : (N, P) real, whitened CTF of all images.
    rows : (B,) int64, where each image is in data and transfer; may lie on the CPU.
    gradient : (W, C, 2), contiguous accumulator; float32 where the volumes are bfloat16.

    Returns
    -------
    E (B,) and dE/ds (B, C).
    """
    batch, channels = len(coefficients), volumes.shape[1]
    _check("volumes", volumes, (sphere.size, channels, 2))
    _check("coefficients", coefficients, (batch, channels))
    _check("rotation", rotation, (batch, 3, 3))
    _check("data", data, (len(data), disc.size))
    _check("transfer", transfer, (len(data), disc.size))
    _check("rows", rows, (batch,))
    _check("gradient", gradient, (sphere.size, channels, 2))
    _check_in_place("gradient", gradient, _precision(volumes), volumes.device)
    _check_rows(rows, len(data))
    with torch.no_grad():
        volumes = _readable(volumes)
        if not is_native(volumes):
            images = (data, transfer, rows)
            return reference.misfit(volumes, coefficients, rotation, *images, disc, sphere, gradient)
        numbers = [coefficients, rotation, _real_view(data), transfer]
        numbers = [tensor.to(gradient.dtype).contiguous() for tensor in numbers]
        rows = rows.to(volumes.device, torch.int64).contiguous()
        lookup = tables(disc, sphere, volumes.device)
        energy, slope = _kernel(_native.misfit, volumes.contiguous(), *numbers, rows, *lookup, gradient)
    return energy, slope


def descend(
    volumes: Tensor,
    gradient: Tensor,
    weight: Tensor,
    inverse: Tensor,
    sphere: HalfSphere,
    *,
    decay: float,
    pull: float,
    reading: Tensor | None = None,
) -> None:
    """Step of a solver that knows the diagonal of the Hessian, in place; leaves the gradient at zero for the next batch.

    V -= decay (1 - weight inverse) V + pull inverse dV, after the Hermitian pairs of the gradient's x = 0 plane were
    given their mean. Autograd does not notice the change.

    Parameters
    ----------
    volumes, gradient : (W, C, 2), contiguous.
    weight : (W,), what the data put on each voxel.
    inverse : (W, C), of weight + prior precision.
    reading : (W, C, 2) bfloat16, contiguous: becomes a copy of the new volumes, rounded to nearest, for `misfit` to read.
    """
    size, channels, _ = volumes.shape
    _check("volumes", volumes, (sphere.size, channels, 2))
    _check("gradient", gradient, (size, channels, 2))
    _check_in_place("volumes", volumes, _precision(volumes), volumes.device)
    _check_in_place("gradient", gradient, volumes.dtype, volumes.device)
    if reading is not None:
        _check("reading", reading, (size, channels, 2))
        _check_in_place("reading", reading, torch.bfloat16, volumes.device)
    _check("weight", weight, (size,))
    _check("inverse", inverse, (size, channels))
    pairs = mirror_pairs(sphere, volumes.device)
    with torch.no_grad():
        weight, inverse = (tensor.to(volumes.dtype).contiguous() for tensor in (weight, inverse))
        if is_native(volumes):
            _kernel(_native.descend, volumes, gradient, weight, inverse, pairs, -decay, -pull, reading)
        else:
            reference.descend(volumes, gradient, weight, inverse, pairs, decay, pull, reading)


def gram(
    volumes: Tensor, data: Tensor, transfer: Tensor, rotation: Tensor, disc: HalfDisc, sphere: HalfSphere
) -> tuple[Tensor, Tensor]:
    """Inner products of every image's projected channels with each other and with its data; no gradient.

    With U_c = transfer * slice_c and q the pixel weight (1/2 on x = 0):
    G_cd = 2 sum_p q_p Re(conj(U_c) U_d), h_c = 2 sum_p q_p Re(conj(U_c) data).

    Parameters
    ----------
    volumes : (W, C, 2) float32, float64 or bfloat16; see `project`.
    data : (B, P) complex, whitened and centred spectra.
    transfer : (B, P) real, whitened CTF.
    rotation : (B, 3, 3), A.

    Returns
    -------
    G (B, C, C) and h (B, C).
    """
    batch = len(data)
    _check("volumes", volumes, (sphere.size, volumes.shape[1], 2))
    _check("data", data, (batch, disc.size))
    _check("transfer", transfer, (batch, disc.size))
    _check("rotation", rotation, (batch, 3, 3))
    precision = _precision(volumes)
    with torch.no_grad():
        volumes = _readable(volumes)
        if not is_native(volumes):
            return reference.gram(volumes, data, transfer, rotation, disc, sphere)
        matrix, vector = _kernel(
            _native.gram,
            volumes.contiguous(),
            _real_view(data).to(precision),
            transfer.to(precision).contiguous(),
            rotation.to(precision).contiguous(),
            *tables(disc, sphere, volumes.device),
        )
    return matrix, vector


def normal_equations(
    data: Tensor,
    transfer: Tensor,
    first: Tensor,
    second: Tensor,
    rotation: Tensor,
    disc: HalfDisc,
    sphere: HalfSphere,
    matrix: Tensor,
    vector: Tensor,
) -> None:
    """Add a batch to the normal equations of each voxel's C basis values, in place; no gradient.

    matrix[v] += sum_{b,p} q_p w_vp transfer^2 second[b] (upper triangle, row-major) and
    vector[v] += sum_{b,p} q_p w_vp transfer data first[b], data conjugated where the point was negated.

    Parameters
    ----------
    data : (B, P) complex, whitened and centred spectra.
    transfer : (B, P) real, whitened CTF.
    first, second : (B, C) and (B, C, C), first and second moments of the coefficients (second symmetric).
    rotation : (B, 3, 3), A.
    matrix, vector : (W, C (C + 1) / 2) and (W, C, 2), contiguous accumulators.
    """
    batch, channels = first.shape
    _check("data", data, (batch, disc.size))
    _check("transfer", transfer, (batch, disc.size))
    _check("second", second, (batch, channels, channels))
    _check("rotation", rotation, (batch, 3, 3))
    _check("matrix", matrix, (sphere.size, channels * (channels + 1) // 2))
    _check("vector", vector, (sphere.size, channels, 2))
    with torch.no_grad():
        if not is_native(vector):
            reference.normal_equations(data, transfer, first, second, rotation, disc, sphere, matrix, vector)
            return
        numbers = [_real_view(data), transfer, first, second, rotation]
        numbers = [tensor.to(vector.dtype).contiguous() for tensor in numbers]
        _kernel(_native.normal_equations, *numbers, *tables(disc, sphere, vector.device), matrix, vector)
