"""What maps show: subjects that any epoch decodes, and that a file can keep."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_sbackprop.analysis.selection import ParticleSelection
from napari_sbackprop.gui.explorer_model import Scene
from napari_sbackprop.gui.projection import Anchor

Volume = npt.NDArray[np.float32]
Subject = Callable[[Scene], tuple[Volume, str]]
"""Decodes a map (M, M, M) in an epoch, and says in words what it is."""


def consensus(scene: Scene) -> tuple[Volume, str]:
    """The map of all particles."""
    return scene.decoder.consensus(), "Consensus of all particles"


@dataclass(frozen=True, eq=False)
class Place:
    """The map at a place in latent space.

    Attributes
    ----------
    anchor : the place as particles, which counts in all epochs but `epoch`.
    title : in words.
    epoch : in which the place is known better than its particles tell, if there is one.
    latent : (Z,) the place in that epoch.
    coefficients : (K + 1,) of the basis volumes in that epoch, where no latent gives them.
    """

    anchor: Anchor
    title: str
    epoch: int | None = None
    latent: npt.NDArray[np.float32] | None = None
    coefficients: npt.NDArray[np.float32] | None = None

    def __call__(self, scene: Scene) -> tuple[Volume, str]:
        known = scene.epoch == self.epoch
        if known and self.coefficients is not None:
            return scene.decoder.mixed(self.coefficients), self.title
        if known and self.latent is not None:
            return scene.decoder.volume(self.latent), self.title
        return scene.decoder.volume(self.anchor.mean(scene.latents)), self.title


@dataclass(frozen=True, eq=False)
class Pooled:
    """The map of particles that share one state, from all that they say together."""

    selection: ParticleSelection

    def __call__(self, scene: Scene) -> tuple[Volume, str]:
        latent = scene.decoder.pooled(self.selection.indices)
        return scene.decoder.volume(latent), f"Map of {self.selection.name}"
