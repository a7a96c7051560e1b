"""Alignment of particles to a model: small corrections of pose, shift and defocus.

Each particle takes Gauss-Newton steps on the misfit of its image to its own map, c (V_0 + sum_k s_k V_k), under a Gaussian
prior whose width is learnt from all particles: where images say nothing, or were aligned well, little moves.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from napari_sbackprop import ops
from napari_sbackprop.data.corrections import DEFOCUS, PARAMETERS, SHIFT, TURN
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.imaging.grids import HalfDisc
from napari_sbackprop.imaging.poses import rotation_vectors_to_matrix, shift_phase
from napari_sbackprop.training.image_model import transfer_function
from napari_sbackprop.training.linear_model import LinearModel
from napari_sbackprop.training.posterior import inverse_from
from napari_sbackprop.training.spectra import Spectra

_POSE = ((TURN, np.radians(1.0)), (SHIFT, 0.5))  # parameters, and where their spread begins: rad, px
_CTF = ((DEFOCUS, 200.0),)  # Å
_DEFOCUS_STEP = 50.0  # Å, of the difference that stands for the derivative
_BATCH = 256


class Alignment:
    """Corrections of N particles, and the spectra that they are applied to.

    Parameters
    ----------
    particles : as they were read; their poses and CTFs are where the corrections begin.
    spectra : theirs, at full resolution; changed in place by every step.
    noise : (G, R + 1), variance by optics group and shell, as `noise_spectra` gives it.
    poses, ctf : correct turns and shifts; correct defocus.

    Attributes
    ----------
    corrections : (N, 6), changed in place; `data.corrections` says what they are.
    spread : (6,), standard deviation of the corrections' prior; 0 where nothing is corrected.
    """

    def __init__(
        self, particles: Particles, spectra: Spectra, noise: Tensor, *, poses: bool, ctf: bool
    ) -> None:
        self._particles, self._spectra, self._noise = particles, spectra, noise
        self._first_rotation = spectra.rotation.clone()
        self.corrections = spectra.rotation.new_zeros(spectra.count, PARAMETERS)
        self.spread = spectra.rotation.new_zeros(PARAMETERS)
        self._poses, self._ctf = poses, ctf
        self._groups = [*(_POSE if poses else ()), *(_CTF if ctf else ())]
        for group, first in self._groups:
            self.spread[group] = first
        self._active = torch.nonzero(self.spread).squeeze(-1)

    def step(self, model: LinearModel, weights: Tensor) -> None:
        """Correct every particle once, given the volumes and its weights (N, C) of them, and learn the prior's width."""
        squares, everyone = torch.zeros_like(self.spread), torch.arange(self._spectra.count)
        parts = self._spectra.parts(everyone, _BATCH)
        for rows, (_, part) in zip(everyone.split(_BATCH), parts, strict=True):
            coarse = part.cropped(model.sphere.radius)
            corrected, variance = self._solve(model, weights[rows], coarse, rows)
            self._apply(rows, corrected)
            squares += (corrected.square() + variance).sum(0)
        for group, _ in self._groups:
            self.spread[group] = (squares[group].mean() / self._spectra.count).sqrt()

    def state(self) -> dict[str, Tensor]:
        """What `load` needs to continue."""
        return {"corrections": self.corrections, "spread": self.spread}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a stored `state`; the spectra must be as they were read."""
        self.spread.copy_(state["spread"])
        for rows in torch.arange(self._spectra.count).split(_BATCH):
            self._apply(rows, state["corrections"][rows].to(self.corrections))

    def _solve(
        self, model: LinearModel, weights: Tensor, part: Spectra, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Corrections (B, 6) after a step, where it lowers the misfit, and their posterior variances (B, 6)."""
        disc, weight, present = part.disc, part.disc.weight.to(weights), self.corrections[rows]

        def slices(turn: Tensor) -> Tensor:
            rotation = rotation_vectors_to_matrix(turn) @ part.rotation
            return ops.project(model.volumes, weights, rotation, disc, model.sphere)

        def objective(residual: Tensor, corrections: Tensor) -> Tensor:
            return (residual.abs().square() @ weight) + (precision * corrections[:, active].square()).sum(
                -1
            ) / 2

        active = self._active
        precision = self.spread[active] ** -2
        prediction = slices(torch.zeros_like(present[:, TURN]))
        residual = part.data - part.transfer * prediction
        jacobian = torch.cat([*self._derivatives(part, prediction, slices, rows)], dim=-1)  # (B, P, active)
        weighted = jacobian.conj() * (2 * weight[:, None])
        factor = torch.linalg.cholesky((weighted.mT @ jacobian).real + torch.diag(precision))
        pull = (weighted.mT @ residual[..., None]).real[..., 0] - precision * present[:, active]
        change, variance = torch.zeros_like(present), torch.zeros_like(present)
        covariance = inverse_from(factor)
        change[:, active] = (covariance @ pull[..., None])[..., 0]
        variance[:, active] = covariance.diagonal(dim1=-2, dim2=-1)

        proposed = present + change
        transfer = self._transfer(rows, disc, proposed) if self._ctf else part.transfer
        phase = shift_phase(disc.coordinates, change[:, SHIFT], self._particles.box)
        proposed_residual = part.data - transfer * slices(change[:, TURN]) * phase
        better = objective(proposed_residual, proposed) < objective(residual, present)
        return torch.where(better[:, None], proposed, present), variance

    def _derivatives(
        self, part: Spectra, prediction: Tensor, slices: Callable[[Tensor], Tensor], rows: Tensor
    ) -> Iterator[Tensor]:
        """Derivatives (B, P, n) of the predicted spectra in the active parameters, in their order."""
        image, present = part.transfer * prediction, self.corrections[rows]
        if self._poses:
            step = 0.5 / part.disc.radius  # half a voxel at the edge of the band
            for axis in step * torch.eye(3).to(present):
                turn = axis.expand(len(rows), 3)
                yield (part.transfer * (slices(turn) - slices(-turn)) / (2 * step))[..., None]
            yield image[..., None] * (2j * np.pi / self._particles.box * part.disc.coordinates.to(present))
        if self._ctf:
            change = torch.zeros_like(self.spread)
            change[DEFOCUS] = _DEFOCUS_STEP
            ahead, behind = (self._transfer(rows, part.disc, present + sign * change) for sign in (1, -1))
            yield ((ahead - behind) / (2 * _DEFOCUS_STEP) * prediction)[..., None]

    def _transfer(self, rows: Tensor, disc: HalfDisc, corrections: Tensor) -> Tensor:
        """Whitened transfer (B, P) under some corrections (B, 6)."""
        indices = rows.numpy()
        defocus = self._particles.defocus.copy()
        defocus[indices, :2] += corrections[:, DEFOCUS].cpu().numpy()
        transfer = transfer_function(replace(self._particles, defocus=defocus), indices, disc)
        group = torch.from_numpy(self._particles.optics_index[indices]).long()
        transfer /= self._noise.sqrt()[:, disc.shell][group]
        return transfer.to(corrections)

    def _apply(self, rows: Tensor, corrections: Tensor) -> None:
        spectra, change = self._spectra, corrections - self.corrections[rows]
        spectra.rotation[rows] = rotation_vectors_to_matrix(corrections[:, TURN]) @ self._first_rotation[rows]
        phase = shift_phase(spectra.disc.coordinates, change[:, SHIFT], self._particles.box)
        spectra.data[rows] *= phase.conj().to(spectra.data)
        if self._ctf:
            spectra.transfer[rows] = self._transfer(rows, spectra.disc, corrections).to(spectra.transfer)
        self.corrections[rows] = corrections
