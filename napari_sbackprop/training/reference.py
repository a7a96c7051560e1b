"""A given consensus map in place of the particles' back-projection."""

import logging
from pathlib import Path

import torch
from torch import Tensor

from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.fourier import gridding_correction, volumes_to_sphere
from napari_sbackprop.imaging.grids import HalfSphere
from napari_sbackprop.training.posterior import image_statistics
from napari_sbackprop.training.spectra import Spectra
from napari_sbackprop.training.volume_solver import half_set_correlation, mask_solution

logger = logging.getLogger(__name__)

_SHELLS = (
    12  # where the particle is far above the noise of a few images, and maps differ little by their B-factors
)
_ALIKE = 0.6  # mean FSC; the mirror image has 0.4, and 100 noisy images give 0.9


def scaled_reference(
    path: Path,
    reference: Tensor,
    spectra: Spectra,
    chosen: Tensor,
    back_projection: Tensor,
    sphere: HalfSphere,
) -> Tensor:
    """The reference as `back_project` would give it, (W, 1, 2), on the absolute scale of the images.

    Parameters
    ----------
    path : file of the reference, for messages.
    reference : (M, M, M) map on any scale.
    spectra, chosen : of all particles, and which of them count.
    back_projection : theirs, (W, 1, 2), which tells whether the reference is the map of these particles.

    Raises
    ------
    InputError
        It is not: its hand, centre, orientation or contrast is another.
    """
    dimmed = volumes_to_sphere(reference * gridding_correction(len(reference)), sphere)
    raw = torch.view_as_real(dimmed)[:, None].to(back_projection)
    agreement = half_set_correlation(raw, back_projection, sphere)[0, 1 : _SHELLS + 1].mean().item()
    if not agreement > _ALIKE:
        raise InputError(
            f"{path} is not the map of these particles, for its FSC with their back-projection is {agreement:.2f}: give the "
            "map of the refinement that their poses are from, of the same hand and bright on dark."
        )
    everywhere = torch.ones_like(reference).to(raw)
    coarse = spectra.cropped(min(_SHELLS, spectra.disc.radius)).subset(chosen)
    gram, cross = image_statistics(coarse, mask_solution(raw, sphere, everywhere), sphere)
    scale = (cross.sum() / gram.sum()).item()
    logger.info("scale of the reference: %.4g, its FSC with the back-projection: %.3f", scale, agreement)
    return raw * scale
