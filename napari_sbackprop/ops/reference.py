"""Plain PyTorch twin of the native operation: fallback on every device, float64 oracle, and honest baseline.

It mixes whole volumes first, U = sum_c s_c V_c for each image, and gathers eight corners of U, where the native kernels
never form U. Nothing here is specific to a device or a precision; ``project`` is differentiated by autograd.

Shapes: B batch, P half-disc pixels, W half-sphere voxels, C = K + 1 channels (channel 0 is the consensus volume).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_sbackprop.imaging.grids import HalfDisc, HalfSphere

_CHUNK_FLOATS = 2**24  # of the largest intermediate, 64 MB in float32


@dataclass(frozen=True)
class Corners:
    """The trilinear stencil of every pixel of a batch.

    Attributes
    ----------
    index : (B, P, 8) int64, stored voxels.
    weight : (B, P, 8), trilinear weights; zero for points beyond the sphere. Differentiable in the rotation.
    sign : (B, P), -1 where p_x < 0: the point was negated and the value must be conjugated (Friedel), else +1.
    """

    index: Tensor
    weight: Tensor
    sign: Tensor


def corners(rotation: Tensor, disc: HalfDisc, sphere: HalfSphere) -> Corners:
    """Find the eight stored voxels around p = x A[0] + y A[1] and their weights.

    Parameters
    ----------
    rotation : (B, 3, 3), rows are the image axes in the map's frame (A of conventions, k3 = A^T (kx, ky, 0)).
    """
    device = rotation.device
    pixels = disc.coordinates.to(rotation)
    point = pixels @ rotation[:, :2]  # (B, P, 3)
    sign = torch.where(point[..., 0] < 0, -1.0, 1.0).to(rotation)
    point = point * sign[..., None]
    inside = point.square().sum(-1) <= (sphere.radius + 0.5) ** 2  # (B, P)
    point = torch.where(inside[..., None], point, 0.0)

    cell = point.detach().floor()
    fraction = point - cell
    x, y, z = cell.long().unbind(-1)
    row = sphere.row.to(device)
    index, weight = [], []
    for dz in (0, 1):
        for dy in (0, 1):
            start = row[z + dz + sphere.offset, y + dy + sphere.offset].long() + x
            for dx in (0, 1):
                near = [f if d else 1 - f for f, d in zip(fraction.unbind(-1), (dx, dy, dz), strict=True)]
                index.append(start + dx)
                weight.append(near[0] * near[1] * near[2])
    return Corners(torch.stack(index, -1), torch.stack(weight, -1) * inside[..., None], sign)


def _conjugate_where(values: Tensor, sign: Tensor) -> Tensor:
    return torch.complex(values.real, values.imag * sign)


def _batch_chunks(batch: int, floats_per_image: int) -> list[slice]:
    step = max(1, _CHUNK_FLOATS // floats_per_image)
    return [slice(start, min(start + step, batch)) for start in range(0, batch, step)]


def project(
    volumes: Tensor, coefficients: Tensor, rotation: Tensor, disc: HalfDisc, sphere: HalfSphere
) -> Tensor:
    """Slice the volume of each image: X[b, p] = sum_v w_v(b, p) sum_c s[b, c] V[v, c].

    Parameters
    ----------
    volumes : (W, C, 2) real, interleaved real and imaginary parts.
    coefficients : (B, C).
    rotation : (B, 3, 3).

    Returns
    -------
    (B, P) complex central slices, before CTF and shift.
    """
    size, channels, _ = volumes.shape
    basis = volumes.permute(1, 0, 2).reshape(channels, 2 * size)
    slices = []
    for chunk in _batch_chunks(len(coefficients), 2 * size):
        mixed = (coefficients[chunk] @ basis).view(-1, 2)  # (b * W, 2)
        stencil = corners(rotation[chunk], disc, sphere)
        image = torch.arange(len(stencil.index), device=volumes.device)
        index = stencil.index + size * image[:, None, None]
        gathered = mixed.index_select(0, index.flatten()).view(*index.shape, 2)  # (b, P, 8, 2)
        values = (gathered * stencil.weight[..., None]).sum(-2)
        slices.append(torch.complex(values[..., 0], values[..., 1] * stencil.sign))
    return torch.cat(slices)


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
    """Misfit and its gradients by autograd; see `ops.misfit`."""
    volumes, coefficients = volumes.detach().requires_grad_(), coefficients.detach().requires_grad_()
    with torch.enable_grad():
        slices = project(volumes, coefficients, rotation, disc, sphere)
        residual = torch.view_as_real(transfer[rows] * slices - data[rows]).square().sum(-1)
        energy = residual @ disc.weight.to(residual)
        slope_of_volumes, slope = torch.autograd.grad(energy.sum(), (volumes, coefficients))
    gradient += slope_of_volumes
    return energy.detach(), slope


def gram(
    volumes: Tensor, data: Tensor, transfer: Tensor, rotation: Tensor, disc: HalfDisc, sphere: HalfSphere
) -> tuple[Tensor, Tensor]:
    """Inner products of every image's projected channels with each other and with its data.

    With U_c = transfer * slice_c and q the pixel weight (1/2 on x = 0):
    G_cd = 2 sum_p q_p Re(conj(U_c) U_d), h_c = 2 sum_p q_p Re(conj(U_c) data).

    Parameters
    ----------
    volumes : (W, C, 2) real.
    data : (B, P) complex, whitened and centred spectra.
    transfer : (B, P) real, whitened CTF.
    rotation : (B, 3, 3).

    Returns
    -------
    G (B, C, C) and h (B, C).
    """
    size, channels, _ = volumes.shape
    rows = volumes.reshape(size, 2 * channels)
    scale = (2 * disc.weight.to(volumes)).sqrt()
    products, projections = [], []
    for chunk in _batch_chunks(len(data), 16 * channels * disc.size):
        stencil = corners(rotation[chunk], disc, sphere)
        gathered = rows[stencil.index]  # (b, P, 8, 2C)
        values = torch.einsum("bpe,bpei->bpi", stencil.weight, gathered)
        values = values * (scale * transfer[chunk])[..., None]
        columns = values.view(*stencil.sign.shape, channels, 2).transpose(2, 3).flatten(1, 2)  # (b, 2P, C)
        # Conjugating the data instead of the slice where the point was negated leaves every product unchanged.
        target = torch.view_as_real(_conjugate_where(data[chunk], stencil.sign)) * scale[:, None]
        products.append(columns.mT @ columns)
        projections.append((columns.mT @ target.reshape(len(columns), -1, 1).to(columns))[..., 0])
    return torch.cat(products), torch.cat(projections)


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
    """Add a batch to the normal equations of each voxel's C basis values, in place.

    matrix[v] += sum_{b,p} q_p w_vp transfer^2 second[b] (upper triangle, row-major) and
    vector[v] += sum_{b,p} q_p w_vp transfer data first[b], data conjugated where the point was negated.

    Parameters
    ----------
    data : (B, P) complex, whitened and centred spectra.
    transfer : (B, P) real, whitened CTF.
    first, second : (B, C) and (B, C, C), first and second moments of the coefficients (second symmetric).
    rotation : (B, 3, 3).
    matrix, vector : (W, C (C + 1) / 2) and (W, C, 2), accumulators.
    """
    size, channels, _ = vector.shape
    upper = torch.triu_indices(channels, channels, device=second.device)
    packed = second[:, upper[0], upper[1]]  # (B, C (C + 1) / 2)
    weight = disc.weight.to(transfer)
    for chunk in _batch_chunks(len(data), 3 * size):
        stencil = corners(rotation[chunk], disc, sphere)
        back = torch.view_as_real(_conjugate_where(data[chunk] * (weight * transfer[chunk]), stencil.sign))
        power = (weight * transfer[chunk].square())[..., None]
        values = torch.cat([power, back.to(power)], dim=-1)  # (b, P, 3)
        spread = stencil.weight[..., None] * values[:, :, None]  # (b, P, 8, 3)
        image = torch.arange(len(values), device=data.device)
        index = stencil.index + size * image[:, None, None]
        box = torch.zeros(len(values) * size, 3, dtype=power.dtype, device=data.device)
        box.index_add_(0, index.flatten(), spread.view(-1, 3))
        scalar, real, imaginary = box.view(-1, size, 3).unbind(-1)  # (b, W) each
        matrix.addmm_(scalar.T, packed[chunk])
        vector[..., 0].addmm_(real.T, first[chunk])
        vector[..., 1].addmm_(imaginary.T, first[chunk])


def tie_pairs(values: Tensor, pairs: Tensor) -> None:
    """Give both voxels of each Hermitian pair (n, 2) the mean of their values (W, ..., 2), one conjugated; in place."""
    first, second = pairs.unbind(-1)
    conjugate = torch.tensor([1.0, -1.0]).to(values)
    mean = (values[first] + values[second] * conjugate) / 2
    values[first] = mean
    values[second] = mean * conjugate


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
    """Preconditioned step, in place; see `ops.descend`. `pairs` (n, 2) holds the Hermitian pairs of the x = 0 plane."""
    tie_pairs(gradient, pairs)
    volumes -= (
        decay * (1 - weight[:, None] * inverse)[..., None] * volumes + pull * inverse[..., None] * gradient
    )
    gradient.zero_()
    if reading is not None:
        reading.copy_(volumes)
