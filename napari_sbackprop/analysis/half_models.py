"""What models of two halves of the particles, trained apart, say of the same motion.

Their bases have no common order or sign, but every particle has latents under both. Least squares over the particles turn
a direction of a third latent space into a change of either model's map.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from napari_sbackprop.analysis.evidence import resolution
from napari_sbackprop.analysis.reconstruction import Decoder
from napari_sbackprop.imaging.shells import fourier_shell_correlation

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class HalfModel:
    """Linear model of one half.

    Attributes
    ----------
    decoder : an epoch of the closed-form start, whose maps are linear in the latent.
    mean : (N, K), latents of all particles, those of the other half too.
    own : (n,), the particles that it was trained on.
    """

    decoder: Decoder
    mean: Array
    own: Indices

    def changes_along(self, latents: Array) -> Array:
        """Change (Z, M, M, M) of the map with one standard deviation of each latent (N, Z) of another model.

        The change with a latent is that with all others held.
        """
        slopes = _least_squares(_centred(latents), _centred(self.mean))
        return np.stack([self._change(weights) for weights in latents.std(0)[:, None] * slopes])

    def change_of(self, indices: Indices) -> Array:
        """Mean map (M, M, M) of some particles, less that of all."""
        return self._change(self.mean[indices].mean(0) - self.mean.mean(0))

    def explained(self, latents: Array) -> Array:
        """Share (Z,) of the variance of each latent (N, Z) of another model that this one predicts in the other half."""
        others = np.setdiff1d(np.arange(len(latents)), self.own)
        wanted, known = _centred(latents[others]), _centred(self.mean[others])
        left = wanted - known @ _least_squares(known, wanted)
        return 1 - left.var(0) / wanted.var(0).clip(min=np.finfo(np.float32).tiny)

    def _change(self, weights: Array) -> Array:
        return self.decoder.on_grid(weights.astype(np.float32) @ self.decoder.basis[1:])


@dataclass(frozen=True, eq=False)
class HalfAgreement:
    """How far two halves agree on one thing.

    Attributes
    ----------
    name : "consensus", "direction_k" for latent k from 1, or "selection".
    maps : (M, M, M) of either half; of all but the consensus, the change of the map.
    curve : (M / 2,), FSC of the maps.
    resolution : angstrom where it falls below 0.143 beyond its largest value, for a motion may leave the first shells as
        they are; infinity where it never exceeds that.
    explained : of a direction, the share of the latent's variance that the model of either half predicts in the other's
        particles, the smaller of the two: near 0 for noise, whose FSC may be higher, that of what little is no noise.
    """

    name: str
    maps: tuple[Array, Array]
    curve: npt.NDArray[np.float64]
    resolution: float
    explained: float | None

    @property
    def fsc(self) -> float:
        """Mean of the curve, without shell 0."""
        return float(self.curve[1:].mean())


def compare_models(
    models: Sequence[HalfModel], latents: Array, selection: Indices | None = None
) -> Iterator[HalfAgreement]:
    """Compare the consensus of two models, their changes along each of the latents (N, Z), and that of a selection."""
    first, second = models

    def compared(name: str, a: Array, b: Array, explained: float | None = None) -> HalfAgreement:
        curve = fourier_shell_correlation(torch.from_numpy(a), torch.from_numpy(b))
        peak = 1 + int(curve[1:].argmax())
        beyond = torch.cat([curve[peak].expand(peak), curve[peak:]])
        angstrom = resolution(beyond, first.decoder.pixel_size)
        return HalfAgreement(name, (a, b), curve.numpy(), angstrom, explained)

    yield compared("consensus", first.decoder.consensus(), second.decoder.consensus())
    explained = np.minimum(first.explained(latents), second.explained(latents))
    changes = zip(
        first.changes_along(latents), second.changes_along(latents), explained.tolist(), strict=True
    )
    for number, (a, b, share) in enumerate(changes, 1):
        yield compared(f"direction_{number}", a, b, share)
    if selection is not None:
        yield compared("selection", first.change_of(selection), second.change_of(selection))


def _centred(values: Array) -> Array:
    return values - values.mean(0)


def _least_squares(known: Array, wanted: Array) -> Array:
    return np.linalg.lstsq(known, wanted, rcond=None)[0]
