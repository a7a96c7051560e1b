"""How strongly the images of each scale show the particle, beyond what pixel sizes explain.

Images are normalised to their own noise, which differs with dose, detector and pixel size. A contrast that is wrong by a
few per cent looks like a motion that one group has and another has not, so it is measured where groups differ in pixel
size or box. Groups of one scale are taken together, as they are: a small group would tell its own contrast too poorly.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_sbackprop.data.particles import OpticsGroup, Particles
from napari_sbackprop.imaging.grids import HalfSphere
from napari_sbackprop.training.posterior import image_statistics
from napari_sbackprop.training.spectra import Spectra

logger = logging.getLogger(__name__)

_SHELLS = 12  # where the particle is far above the noise, of the image and of the map
_WEAKEST = 0.1  # of images that are noise
_SAME_PIXEL = 0.01  # relative difference of pixel sizes that a new calibration makes


class GroupContrast(NamedTuple):
    """Contrast of all optics groups whose images have one box, in pixels, and one pixel size, in angstrom."""

    box: int
    pixel_size: float
    contrast: float

    def is_of(self, group: OpticsGroup) -> bool:
        """Whether an optics group has this box and, to within a calibration, this pixel size."""
        same_pixel = abs(group.pixel_size / self.pixel_size - 1) < _SAME_PIXEL
        return group.image_size == self.box and same_pixel


def stored_contrasts(description: Mapping[str, Any]) -> list[GroupContrast]:
    """The contrasts that training published with an epoch; none where an earlier version did."""
    return [GroupContrast(**item) for item in description.get("group_contrasts", [])]


def measured_contrasts(
    particles: Particles, spectra: Spectra, consensus: Tensor, sphere: HalfSphere
) -> list[GroupContrast]:
    """Least-squares contrast of the images of each scale.

    Parameters
    ----------
    spectra : of the particles, without contrasts applied.
    consensus : (W, 1, 2) slicer volume that all are compared with.
    """
    coarse = spectra.cropped(min(_SHELLS, spectra.disc.radius))
    gram, cross = image_statistics(coarse, consensus, sphere)
    scales = [(group.image_size, group.pixel_size) for group in particles.optics]
    found = []
    for scale in dict.fromkeys(scales):
        groups = [number for number, other in enumerate(scales) if other == scale]
        members = torch.from_numpy(np.isin(particles.optics_index, groups)).to(gram.device)
        contrast = (cross[members].sum() / gram[members].sum()).clamp(min=_WEAKEST).item()
        logger.info("contrast of images of %d px at %.4g Å: %.3f", *scale, contrast)
        found.append(GroupContrast(*scale, contrast))
    return found


def normalised(contrasts: Iterable[GroupContrast], particles: Particles) -> list[GroupContrast]:
    """The contrasts, made 1 on average over the particles, since the map's own scale is free."""
    mean = float(_of_particles(contrasts := list(contrasts), particles).mean())
    return [item._replace(contrast=item.contrast / mean) for item in contrasts]


def apply_contrasts(contrasts: Iterable[GroupContrast], particles: Particles, spectra: Spectra) -> None:
    """Multiply the transfer of the particles' spectra by the contrasts, in place."""
    spectra.transfer.mul_(_of_particles(contrasts, particles).to(spectra.transfer)[:, None])


def with_contrasts(particles: Particles, contrasts: Iterable[GroupContrast]) -> Particles:
    """The particles, each optics group with the contrast of its scale; 1 where that is not known."""
    known = list(contrasts)

    def contrast(group: OpticsGroup) -> float:
        same = [item for item in known if item.is_of(group)]
        nearest = min(same, key=lambda item: abs(item.pixel_size - group.pixel_size), default=None)
        return 1.0 if nearest is None else nearest.contrast

    groups = (replace(group, contrast=contrast(group)) for group in particles.optics)
    return replace(particles, optics=tuple(groups))


def _of_particles(contrasts: Iterable[GroupContrast], particles: Particles) -> Tensor:
    """Contrast (N,) of each particle's group."""
    groups = with_contrasts(particles, contrasts).optics
    return torch.tensor([group.contrast for group in groups])[torch.from_numpy(particles.optics_index).long()]
