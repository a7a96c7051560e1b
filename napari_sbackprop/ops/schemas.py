"""Schemas, fake kernels and autograd of the native operations; the CPU and CUDA kernels register themselves here.

Tensors at this border are real, with a trailing 2 for real and imaginary parts, and contiguous.
"""

from typing import Any

import torch
from torch import Tensor

from napari_sbackprop.ops.threads import threads_of_kernels

NAMESPACE = "napari_sbackprop"
_TABLES = "Tensor pixels, Tensor tile_starts, Tensor tile_centres, Tensor row, int radius"

_torch_library: Any = torch.library  # its functions carry no annotations
library = _torch_library.Library(NAMESPACE, "DEF")
library.define(
    f"project(Tensor volumes, Tensor coefficients, Tensor rotation, {_TABLES}) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
library.define(
    f"project_backward(Tensor gradient, Tensor volumes, Tensor coefficients, Tensor rotation, {_TABLES},"
    " bool need_volumes, bool need_rotation) -> (Tensor, Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
library.define(
    "misfit(Tensor volumes, Tensor coefficients, Tensor rotation, Tensor data, Tensor transfer, Tensor rows,"
    f" {_TABLES}, Tensor(a!) gradient) -> (Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
library.define(
    "descend(Tensor(a!) volumes, Tensor(b!) gradient, Tensor weight, Tensor inverse, Tensor pairs, float decay,"
    " float pull, Tensor(c!)? reading=None) -> ()",
    tags=(torch.Tag.pt2_compliant_tag,),
)
library.define(
    f"gram(Tensor volumes, Tensor data, Tensor transfer, Tensor rotation, {_TABLES}) -> (Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
library.define(
    f"normal_equations(Tensor data, Tensor transfer, Tensor first, Tensor second, Tensor rotation, {_TABLES},"
    " Tensor(a!) matrix, Tensor(b!) vector) -> ()",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def _fake_project(volumes: Tensor, coefficients: Tensor, rotation: Tensor, pixels: Tensor, *_: Any) -> Tensor:
    return coefficients.new_empty(coefficients.shape[0], pixels.shape[0], 2)


def _fake_project_backward(
    gradient: Tensor,
    volumes: Tensor,
    coefficients: Tensor,
    rotation: Tensor,
    pixels: Tensor,
    tile_starts: Tensor,
    tile_centres: Tensor,
    row: Tensor,
    radius: int,
    need_volumes: bool,
    need_rotation: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    size, channels, _ = volumes.shape
    return (
        coefficients.new_empty(size if need_volumes else 0, channels, 2),
        torch.empty_like(coefficients),
        rotation.new_empty(rotation.shape[0] if need_rotation else 0, 3, 3),
    )


def _fake_misfit(volumes: Tensor, coefficients: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return coefficients.new_empty(coefficients.shape[0]), torch.empty_like(coefficients)


def _fake_gram(volumes: Tensor, data: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    batch, channels = data.shape[0], volumes.shape[1]
    return data.new_empty(batch, channels, channels), data.new_empty(batch, channels)


def _fake_in_place(*_: Any) -> None:
    return None


def _save_for_project(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, radius = inputs
    ctx.save_for_backward(*tensors)
    ctx.radius = radius


def _differentiate_project(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    needs_volumes, needs_coefficients, needs_rotation = ctx.needs_input_grad[:3]
    with threads_of_kernels():
        volumes, coefficients, rotation = torch.ops.napari_sbackprop.project_backward(
            gradient.contiguous(), *ctx.saved_tensors, ctx.radius, needs_volumes, needs_rotation
        )
    return (
        volumes if needs_volumes else None,
        coefficients if needs_coefficients else None,
        rotation if needs_rotation else None,
        *(None,) * 5,
    )


for _name, _fake in {
    "project": _fake_project,
    "project_backward": _fake_project_backward,
    "misfit": _fake_misfit,
    "descend": _fake_in_place,
    "gram": _fake_gram,
    "normal_equations": _fake_in_place,
}.items():
    _torch_library.register_fake(f"{NAMESPACE}::{_name}", _fake, lib=library)
_torch_library.register_autograd(
    f"{NAMESPACE}::project", _differentiate_project, setup_context=_save_for_project, lib=library
)
