"""Gaussian latent: reparameterised samples and their divergence from the unit prior."""

import torch
from torch import Tensor


def sample_latent(mean: Tensor, log_variance: Tensor, generator: torch.Generator) -> Tensor:
    """Draw z = mean + exp(log_variance / 2) n, n ~ N(0, 1), for mean and log_variance (B, Z)."""
    noise = torch.randn(mean.shape, generator=generator).to(mean)
    return mean + torch.exp(log_variance / 2) * noise


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence (B,) in nats of N(mean, exp(log_variance)) from N(0, 1), summed over the Z dimensions."""
    return (mean**2 + log_variance.exp() - log_variance - 1).sum(-1) / 2
