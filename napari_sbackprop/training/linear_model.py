"""Linear model: the volumes of a decoder whose coefficients are the latent itself."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napari_sbackprop.imaging.grids import HalfSphere, half_sphere
from napari_sbackprop.imaging.shells import shell_mean
from napari_sbackprop.training.volume_solver import multiply_maps

_LEAST_CORRELATION = 0.1  # a basis shell is never shrunk below this, so that it can recover
_LEAST_RELEVANCE = 1e-4  # less is nothing: dying volumes would end as denormal numbers, which are slow
_RANDOM_AMPLITUDE = 0.1  # of random volumes, relative to the consensus


@dataclass(frozen=True, eq=False)
class LinearModel:
    """Consensus and basis for the slicer (the gridding correction is divided out).

    Attributes
    ----------
    volumes : (W, C, 2) float32, channel 0 the consensus, as the posterior uses them.
    sphere : their voxels.
    correlation : (C, R + 1), half-set FSC of each channel by shell, between 0 and 1; ones where not measured.
    relevance : (C,), variance of the coefficients among held-out particles, at most 1, multiplied over the iterations
        at this resolution: near 0 where held-out particles deny a direction again and again.
    region : (m, m, m), 0 to 1, where the basis may differ from zero; any box with room for the sphere.
    """

    volumes: Tensor
    sphere: HalfSphere
    correlation: Tensor
    relevance: Tensor
    region: Tensor

    @property
    def shrinkage(self) -> Tensor:
        """(C, R + 1), the factor by which the data's own solution is best shrunk: 2 FSC / (1 + FSC) times relevance."""
        return 2 * self.correlation / (1 + self.correlation) * self.relevance[:, None]

    @property
    def decode_filter(self) -> Tensor:
        """(C, R + 1): turns the volumes of the posterior into the best estimate, 2 FSC / (1 + FSC) of the average."""
        best = 2 * self.correlation / (1 + self.correlation)
        best[0] = 1
        return best / posterior_filter(self.correlation)

    def rescaled(self, relevance: Tensor, earlier: Tensor | None) -> "LinearModel":
        """Scale the basis by the spread (K,) of held-out coefficients, so that the unit prior fits them.

        `earlier` is the relevance (C,) after the iterations before, None where there were none at this resolution.
        """
        kept = torch.where(relevance < _LEAST_RELEVANCE, 0.0, relevance.clamp(max=1))
        channels = torch.cat([torch.ones_like(kept[:1]), kept])
        return replace(
            self,
            volumes=self.volumes * channels.sqrt()[:, None],
            relevance=channels if earlier is None else channels * earlier,
        )

    def resized(self, radius: int) -> "LinearModel":
        """The same volumes with shells 0 ... radius; new shells are empty."""
        if radius == self.sphere.radius:
            return self
        sphere = half_sphere(radius)
        volumes = resized_volumes(self.volumes, self.sphere, sphere)
        shared = min(radius, self.sphere.radius) + 1
        correlation = self.correlation.new_ones(len(self.correlation), radius + 1)
        correlation[:, :shared] = self.correlation[:, :shared]
        return LinearModel(volumes, sphere, correlation, self.relevance, self.region)

    def with_random_basis(self, count: int, generator: torch.Generator) -> "LinearModel":
        """Add random volumes."""
        volumes = torch.cat([self.volumes, self._random(count, generator)], dim=1)
        correlation = self.correlation.new_ones(count, self.correlation.shape[1])
        relevance = torch.cat([self.relevance, self.relevance.new_ones(count)])
        return LinearModel(
            volumes, self.sphere, torch.cat([self.correlation, correlation]), relevance, self.region
        )

    def restarted(self, directions: Tensor, generator: torch.Generator) -> "LinearModel":
        """Replace some directions (K,) bool by random volumes inside the region."""
        noise = self._random(int(directions.sum()), generator)
        volumes = self.volumes.clone()
        volumes[:, 1:][:, directions] = multiply_maps(noise, self.sphere, self.region)
        return replace(self, volumes=volumes)

    def reduced(self, directions: Tensor) -> "LinearModel":
        """Keep some directions (K,) bool; the first, if none would be left."""
        kept = torch.cat([torch.ones_like(directions[:1]), directions])
        kept[1] |= not directions.any()
        return replace(
            self,
            volumes=self.volumes[:, kept].contiguous(),
            correlation=self.correlation[kept],
            relevance=self.relevance[kept],
        )

    def _random(self, count: int, generator: torch.Generator) -> Tensor:
        shell = self.sphere.shell
        power = shell_mean(self.volumes[:, 0].square().sum(-1).cpu(), shell, int(shell.max()) + 1)
        noise = torch.randn(self.sphere.size, count, 2, generator=generator)
        return (noise * (_RANDOM_AMPLITUDE * (power / 2).sqrt()[shell])[:, None, None]).to(self.volumes)


def resized_volumes(volumes: Tensor, old: HalfSphere, new: HalfSphere) -> Tensor:
    """Volumes (W, C, 2) on another half sphere; shells that the old one lacks are empty."""
    smaller, larger = sorted((old, new), key=lambda item: item.radius)
    kept = torch.nonzero(smaller.shell <= smaller.radius).squeeze(-1)
    x, y, z = smaller.coordinates[kept].unbind(-1)
    counterpart = larger.row.long()[z + larger.offset, y + larger.offset] + x
    source, target = (kept, counterpart) if smaller is old else (counterpart, kept)
    result = volumes.new_zeros(new.size, *volumes.shape[1:])
    result[target.to(volumes.device)] = volumes[source.to(volumes.device)]
    return result


def posterior_filter(correlation: Tensor) -> Tensor:
    """Factor (C, R + 1) on each shell of the averaged half-set volumes; the consensus is well determined and stays."""
    shrink = correlation.clamp(min=_LEAST_CORRELATION)
    return torch.cat([torch.ones_like(shrink[:1]), shrink[1:]])
