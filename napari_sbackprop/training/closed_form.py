"""Closed-form start: probabilistic PCA of the maps behind the images.

Two exact steps in turn: the posterior of the coefficients for fixed volumes, and a least-squares solve per voxel for
fixed posteriors. States separate within seconds, at low resolution first. Tipping and Bishop, "Probabilistic principal
component analysis", 1999, with the projection and CTF of each image; Punjani and Fleet's 3DVA (2021) is a relative.
"""

from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.grids import HalfSphere, half_sphere
from napari_sbackprop.training.alignment import Alignment
from napari_sbackprop.training.linear_model import LinearModel, posterior_filter
from napari_sbackprop.training.posterior import (
    Posterior,
    image_statistics,
    linear_posterior,
    next_spread,
    relevance,
    scaled_statistics,
)
from napari_sbackprop.training.session import nested, with_prefix
from napari_sbackprop.training.signal_mask import signal_mask
from napari_sbackprop.training.spectra import Spectra
from napari_sbackprop.training.volume_solver import (
    half_set_correlation,
    mask_solution,
    multiply_basis,
    reduced_mask,
    solve_volumes,
)


class Kind(Enum):
    """How an iteration finds the volumes.

    Subspace iteration lets weak directions grow fast, but noise with them; half sets then tell the two apart.
    """

    JOINT = auto()  # subspace iteration on all particles: half sets apart would disagree in sign
    HALVES = auto()  # expectation maximisation, each half set by itself
    SEARCH = auto()  # the directions that died start again, where the known ones showed that something moves


class Iteration(NamedTuple):
    """One step of the schedule."""

    radius: int  # shells
    kind: Kind


_LOW_RESOLUTION = (
    *[Iteration(12, Kind.JOINT)] * 6,
    *[Iteration(20, Kind.JOINT)] * 2,
    *[Iteration(20, Kind.HALVES)] * 4,
)
_SEARCH = (*[Kind.HALVES] * 2, *[Kind.SEARCH] * 6, *[Kind.HALVES] * 2)
_SEARCH_RADII = (32, 20)  # shells; the finest that is well below the full band
_FULL_ITERATIONS = 5
_ALIGNED_FROM = 30  # shells: coarser volumes say less about poses, where finer ones are still to come
LEAST_ALIGNED = 20
"""Shells from which particles are aligned where the full band has no finer ones; of fewer they are not."""
_DEAD = 0.2  # mean information per image below which a direction is lost, in units of the prior's
_EMPTY = 0.1  # and below which it is not worth the full band
_FIRST_SPREAD = 0.1  # of the images' scales


def schedule(radius: int) -> tuple[Iteration, ...]:
    """All iterations for a band of `radius` shells: cheap ones at low resolution first, the last with the full band."""
    low = [iteration for iteration in _LOW_RESOLUTION if iteration.radius < 0.9 * radius]
    joint = [Iteration(radius, Kind.JOINT)] * (0 if low else 8)
    coarse = [shells for shells in _SEARCH_RADII if shells < 0.9 * radius][:1]
    search = [Iteration(shells, kind) for shells in coarse for kind in _SEARCH]
    return *low, *search, *joint, *[Iteration(radius, Kind.HALVES)] * _FULL_ITERATIONS


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
    kind: Kind,
) -> LinearModel:
    """Fix the gauge of a posterior and solve for the volumes.

    Parameters
    ----------
    spectra : at the model's resolution.
    model, posterior : the volumes, and the posterior under them of all particles.
    mask : (m, m, m), applied to every volume.
    sets : indices of the particles that shape the volumes: two halves for `Kind.HALVES`, whose agreement at every
        place and in every shell shrinks the basis, else one set.
    """
    sphere, subspace = model.sphere, kind is not Kind.HALVES  # which ignores the posterior's covariance
    centre, transform = gauge(posterior, sampled=not subspace)
    inverse = torch.linalg.inv(transform)
    mean = (posterior.mean - centre) @ inverse.T
    first = torch.cat([torch.ones_like(mean[:, :1]), mean], dim=1)  # (N, C)
    second = first[:, :, None] * first[:, None, :]
    if not subspace:
        second[:, 1:, 1:] += inverse @ posterior.covariance @ inverse.T
    square = posterior.scale.square() + posterior.scale_variance
    first, second = posterior.scale[:, None] * first, square[:, None, None] * second

    solved = [
        mask_solution(solve_volumes(spectra, sphere, chosen, first, second), sphere, mask) for chosen in sets
    ]
    if kind is Kind.HALVES:
        a, b = solved
        return agreed_model(a, b, sphere, mask)
    (volumes,) = solved
    region = mask
    if kind is Kind.SEARCH:
        region = model.region
        volumes = multiply_basis(volumes, sphere, region)
    unknown = torch.ones(volumes.shape[1], sphere.radius + 1).to(volumes)
    return LinearModel(volumes, sphere, unknown, unknown[:, 0], region)


def agreed_model(a: Tensor, b: Tensor, sphere: HalfSphere, mask: Tensor) -> LinearModel:
    """Mean of two half sets' volumes (W, C, 2), the basis shrunk by their agreement at every place and in every shell."""
    region = signal_mask(a, b, posterior_filter(half_set_correlation(a, b, sphere)), sphere, mask)
    a, b = multiply_basis(a, sphere, region), multiply_basis(b, sphere, region)
    correlation = half_set_correlation(a, b, sphere)
    shrink = posterior_filter(correlation)[:, sphere.shell.clamp(max=sphere.radius)]  # (C, W)
    volumes = (a + b) / 2 * shrink.T[..., None]
    return LinearModel(volumes, sphere, correlation, torch.ones_like(correlation[:, 0]), region)


