"""How strongly the images of each optics group show the particle, beyond what pixel sizes explain.

Images are normalised to their own noise, which differs with dose, detector and pixel size. A scale that is wrong by a few
per cent looks like a motion that one group has and another has not, so it is measured where groups differ in pixel size or
box; groups of one scale are taken as they are.
"""

import logging

import torch
from torch import Tensor

from napari_sbackprop.data.particles import Particles
from napari_sbackprop.imaging.grids import HalfSphere
from napari_sbackprop.training.posterior import image_statistics
from napari_sbackprop.training.spectra import Spectra

logger = logging.getLogger(__name__)

_SHELLS = 12  # where the particle is far above the noise, of the image and of the map
_WEAKEST = 0.1  # of a group whose images are noise


def match_group_scales(particles: Particles, spectra: Spectra, consensus: Tensor, sphere: HalfSphere) -> None:
    """Multiply the transfer by the least-squares scale of each group, in place.

    The scales are 1 on average over the particles, since the map's own is free.

    Parameters
    ----------
    consensus : (W, 1, 2) slicer volume that all groups are compared with.
    """
    coarse = spectra.cropped(min(_SHELLS, spectra.disc.radius))
    gram, cross = image_statistics(coarse, consensus, sphere)
    group = torch.from_numpy(particles.optics_index).long().to(gram.device)
    power, product = (
        gram.new_zeros(len(particles.optics)).index_add_(0, group, values.flatten())
        for values in (gram, cross)
    )
    scale = (product / power).clamp(min=_WEAKEST)
    scale = scale / scale[group].mean()
    logger.info("scales of the optics groups: %s", ", ".join(f"{value:.3f}" for value in scale.tolist()))
    spectra.transfer.mul_(scale[group][:, None])
