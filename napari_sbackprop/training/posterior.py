"""Exact posterior of the latent for a linear decoder.

For fixed volumes, data = transfer * slice(V_0 + sum_k s_k V_k) + unit noise with s ~ N(0, 1) is linear and Gaussian:
one K x K solve per image gives the posterior, with the image's own pose and CTF (probabilistic PCA). Each image also has
its own scale, a contrast that differs with the ice: where all had one, a direction would be spent on it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from napari_sbackprop import ops
from napari_sbackprop.imaging.grids import HalfSphere
from napari_sbackprop.models.coefficients import CoefficientHead
from napari_sbackprop.training.spectra import Spectra

_BATCH = 512
SCALE_SPREAD = "scale_spread"
"""Metric of an epoch: standard deviation of the images' scales, which new particles need."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """Gaussian posterior of N particles' coefficients.

    Attributes
    ----------
    mean : (N, K).
    covariance : (N, K, K).
    information : (N, K, K), what the image adds to the unit precision of the prior.
    evidence : (N,), log evidence gained over the consensus volume alone, in nats.
    likelihood : (N,), the same over an empty image, so that the consensus counts too.
    contrast : (N,), scale of the consensus in each image: about 1, near 0 where the molecule is not there.
    scale, scale_variance : (N,), of the particle's own map in its image, and how uncertain it is; all the rest but the
        contrast holds under the scale.
    """

    mean: Tensor
    covariance: Tensor
    information: Tensor
    evidence: Tensor
    likelihood: Tensor
    contrast: Tensor
    scale: Tensor
    scale_variance: Tensor

    @property
    def weights(self) -> Tensor:
        """(N, C) of the channels in each image: scale times 1 and the mean coefficients, of a linear decoder."""
        return self.scale[:, None] * pad(self.mean, (1, 0), value=1.0)


def image_statistics(spectra: Spectra, volumes: Tensor, sphere: HalfSphere) -> tuple[Tensor, Tensor]:
    """Gram matrices (N, C, C) of the projected channels and their products with the data (N, C); see `ops.gram`."""
    parts = [
        ops.gram(volumes, part.data, part.transfer, part.rotation, part.disc, sphere)
        for _, part in spectra.parts(torch.arange(spectra.count), _BATCH)
    ]
    return torch.cat([gram for gram, _ in parts]), torch.cat([cross for _, cross in parts])


def linear_posterior(gram: Tensor, cross: Tensor, scale_spread: float = 0.0) -> Posterior:
    """Solve for the posterior from the statistics of `image_statistics`; channel 0 is the consensus.

    Parameters
    ----------
    scale_spread : standard deviation of the images' scales about 1; 0 where all are 1.
    """
    ratio = contrast(gram, cross)
    scale, variance = torch.ones_like(ratio), torch.zeros_like(ratio)
    if scale_spread:
        scale, variance = fitted_scale(gram, cross, scale_spread)
    gram, cross = scaled_statistics(gram, cross, scale)
    information = gram[:, 1:, 1:]
    target = cross[:, 1:] - gram[:, 1:, 0]
    factor = torch.linalg.cholesky(information + torch.eye(information.shape[-1]).to(gram))
    covariance = inverse_from(factor)
    mean = (covariance @ target[..., None])[..., 0]
    log_determinant = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    evidence = ((target * mean).sum(-1) - log_determinant) / 2
    return Posterior(
        mean=mean,
        covariance=covariance,
        information=information,
        evidence=evidence,
        likelihood=evidence + cross[:, 0] - gram[:, 0, 0] / 2,
        contrast=ratio,
        scale=scale,
        scale_variance=variance,
    )


def inverse_from(factor: Tensor) -> Tensor:
    """Inverses (N, K, K) of small matrices, from their lower Cholesky factors."""
    if not factor.is_cuda:
        return torch.cholesky_inverse(factor)  # thirty times as fast as cholesky_solve
    # On a GPU that would be a launch for each matrix in torch before 2.12; this is one for all.
    unit = torch.eye(factor.shape[-1], device=factor.device, dtype=factor.dtype)
    half = torch.linalg.solve_triangular(factor, unit.expand_as(factor), upper=False)
    return half.mT @ half


def fitted_scale(gram: Tensor, cross: Tensor, spread: float) -> tuple[Tensor, Tensor]:
    """Scale (N,) of each image whatever its coefficients, at least 0, and its posterior variance (N,).

    An image is a sum of slices with weights (c, c s): linear in them, with priors N(1, spread^2) of c and N(0, 1) of c s,
    which c does not change much. The posterior mean of c is the scale.

    Parameters
    ----------
    gram, cross : statistics of `image_statistics`.
    spread : above 0.
    """
    precision = torch.ones(gram.shape[-1]).to(gram)
    precision[0] = spread**-2
    covariance = inverse_from(torch.linalg.cholesky(gram + torch.diag(precision)))
    row, variance = covariance[:, 0], covariance[:, 0, 0]
    mean = (row * cross).sum(-1) + precision[0] * variance
    return mean.clamp(min=0), variance  # below 0 lies noise alone


def next_spread(posterior: Posterior) -> float:
    """Standard deviation of scales about 1 that a posterior implies: a step of expectation maximisation."""
    return float(((posterior.scale - 1).square() + posterior.scale_variance).mean().sqrt())


def scaled_statistics(gram: Tensor, cross: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Statistics of `image_statistics` for volumes that each image shows at its own scale (N,)."""
    return scale.square()[:, None, None] * gram, scale[:, None] * cross


