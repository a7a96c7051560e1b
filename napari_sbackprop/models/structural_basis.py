"""Structural basis: Fourier volumes that are mixed and sliced by one fused operation (eq. 3 of Kimanius et al. 2022)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from napari_sbackprop import ops
from napari_sbackprop.imaging.grids import HalfDisc, HalfSphere
from napari_sbackprop.ops.reference import tie_pairs
from napari_sbackprop.ops.tables import mirror_pairs


class StructuralBasis(nn.Module):
    """V(z) = V_0 + sum_k s_k V_k, kept on the half sphere.

    Attributes
    ----------
    volumes : (W, K + 1, 2) float32 parameter, real and imaginary parts; channel 0 is V_0.
    sphere : the voxels.
    """

    def __init__(self, volumes: Tensor, sphere: HalfSphere) -> None:
        super().__init__()
        self.volumes = nn.Parameter(volumes)
        self.sphere = sphere

    def forward(self, coefficients: Tensor, rotation: Tensor, disc: HalfDisc) -> Tensor:
        """Central slices (B, P), complex, of the volumes with coefficients (B, K) in the poses (B, 3, 3)."""
        return ops.project(self.volumes, pad(coefficients, (1, 0), value=1.0), rotation, disc, self.sphere)

    @torch.no_grad()
    def tie(self, values: Tensor) -> Tensor:
        """Average the Hermitian pairs of the x = 0 plane of values (W, ..., 2), in place."""
        tie_pairs(values, mirror_pairs(self.sphere, values.device))
        return values
