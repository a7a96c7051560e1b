"""Encoders: from what an image tells to the mean and log-variance of its latent."""

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, gelu


class PosteriorEncoder(nn.Module):
    """Encoder behind a pose-aware filter bank: starts as the exact linear posterior and learns only the difference.

    The image has been matched, with its own pose and CTF, against the volumes of a linear model, which gives the exact
    posterior under that model. Nothing that the linear model can see is lost at the start, however many parameters
    the network has.

    Parameters
    ----------
    latent_size : Z.
    width : hidden units.
    """

    def __init__(self, latent_size: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(3 * latent_size, width)
        self.middle = nn.Linear(width, width)
        self.leave = nn.Linear(width, 2 * latent_size)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, mean: Tensor, covariance: Tensor, information: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, Z) from the linear posterior's mean (B, Z), covariance and information (B, Z, Z)."""
        log_variance = covariance.diagonal(dim1=-2, dim2=-1).log()
        target = mean + (information @ mean[..., None])[..., 0]  # the filter bank's raw answer
        hidden = gelu(self.enter(torch.cat([mean, log_variance, target], dim=-1)))
        hidden = gelu(self.middle(hidden) + hidden)
        shift, change = self.leave(hidden).chunk(2, dim=-1)
        return mean + shift, log_variance + change


class ImageEncoder(nn.Module):
    """The paper's encoder: all pixels of the aligned, CTF-signed Hartley transform into a residual perceptron.

    Parameters
    ----------
    pixels : length of the input.
    latent_size : Z.
    width : hidden units; the original has 1024.
    depth : residual blocks; the original has 5.
    """

    def __init__(self, pixels: int, latent_size: int, width: int = 1024, depth: int = 5) -> None:
        super().__init__()
        self.enter = nn.Linear(pixels, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.leave = nn.Linear(width, 2 * latent_size)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, Z) of images (B, pixels); the log-variance is 1 - ELU, at most 2."""
        hidden = gelu(self.enter(image))
        for block in self.blocks:
            hidden = gelu(block(hidden) + hidden)
        mean, raw = self.leave(hidden).chunk(2, dim=-1)
        return mean, 1 - elu(raw)