def contrast(gram: Tensor, cross: Tensor) -> Tensor:
    """Least-squares scale (N,) of the consensus in each image, <slice, image> / <slice, slice>.

    Of the consensus, not of the particle's own map: a latent direction soon learns to switch the molecule off, and then
    explains an image of pure noise as well as any other.

    Parameters
    ----------
    gram, cross : statistics of `image_statistics`.
    """
    return cross[:, 0] / gram[:, 0, 0].clamp(min=torch.finfo(gram.dtype).tiny)


def relevance(gram: Tensor, cross: Tensor, iterations: int = 100) -> Tensor:
    """Variance (K,) of each coefficient among particles that did not shape the volumes, in units of the prior.

    A volume that fitted noise explains nothing of new images: its variance comes out near 0, that of a real direction
    near 1. Found by expectation maximisation of the evidence (automatic relevance determination, MacKay 1994).

    Parameters
    ----------
    gram, cross : statistics of `image_statistics` for the held-out particles.
    """
    target = cross[:, 1:] - gram[:, 1:, 0]
    unit = torch.eye(target.shape[1]).to(gram)
    variance = torch.ones(target.shape[1]).to(gram)
    for _ in range(iterations):
        scale = variance.sqrt()
        covariance = torch.linalg.inv(unit + scale[:, None] * gram[:, 1:, 1:] * scale)
        mean = (covariance @ (scale * target)[..., None])[..., 0]
        variance = variance * (mean.square() + covariance.diagonal(dim1=-2, dim2=-1)).mean(0)
    return variance


def refined_posterior(
    statistics: tuple[Tensor, Tensor],
    bank: Posterior,
    head: CoefficientHead,
    start: Tensor,
    iterations: int = 3,
) -> Posterior:
    """Posterior of a latent behind a curved head s(z), by Gauss-Newton steps: exact where the head is linear.

    Parameters
    ----------
    statistics : of `image_statistics` for the volumes that the head weighs.
    bank : posterior of the linear start, which has the scale of each image.
    start : (N, Z), where the steps begin, such as the encoder's mean.
    """
    ratio = contrast(*statistics)
    gram, cross = scaled_statistics(*statistics, bank.scale)
    target = cross[:, 1:] - gram[:, 1:, 0]  # (N, K)
    mean = start
    for _ in range(iterations):
        jacobian = head.jacobian(mean).detach()  # (N, K, Z)
        with torch.no_grad():
            residual = target - (gram[:, 1:, 1:] @ head(mean)[..., None])[..., 0]
        pull = (jacobian.mT @ residual[..., None])[..., 0]
        information = jacobian.mT @ gram[:, 1:, 1:] @ jacobian
        factor = torch.linalg.cholesky(information + torch.eye(mean.shape[-1]).to(gram))
        covariance = inverse_from(factor)
        mean = mean + (covariance @ (pull - mean)[..., None])[..., 0]
    with torch.no_grad():
        coefficients = head(mean)
    quadratic = (coefficients * (gram[:, 1:, 1:] @ coefficients[..., None])[..., 0]).sum(-1)
    log_determinant = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    fit = 2 * (target * coefficients).sum(-1) - quadratic - mean.square().sum(-1)
    evidence = (fit - log_determinant) / 2
    return Posterior(
        mean=mean,
        covariance=covariance,
        information=information,
        evidence=evidence,
        likelihood=evidence + cross[:, 0] - gram[:, 0, 0] / 2,
        contrast=ratio,
        scale=bank.scale,
        scale_variance=bank.scale_variance,
    )


def evidence_figures(posterior: Posterior, held_out: Tensor) -> dict[str, float]:
    """What to watch: evidence and likelihood in nats per particle, and information per latent dimension.

    A falling loss proves nothing; a held-out figure that falls while the other rises is overfitting. Evidence tells what
    the states are worth, but counts from the model's own consensus: noise in that raises it. The likelihood does not.

    Parameters
    ----------
    held_out : (n,) indices of the particles that did not shape the volumes.
    """
    figures = {}
    for name, values in (("evidence", posterior.evidence), ("likelihood", posterior.likelihood)):
        figures[name] = values.mean().item()
        if len(held_out):
            figures[f"held_out_{name}"] = values[held_out].mean().item()
    strength = posterior.information.mean(0).diagonal()
    return {**figures, **{f"information_{k + 1}": value for k, value in enumerate(strength.tolist())}}
