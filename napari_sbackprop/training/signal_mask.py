"""Where in the map particles differ: a soft mask from the local agreement of two half sets.

A basis volume is noise wherever its part of the molecule does not move, and that noise enters every coefficient. Two
half sets agree where there is signal and nowhere else, so their local correlation is the Wiener factor of each voxel:
what shells of Fourier space are to half-set FSC, places in the map are to this.
"""

import torch
from torch import Tensor

from napari_sbackprop.imaging.fourier import gaussian_filter, sphere_to_volumes
from napari_sbackprop.imaging.grids import HalfSphere

_WIDTH = 3.0  # voxels, 1/e width of the window that agreement is averaged in
_POWER = 2  # the halves share their posteriors, and so part of their noise: the bare correlation is too high


def signal_mask(a: Tensor, b: Tensor, shrinkage: Tensor, sphere: HalfSphere, mask: Tensor) -> Tensor:
    """Soft mask (m, m, m) of the voxels where the basis volumes of two half sets agree.

    All basis volumes are taken together: what moves along one direction moves along others.

    Parameters
    ----------
    a, b : (W, C, 2), masked volumes of the half sets; channel 0, the consensus, is left out.
    shrinkage : (C, R + 1), weight of each channel's shells, such as their half-set FSC.
    sphere : the voxels.
    mask : (m, m, m) solvent mask; the result is zero outside.
    """
    weight = shrinkage[:, sphere.shell.clamp(max=sphere.radius)].T[..., None]
    box = mask.shape[-1]
    common, power = torch.zeros_like(mask), torch.zeros_like(mask)
    for channel in range(1, a.shape[1]):
        first, second = (
            sphere_to_volumes(
                torch.view_as_complex((half[:, channel] * weight[:, channel]).contiguous()), sphere, box
            )
            for half in (a, b)
        )
        common += first * second
        power += (first.square() + second.square()) / 2
    tiny = torch.finfo(power.dtype).tiny
    agreement = gaussian_filter(common, _WIDTH) / gaussian_filter(power, _WIDTH).clamp(min=tiny)
    return agreement.clamp(0, 1) ** _POWER * (mask > 0)
