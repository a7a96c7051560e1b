"""Directions in which the particles of one epoch differ, ready to move along."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_sbackprop.analysis.axes import Axes, principal_directions
from napari_sbackprop.analysis.variability import basis_shares, centre_of_change, collectivity
from napari_sbackprop.gui.explorer_model import PCA, Scene
from napari_sbackprop.gui.projection import Anchor, Projection
from napari_sbackprop.gui.subject import Place, Volume

PRINCIPAL, BASIS = "principal components", "basis volumes"

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Directions:
    """Principal components of the latents, or the basis volumes, with the particles along them.

    A state is a latent (D = Z), or the coefficients of the basis volumes (D = K).

    Attributes
    ----------
    kind : PRINCIPAL or BASIS.
    axes : directions of the states.
    share : (D,) of the variance, of the latents or of the maps.
    cloud : states of the scene's sample of particles.
    slopes : (D, 2) steps in the plane of the PCA for a standard deviation along each direction.
    """

    scene: Scene
    kind: str
    axes: Axes
    share: npt.NDArray[np.float64]
    cloud: Projection
    slopes: Array

    @classmethod
    def find(cls, scene: Scene, kind: str) -> "Directions":
        """Directions of one kind; takes a moment."""
        latents = scene.latents[scene.sample]
        if kind == BASIS:
            states = scene.decoder.coefficients(latents)[:, 1:]
            axes = Axes.through(states, np.eye(states.shape[1], dtype=np.float32))
            share = basis_shares(scene.decoder.basis[1:], states)
        else:
            axes = Axes.through(latents, principal_directions(latents))
            states, share = latents, np.square(axes.deviation) / np.square(axes.deviation).sum()
        plane = scene.projections[PCA].coordinates[scene.sample]
        slopes, *_ = np.linalg.lstsq(axes.position(states), plane - plane.mean(0))
        return cls(scene, kind, axes, share, Projection.build(kind, states), slopes)

    def __len__(self) -> int:
        """D."""
        return len(self.share)

    def name(self, index: int) -> str:
        """What people call a direction."""
        return f"{'V' if self.kind == BASIS else 'PC'} {index + 1}"

    def position_of(self, anchor: Anchor | None) -> Array:
        """Position (D,) of a place among the particles, that of their mean without one."""
        if anchor is None:
            return np.zeros(len(self), np.float32)
        latent = anchor.mean(self.scene.latents)
        if self.kind == BASIS:
            return self.axes.position(self.scene.decoder.coefficients(latent[None])[0, 1:])
        return self.axes.position(latent)

    def anchor(self, position: Array) -> Anchor:
        """The place among the particles whose states are nearest to a position."""
        near = self.cloud.anchor(self.axes.state(position))
        return Anchor(self.scene.sample[near.indices], near.weights, near.remoteness)

    def point(self, position: Array, anchor: Anchor, projection: Projection) -> tuple[float, float]:
        """Where a position lies in a projection: exactly, by its principal components, in the plane of the PCA."""
        if projection.method == PCA:
            x, y = projection.coordinates[self.scene.sample].mean(0) + position @ self.slopes
        else:
            x, y = anchor.mean(projection.coordinates)
        return float(x), float(y)

    def place(self, position: Array, title: str) -> Place:
        """The place at a position; in another epoch, that of the particles that were nearest."""
        anchor, state = self.anchor(position), self.axes.state(position)
        if self.kind == BASIS:
            return Place(anchor, title, self.scene.epoch, coefficients=_with_consensus(state))
        return Place(anchor, title, self.scene.epoch, latent=state)

    def decode(self, position: Array) -> Volume:
        """Map (M, M, M) at a position."""
        state, decoder = self.axes.state(position), self.scene.decoder
        return decoder.mixed(_with_consensus(state)) if self.kind == BASIS else decoder.volume(state)

    def unit(self, index: int) -> Array:
        """Position one standard deviation along a direction, and at the mean along all others."""
        return np.eye(len(self), dtype=np.float32)[index]

    def change(self, index: int) -> "Change":
        """What one standard deviation along a direction does to the map."""
        scene, unit = self.scene, self.unit(index)
        change = np.float32(0.5) * (self.decode(unit) - self.decode(-unit))
        particle = scene.decoder.consensus() >= scene.contour * scene.sigma
        return Change(
            index,
            centre_of_change(change, scene.decoder.pixel_size),
            collectivity(change, particle),
            float(np.abs(change).max() / scene.sigma),
        )


@dataclass(frozen=True, eq=False)
class Change:
    """Where the map changes along a direction.

    Attributes
    ----------
    index : of the direction.
    centre : (3,) [x, y, z], angstrom from the centre of the box.
    part : share of the particle that takes part.
    strength : largest change for one standard deviation, in sigma.
    """

    index: int
    centre: npt.NDArray[np.float64]
    part: float
    strength: float


def _with_consensus(state: Array) -> Array:
    """Coefficients (K + 1,) of the basis for those (K,) of its volumes beyond the consensus."""
    return np.concatenate([np.ones(1, np.float32), state])
