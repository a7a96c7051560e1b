"""The default recipe on particles that are in memory already: no file is read, none is written."""

from dataclasses import dataclass, field

import torch
from device import now
from torch import Tensor

from napari_sbackprop.config import Config
from napari_sbackprop.imaging.grids import half_sphere
from napari_sbackprop.imaging.masks import soft_ball
from napari_sbackprop.training.closed_form import ClosedForm
from napari_sbackprop.training.linear_model import LinearModel
from napari_sbackprop.training.spectra import Spectra
from napari_sbackprop.training.variational import VariationalStage
from napari_sbackprop.training.volume_solver import back_project, mask_solution


def explained(latents: Tensor, truth: Tensor) -> float:
    """Share of the variance of the true coefficients (N, L) that is linear in latents (N, Z)."""
    known = torch.cat([torch.ones_like(latents[:, :1]), latents], dim=1).double()
    truth = truth.double()
    factors = torch.linalg.solve(known.T @ known, known.T @ truth)
    return float(1 - (truth - known @ factors).var(dim=0).sum() / truth.var(dim=0).sum())


@dataclass
class Training:
    """A run of the default recipe.

    Attributes
    ----------
    seconds : of each part, by name.
    explained : share of the variance of the truth in the latents, after each part that has some.
    directions : basis volumes that the closed-form start kept.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    explained: dict[str, float] = field(default_factory=dict)
    directions: int = 0


def consensus_of(spectra: Spectra, chosen: Tensor, mask: Tensor) -> LinearModel:
    """Model without a basis: the back-projection of all particles, inside the mask (M, M, M)."""
    sphere = half_sphere(spectra.disc.radius)
    volumes = mask_solution(back_project(spectra, sphere, chosen), sphere, mask)
    correlation = torch.ones(1, sphere.radius + 1).to(volumes)
    return LinearModel(volumes, sphere, correlation, correlation[:, 0], mask)


def train_in_memory(spectra: Spectra, truth: Tensor, config: Config) -> Training:
    """Consensus, closed-form start, VAE and the latents of all particles, each timed."""
    device, box = spectra.rotation.device, 2 * (spectra.disc.radius + 1)
    generator, result = torch.Generator().manual_seed(config.seed), Training()
    order = torch.randperm(spectra.count, generator=generator)
    held_out, chosen = order.tensor_split([round(config.held_out * spectra.count)])
    halves = [chosen[0::2], chosen[1::2]]
    mask = soft_ball(box, 0.425 * box, edge=0.05 * box, dimensions=3).to(device)

    moments = [now(device)]

    def done(part: str) -> None:
        moments.append(now(device))
        result.seconds[part] = result.seconds.get(part, 0.0) + moments[-1] - moments[-2]

    consensus = consensus_of(spectra, chosen, mask)
    done("consensus")
    start = ClosedForm(spectra, consensus, mask, chosen, halves, held_out, config.latent_size, generator)
    while not start.finished:
        start.iterate()
    done("closed form")
    result.explained["closed form"] = explained(start.posterior().mean, truth)
    result.directions = start.directions
    done("its score")
    model, spread = start.model, start.scale_spread
    vae = VariationalStage(config, model, spread, spectra, mask, chosen, held_out, generator)
    done("VAE, preparation")
    for _ in range(config.epochs):
        for _ in vae.epoch():
            pass
        done("VAE, epochs")
        posterior, _ = vae.outcome()  # as training asks for it after each epoch
        done("latents of all after each epoch")
    del result.seconds["its score"]
    result.explained["VAE"] = explained(posterior.mean, truth)
    return result