class ClosedForm:
    """The iterations of the closed-form start.

    Parameters
    ----------
    spectra : at full resolution.
    consensus : linear model without a basis.
    mask : (M, M, M) solvent mask.
    chosen, halves : indices of the particles that shape the volumes, together and as two half sets.
    held_out : indices of the particles that tell signal from fitted noise; may be none.
    latent_size : number of basis volumes to begin with; those that stay empty are dropped before the full band.
    generator : source of the random start.
    alignment : of the particles, corrected between the iterations at fine resolution; None where poses are trusted.
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
        alignment: Alignment | None = None,
    ) -> None:
        self._alignment = alignment
        self.scale_spread = _FIRST_SPREAD
        self.iterations = schedule(spectra.disc.radius)
        self.done = 0
        self.model = consensus.resized(self.iterations[0].radius).with_random_basis(latent_size, generator)
        self._chosen, self._halves, self._held_out, self._generator = chosen, halves, held_out, generator
        # A cropped copy of all spectra is large: keep one.
        self._at_radius = lru_cache(maxsize=1)(
            lambda radius: (spectra.cropped(radius), reduced_mask(mask, radius))
        )

    @property
    def finished(self) -> bool:
        """No iteration is left."""
        return self.done == len(self.iterations)

    @property
    def directions(self) -> int:
        """Number of basis volumes that are left."""
        return self.model.volumes.shape[1] - 1

    @property
    def fraction(self) -> float:
        """Share of the work that is done."""
        cost = [
            (radius + 8) ** 2 for radius, _ in self.iterations
        ]  # measured: images cost r^2, and there is a floor
        return sum(cost[: self.done]) / sum(cost)

    @property
    def worth_showing(self) -> bool:
        """The last iteration ended a stage of resolution, or gave the first look."""
        if self.finished or self.done == 3:
            return True
        return self.iterations[self.done].radius != self.iterations[self.done - 1].radius

    @property
    def half_set_fsc(self) -> Tensor | None:
        """(C, R + 1) between the volumes of the half sets; None where the last iteration solved none apart."""
        halved = self.done > 0 and self.iterations[self.done - 1].kind is Kind.HALVES
        return self.model.correlation if halved else None

    @property
    def _at_full_band_after_halves(self) -> bool:
        """The present iteration has the full band, and half sets have already shrunk what is empty."""
        before, present = self.iterations[max(self.done - 1, 0)], self.iterations[self.done]
        return before.kind is Kind.HALVES and present.radius == self.iterations[-1].radius

    @property
    def _settled(self) -> bool:
        """The present iteration repeats one in which half sets agreed, finely enough to align particles to its volumes."""
        before, present = self.iterations[max(self.done - 1, 0)], self.iterations[self.done]
        least = _ALIGNED_FROM if self.iterations[-1].radius >= _ALIGNED_FROM else LEAST_ALIGNED
        return before == present and present.kind is Kind.HALVES and present.radius >= least

    def posterior(self) -> Posterior:
        """Posterior of all particles under the present model, at its resolution."""
        spectra, _ = self._at_radius(self.model.sphere.radius)
        statistics = image_statistics(spectra, self.model.volumes, self.model.sphere)
        return linear_posterior(*statistics, self.scale_spread)

    def iterate(self) -> Posterior:
        """One iteration; returns the posterior under the volumes that it began with."""
        radius, kind = self.iterations[self.done]
        same_stage = self.model.sphere.radius == radius
        self.model = self.model.resized(radius)
        spectra, mask = self._at_radius(radius)
        posterior = self.posterior()
        self.scale_spread = next_spread(posterior)
        strength = posterior.information.mean(0).diagonal()
        if kind is Kind.SEARCH and self.iterations[self.done - 1].kind is not Kind.SEARCH:
            self.model = self.model.restarted(strength < _DEAD, self._generator)
            posterior = self.posterior()
        elif self._at_full_band_after_halves and (strength < _EMPTY).any():
            self.model = self.model.reduced(strength >= _EMPTY)
            posterior = self.posterior()
        if self._alignment is not None and self._settled:
            self._alignment.step(self.model, posterior.weights)
            self._at_radius.cache_clear()
            spectra, mask = self._at_radius(radius)
            posterior = self.posterior()
        earlier = self.model.relevance if same_stage else None
        sets = self._halves if kind is Kind.HALVES else [self._chosen]
        self.model = update_volumes(spectra, self.model, posterior, mask, sets, kind)
        self.done += 1
        if kind is Kind.HALVES and len(self._held_out):
            statistics = image_statistics(
                spectra.subset(self._held_out), self.model.volumes, self.model.sphere
            )
            statistics = scaled_statistics(*statistics, posterior.scale[self._held_out])
            self.model = self.model.rescaled(relevance(*statistics), earlier)
        return posterior

    def state(self) -> dict[str, Tensor]:
        """What `load` needs to continue."""
        return {
            "volumes": self.model.volumes,
            "correlation": self.model.correlation,
            "relevance": self.model.relevance,
            "region": self.model.region,
            "done": torch.tensor(self.done),
            "scale_spread": torch.tensor(self.scale_spread),
            **({} if self._alignment is None else with_prefix(self._alignment.state(), "alignment.")),
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from a stored `state`."""
        if "scale_spread" not in state:
            raise InputError(
                "The run was begun by an earlier version and cannot be resumed: start a new run."
            )
        if self._alignment is not None:
            self._alignment.load(nested(state, "alignment."))
        self.done = int(state["done"])
        self.scale_spread = float(state["scale_spread"])
        sphere = half_sphere(state["correlation"].shape[1] - 1)
        device = self.model.volumes.device
        volumes, correlation, relevance, region = (
            state[name].to(device) for name in ("volumes", "correlation", "relevance", "region")
        )
        self.model = LinearModel(volumes, sphere, correlation, relevance, region)
