"""Closed-form start: probabilistic PCA of the maps behind the images.

Two exact steps in turn: the posterior of the coefficients for fixed volumes, and a least-squares solve per voxel for
fixed posteriors. States separate within seconds, at low resolution first. Tipping and Bishop, "Probabilistic principal
component analysis", 1999, with the projection and CTF of each image; Punjani and Fleet's 3DVA (2021) is a relative.
"""

from functools import lru_cache

import torch
from torch import Tensor

from napari_sbackprop.imaging.grids import half_sphere
from napari_sbackprop.training.linear_model import LinearModel, posterior_filter
from napari_sbackprop.training.posterior import Posterior, image_statistics, linear_posterior, relevance
from napari_sbackprop.training.spectra import Spectra
from napari_sbackprop.training.volume_solver import (
    half_set_correlation,
    mask_solution,
    reduced_mask,
    solve_volumes,
)

_LOW_RESOLUTION = ((12, 6), (20, 8), (32, 4))  # radius in shells, iterations
_FULL_ITERATIONS = 5
_SUBSPACE_ITERATIONS = 8  # before the half sets are told apart: a joint start, or the halves disagree in sign


def schedule(radius: int) -> tuple[int, ...]:
    """Radius in shells of each iteration: cheap ones at low resolution first, the last with the full band."""
    low = [
        shells for shells, iterations in _LOW_RESOLUTION if shells < 0.9 * radius for _ in range(iterations)
    ]
    return *low, *[radius] * _FULL_ITERATIONS


def gauge(posterior: Posterior, *, sampled: bool) -> tuple[Tensor, Tensor]:
    """Centre and transform T (K, K) of the coefficients, s = centre + T s', that make them a unit Gaussian.

    The axes diagonalise the mean information, most informative first.

    Parameters
    ----------
    sampled : count the posterior covariance as spread; without it the means alone become white (subspace iteration).
    """
    centre = posterior.mean.mean(0)
    spread = torch.cov(posterior.mean.T).reshape(len(centre), len(centre))
    if sampled:
        spread = spread + posterior.covariance.mean(0)
    ridge = 1e-6 * spread.diagonal().mean().clamp(min=1e-12)
    factor = torch.linalg.cholesky(spread + ridge * torch.eye(len(centre)).to(spread))
    _, axes = torch.linalg.eigh(factor.T @ posterior.information.mean(0) @ factor)
    return centre, factor @ axes.flip(-1)


def update_volumes(
    spectra: Spectra,
    model: LinearModel,
    posterior: Posterior,
    mask: Tensor,
    sets: list[Tensor],
    *,
    subspace: bool,
) -> LinearModel:
    """Fix the gauge of a posterior and solve for the volumes.

    Parameters
    ----------
    spectra : at the model's resolution.
    model, posterior : the volumes, and the posterior under them of all particles.
    mask : (m, m, m), applied to every volume.
    sets : indices of the particles that shape the volumes, in one set or in two halves; with two, every basis shell
        is shrunk by its half-set FSC.
    subspace : ignore the posterior covariance (subspace iteration), which lets weak components grow from noise.
    """
    sphere = model.sphere
    centre, transform = gauge(posterior, sampled=not subspace)
    inverse = torch.linalg.inv(transform)
    mean = (posterior.mean - centre) @ inverse.T
    first = torch.cat([torch.ones_like(mean[:, :1]), mean], dim=1)  # (N, C)
    second = first[:, :, None] * first[:, None, :]
    if not subspace:
        second[:, 1:, 1:] += inverse @ posterior.covariance @ inverse.T

    solved = [
        mask_solution(solve_volumes(spectra, sphere, chosen, first, second), sphere, mask) for chosen in sets
    ]
    volumes = torch.stack(solved).mean(0)
    correlation = torch.ones(volumes.shape[1], sphere.radius + 1).to(volumes)
    if len(solved) == 2:
        correlation = half_set_correlation(solved[0], solved[1], sphere)
    shrink = posterior_filter(correlation)[:, sphere.shell.clamp(max=sphere.radius)]  # (C, W)
    return LinearModel(volumes * shrink.T[..., None], sphere, correlation, torch.ones_like(correlation[:, 0]))


class ClosedForm:
    """The iterations of the closed-form start.

    Parameters
    ----------
    spectra : at full resolution.
    consensus : linear model without a basis.
    mask : (M, M, M) solvent mask.
    chosen, halves : indices of the particles that shape the volumes, together and as two half sets.
    held_out : indices of the particles that tell signal from fitted noise; may be none.
    latent_size : number of basis volumes.
    generator : source of the random start.
    """

    def __init__(
        self,
        spectra: Spectra,
        consensus: LinearModel,
        mask: Tensor,
        chosen: Tensor,
        halves: list[Tensor],
        held_out: Tensor,
        latent_size: int,
        generator: torch.Generator,
    ) -> None:
        self.radii = schedule(spectra.disc.radius)
        self.done = 0
        self.model = consensus.resized(self.radii[0]).with_random_basis(latent_size, generator)
        self._chosen, self._halves, self._held_out = chosen, halves, held_out
        # A cropped copy of all spectra is large: keep one.
        self._at_radius = lru_cache(maxsize=1)(
            lambda radius: (spectra.cropped(radius), reduced_mask(mask, radius))
        )

    @property
    def finished(self) -> bool:
        """No iteration is left."""
        return self.done == len(self.radii)

    @property
    def fraction(self) -> float:
        """Share of the work that is done."""
        cost = [(radius + 8) ** 2 for radius in self.radii]  # measured: images cost r^2, and there is a floor
        return sum(cost[: self.done]) / sum(cost)

    @property
    def worth_showing(self) -> bool:
        """The last iteration ended a stage of resolution, or gave the first look."""
        return self.finished or self.done == 3 or self.radii[self.done] != self.radii[self.done - 1]

    def posterior(self) -> Posterior:
        """Posterior of all particles under the present model, at its resolution."""
        spectra, _ = self._at_radius(self.model.sphere.radius)
        return linear_posterior(*image_statistics(spectra, self.model.volumes, self.model.sphere))

    def iterate(self) -> Posterior:
        """One iteration; returns the posterior under the volumes that it began with."""
        radius = self.radii[self.done]
        before, self.model = self.model, self.model.resized(radius)
        spectra, mask = self._at_radius(radius)
        posterior = self.posterior()
        subspace = self.done < _SUBSPACE_ITERATIONS
        sets = [self._chosen] if subspace else self._halves
        self.model = update_volumes(spectra, self.model, posterior, mask, sets, subspace=subspace)
        self.done += 1
        if not subspace and len(self._held_out):
            statistics = image_statistics(
                spectra.subset(self._held_out), self.model.volumes, self.model.sphere
            )
            earlier = before.relevance if before.sphere.radius == radius else None
            self.model = self.model.rescaled(relevance(*statistics), earlier)
        return posterior

    def state(self) -> dict[str, Tensor]:
        """What `load` needs to continue."""
        return {
            "volumes": self.model.volumes,
            "correlation": self.model.correlation,
            "relevance": self.model.relevance,
            "done": torch.tensor(self.done),
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from a stored `state`."""
        self.done = int(state["done"])
        sphere = half_sphere(state["correlation"].shape[1] - 1)
        device = self.model.volumes.device
        volumes, correlation, weights = (
            state[name].to(device) for name in ("volumes", "correlation", "relevance")
        )
        self.model = LinearModel(volumes, sphere, correlation, weights)
