"""What models of two halves of the particles, trained apart, say of the same motion.

Their bases have no common order or sign, but every particle has coefficients in both. Least squares over the particles turn
a direction of a third model's latent space into a change of either model's map.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from napari_sbackprop.analysis.evidence import resolution
from napari_sbackprop.analysis.reconstruction import Decoder
from napari_sbackprop.imaging.shells import fourier_shell_correlation

Array = npt.NDArray[np.float32]
Pair = tuple[Array, Array]
Indices = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Model:
    """A decoder, and what it is for every particle.

    Attributes
    ----------
    decoder : of one epoch.
    coefficients : (N, K), weights of its basis volumes in each particle's map.
    """

    decoder: Decoder
    coefficients: Array

    @classmethod
    def of(cls, decoder: Decoder, latents: Array) -> Self:
        """The model of particles at latents (N, Z) of the decoder."""
        return cls(decoder, decoder.coefficients(latents)[:, 1:])

    def changes_along(self, latents: Array) -> Array:
        """Change (Z, M, M, M) of the map with one standard deviation of each latent (N, Z), of this model or another one.

        The change with a latent is that with all others held.
        """
        slopes, *_ = np.linalg.lstsq(_centred(latents), _centred(self.coefficients), rcond=None)
        return np.stack([self._change(weights) for weights in latents.std(0)[:, None] * slopes])

    def change_of(self, indices: Indices) -> Array:
        """Mean map (M, M, M) of some particles, less that of all."""
        return self._change(_centred(self.coefficients)[indices].mean(0))

    @property
    def spread(self) -> float:
        """Root mean square, over the particles, of the norm of their maps' differences from the mean map."""
        covariance = np.atleast_2d(np.cov(self.coefficients.T, bias=True))
        basis = self.decoder.basis[1:]
        return float(np.sqrt((covariance * (basis @ basis.T)).sum()))

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
    size : norm of the change in the run itself over the run's `spread`: about 1 / sqrt(n) for n particles at random.
    shown : product of the two changes over the square of the change in the run itself: near 1 where both halves show all
        of it, near 0 for noise, and for a motion that is too rare or too weak for half the particles. Where it is near 0,
        the FSC is that of the little that is no noise, and may be high.
    Neither is told of the consensus.
    """

    name: str
    maps: Pair
    curve: npt.NDArray[np.float64]
    resolution: float
    size: float | None = None
    shown: float | None = None

    @property
    def fsc(self) -> float:
        """Mean of the curve, without shell 0."""
        return float(self.curve[1:].mean())


def compare_models(
    run: Model, halves: Sequence[Model], selection: Indices | None = None
) -> Iterator[HalfAgreement]:
    """Compare two models in their consensus, along each latent of the run, and for a selection of particles.

    Parameters
    ----------
    run : model of all particles, whose decoder's latents are the directions.
    halves : the two models that were trained apart, with the coefficients of all particles.
    """
    latents, pixel_size = run.decoder.latents.mean, run.decoder.pixel_size
    first, second = halves
    yield _compared("consensus", (first.decoder.consensus(), second.decoder.consensus()), pixel_size)
    changes = zip(*(model.changes_along(latents) for model in (*halves, run)), strict=True)
    for number, (a, b, change) in enumerate(changes, 1):
        yield _judged(_compared(f"direction_{number}", (a, b), pixel_size), change, run.spread)
    if selection is not None:
        pair = (first.change_of(selection), second.change_of(selection))
        yield _judged(_compared("selection", pair, pixel_size), run.change_of(selection), run.spread)


def _compared(name: str, maps: Pair, pixel_size: float) -> HalfAgreement:
    curve = fourier_shell_correlation(*map(torch.from_numpy, maps))
    peak = 1 + int(curve[1:].argmax())
    beyond = torch.cat([curve[peak].expand(peak), curve[peak:]])
    return HalfAgreement(name, maps, curve.numpy(), resolution(beyond, pixel_size))


def _judged(halves: HalfAgreement, change: Array, spread: float) -> HalfAgreement:
    """With `size` and `shown` of the run's change (M, M, M) that the halves' maps stand for."""
    power = float(np.square(change).sum())
    if not power:
        return replace(halves, size=0.0, shown=0.0)
    first, second = halves.maps
    return replace(halves, size=power**0.5 / spread, shown=float((first * second).sum()) / power)


def _centred(values: Array) -> Array:
    return values - values.mean(0)
