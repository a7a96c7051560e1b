"""Gaussian latent: reparameterised samples and their divergence from the unit prior."""

import torch
from torch import Tensor


def sample_latent(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Sample z = mean + exp(log_variance / 2) n for standard normal noise n; all (B, Z)."""
    return mean + torch.exp(log_variance / 2) * noise


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence (B,) in nats of N(mean, exp(log_variance)) from N(0, 1), summed over the Z dimensions."""
    return (mean**2 + log_variance.exp() - log_variance - 1).sum(-1) / 2
