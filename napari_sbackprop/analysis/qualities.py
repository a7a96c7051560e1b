"""What an epoch says of each particle, beyond where it lies."""

import numpy as np
import numpy.typing as npt

from napari_sbackprop.run_directory import Latents, RunDirectory

Array = npt.NDArray[np.float32]

SIGMA, EVIDENCE, MOVEMENT = "latent_sigma", "evidence", "movement"


def particle_qualities(run: RunDirectory, epoch: int) -> dict[str, Array]:
    """Numbers (N,) by name: SIGMA, EVIDENCE of a model of the default recipe, and MOVEMENT if an epoch came before."""
    latents = run.read_latents(epoch)
    values = {SIGMA: latent_sigma(latents)}
    if run.has_model(epoch) and run.config.recipe != "paper":  # whose information is a guess
        values[EVIDENCE] = evidence(latents)
    if earlier := [other for other in run.epochs() if other < epoch]:
        values[MOVEMENT] = movement(run.read_latents(earlier[-1]).mean, latents.mean)
    return values


def latent_sigma(latents: Latents) -> Array:
    """Standard deviation (N,) of each particle's posterior, root mean square over the dimensions; 1 is the prior's."""
    return np.sqrt(np.exp(latents.log_variance).mean(axis=1))


def evidence(latents: Latents) -> Array:
    """By how many nats (N,) the latent explains each image better than the consensus does.

    The logarithm of p(image) / p(image | z = 0) for a posterior that is Gaussian about its mean m with precision P, which
    it is where the coefficients are linear in the latent: (m^T P m - log det P) / 2, P the information plus the unit prior.
    """
    precision = latents.information.astype(np.float64) + np.eye(latents.mean.shape[1])
    mean = latents.mean.astype(np.float64)
    fit = np.einsum("ni,nij,nj->n", mean, precision, mean)
    return ((fit - np.linalg.slogdet(precision)[1]) / 2).astype(np.float32)


def movement(before: Array, after: Array) -> Array:
    """Distance (N,) that particles moved against all others between two epochs with latents (N, Y) and (N, Z).

    The latent space itself turns and stretches in training: its best affine change, by least squares, is no movement.
    """
    frame = np.column_stack([before, np.ones(len(before))]).astype(np.float64)
    change, *_ = np.linalg.lstsq(frame, after.astype(np.float64))
    return np.linalg.norm(after - frame @ change, axis=1).astype(np.float32)
