"""A small problem that every test of the operations can use."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from napari_sbackprop.imaging.grids import HalfDisc, HalfSphere, half_disc, half_sphere
from napari_sbackprop.imaging.poses import random_rotations

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


@dataclass(frozen=True)
class Problem:
    disc: HalfDisc
    sphere: HalfSphere
    volumes: Tensor
    coefficients: Tensor
    rotation: Tensor
    data: Tensor
    transfer: Tensor
    second: Tensor

    def double(self) -> "Problem":
        tensors = (self.volumes, self.coefficients, self.rotation)
        double = [tensor.double() for tensor in tensors]
        data = self.data.to(torch.complex128)
        return Problem(self.disc, self.sphere, *double, data, self.transfer.double(), self.second.double())


def make_problem(
    *,
    radius: int = 10,
    batch: int = 6,
    channels: int = 5,
    device: str = "cpu",
    rotation: Tensor | None = None,
    seed: int = 0,
    stored: torch.dtype = torch.float32,
) -> Problem:
    """Random volumes, stored in one type or another, coefficients, data and, unless given, poses."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    disc, sphere = half_disc(radius), half_sphere(radius)
    if rotation is None:
        rotation = random_rotations(batch, generator)
    batch = len(rotation)
    second = normal(batch, channels, channels)
    return Problem(
        disc=disc,
        sphere=sphere,
        volumes=normal(sphere.size, channels, 2).to(stored),
        coefficients=normal(batch, channels),
        rotation=rotation.float().to(device),
        data=torch.complex(normal(batch, disc.size), normal(batch, disc.size)),
        transfer=normal(batch, disc.size),
        second=second + second.mT,
    )


def relative_error(value: Tensor, truth: Tensor) -> float:
    """Norm of the difference over the norm of the truth."""
    wide = torch.complex128 if truth.is_complex() else torch.float64
    value, truth = value.detach().to(wide), truth.detach().to(wide)
    return float((value - truth).norm() / truth.norm())
