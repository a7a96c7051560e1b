"""Call every operation of a native library, by its path, on problems of all kinds: what a sanitizer watches."""

import sys

import torch
from problem import make_problem
from torch import Tensor

from napari_sbackprop.ops import schemas as schemas  # registers the operations
from napari_sbackprop.ops.tables import mirror_pairs, tables

native = torch.ops.napari_sbackprop
CPU = torch.device("cpu")


def call_everything(radius: int, channels: int, stretch: float, dtype: torch.dtype) -> None:
    """All operations once; `stretch` beyond 1.05 takes the path without boxes."""
    problem = make_problem(radius=radius, batch=24, channels=channels)
    lookup = tables(problem.disc, problem.sphere, CPU)
    data, transfer = torch.view_as_real(problem.data).to(dtype), problem.transfer.to(dtype)
    volumes, coefficients, rotation, second = (
        tensor.to(dtype)
        for tensor in (problem.volumes, problem.coefficients, stretch * problem.rotation, problem.second)
    )
    inputs: tuple[Tensor, ...] = (volumes, coefficients, rotation)
    native.project(*inputs, *lookup)
    native.project_backward(data, *inputs, *lookup, True, True)
    native.gram(volumes, data, transfer, rotation, *lookup)
    matrix = torch.zeros(len(volumes), channels * (channels + 1) // 2, dtype=dtype)
    vector, gradient = torch.zeros_like(volumes), torch.zeros_like(volumes)
    native.normal_equations(data, transfer, coefficients, second, rotation, *lookup, matrix, vector)
    native.misfit(*inputs, data, transfer, torch.arange(24).flip(0), *lookup, gradient)
    weight, inverse = matrix[:, 0].contiguous(), torch.rand(len(volumes), channels, dtype=dtype)
    native.descend(volumes, gradient, weight, inverse, mirror_pairs(problem.sphere, CPU), -0.1, -0.2)


if __name__ == "__main__":
    torch.ops.load_library(sys.argv[1])
    torch.set_num_threads(8)
    for channels in (1, 3, 17):
        for stretch in (1.0, 1.6):
            for dtype in (torch.float32, torch.float64):
                call_everything(12, channels, stretch, dtype)
    call_everything(30, 17, 1.0, torch.float32)
