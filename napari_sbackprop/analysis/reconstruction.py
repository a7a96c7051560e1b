"""Maps from latents: the decoder of a finished epoch, ready to explore.

A map is linear in the coefficients s(z), so the basis is transformed to real space once and every map is one
matrix-vector product: no Fourier transform behind a click, and no GPU needed.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from napari_sbackprop.imaging.fourier import gridding_correction, sphere_to_volumes
from napari_sbackprop.imaging.grids import half_sphere
from napari_sbackprop.models.coefficients import CoefficientHead, stored_head
from napari_sbackprop.run_directory import Latents, RunDirectory

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Decoder:
    """Decoder of one epoch: from a latent to a map, numpy in and numpy out. Threads may share it.

    Attributes
    ----------
    box : M, voxels per side.
    pixel_size : angstrom.
    latents : of the same epoch.
    basis : (K + 1, n) float32, real-space volumes at the `support` voxels; row 0 is the consensus.
    support : (n,) int64, flat indices of the voxels inside the solvent mask; maps are zero elsewhere.
    support_mask : (n,) float32, the solvent mask there.
    """

    box: int
    pixel_size: float
    latents: Latents
    basis: Array
    support: npt.NDArray[np.int64]
    support_mask: Array
    _head: CoefficientHead | None

    @classmethod
    def open(cls, run: RunDirectory, epoch: int | None = None) -> Self:
        """Load an epoch of a run, the newest by default, and transform its basis to real space."""
        epoch = run.latest_epoch() if epoch is None else epoch
        description, tensors = run.read_description(epoch), run.read_model(epoch)
        box, sphere = int(description["box"]), half_sphere(int(description["radius"]))
        mask = tensors["mask"].float().flatten()
        support = torch.nonzero(mask).squeeze(-1)
        correction = gridding_correction(box).flatten()[support] * mask[support]

        volumes, shrink = tensors["basis.volumes"], tensors["decode_filter"]
        basis = torch.empty(volumes.shape[1], len(support))
        for channel in range(len(basis)):
            values = torch.view_as_complex(volumes[:, channel].contiguous())
            values = values * shrink[channel][sphere.shell.clamp(max=sphere.radius)]
            basis[channel] = sphere_to_volumes(values, sphere, box).flatten()[support] * correction
        return cls(
            box=box,
            pixel_size=float(description["pixel_size"]),
            latents=run.read_latents(epoch),
            basis=basis.numpy(),
            support=support.numpy(),
            support_mask=mask[support].numpy(),
            _head=stored_head(
                tensors,
                int(description["latent_size"]),
                len(basis) - 1,
                linear_start=description["recipe"] == "default",
            ),
        )

    @property
    def latent_size(self) -> int:
        """Dimensions Z of the latent space."""
        return int(self.latents.mean.shape[1])

    def coefficients(self, latents: Array) -> Array:
        """Weights (S, K + 1) of the basis for latents (S, Z); the first, of the consensus, is 1."""
        result = np.ones((len(latents), len(self.basis)), dtype=np.float32)
        if self._head is None:
            result[:, 1:] = latents
        else:
            with torch.no_grad():
                result[:, 1:] = self._head(torch.as_tensor(latents, dtype=torch.float32)).numpy()
        return result

    def volume(self, latent: Array) -> Array:
        """Map (M, M, M) [z, y, x] at a latent (Z,)."""
        return self.mixed(self.coefficients(latent[None])[0])

    def mixed(self, coefficients: Array) -> Array:
        """Map (M, M, M) [z, y, x] with weights (K + 1,) of the basis."""
        # Torch's product, for it keeps to the threads that its caller chose; numpy's wakes all cores.
        weights, basis = torch.from_numpy(coefficients), torch.from_numpy(self.basis)
        return self.on_grid((weights.to(basis) @ basis).numpy())

    def consensus(self) -> Array:
        """The map V_0 (M, M, M)."""
        return self.on_grid(self.basis[0])

    def mask(self) -> Array:
        """The solvent mask (M, M, M)."""
        return self.on_grid(self.support_mask)

    def basis_volume(self, index: int) -> Array:
        """The map V_index (M, M, M), index from 1 to K."""
        return self.on_grid(self.basis[index])

    def pooled(self, indices: npt.NDArray[np.integer]) -> Array:
        """Latent (Z,) of a set of particles that share one state: their evidence is added before the prior.

        The mean of the particles' latents is pulled to the origin once per particle, this only once.
        """
        information = self.latents.information[indices].astype(np.float64)
        unit = np.eye(self.latent_size)
        target = np.einsum("nij,nj->i", information + unit, self.latents.mean[indices].astype(np.float64))
        return np.linalg.solve(information.sum(0) + unit, target).astype(np.float32)

    def on_grid(self, values: Array) -> Array:
        """Values (n,) of the `support` voxels in a map (M, M, M) that is zero elsewhere."""
        volume = np.zeros(self.box**3, dtype=np.float32)
        volume[self.support] = values
        return volume.reshape(self.box, self.box, self.box)
