"""The VAE that continues a linear model: ELBO steps on encoder, coefficient head and structural basis.

The loss of an image is -log p(data | z) + KL(q(z | data) || N(0, 1)) with whitened data, so both terms are in nats and
nothing depends on the number of particles or pixels. For fixed coefficients the loss is quadratic in the volumes, so
they take preconditioned steps instead of Adam's.
"""

import logging
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from napari_sbackprop import ops
from napari_sbackprop.config import Config
from napari_sbackprop.imaging.shells import shell_mean
from napari_sbackprop.models.coefficients import CoefficientHead
from napari_sbackprop.models.encoder import PosteriorEncoder
from napari_sbackprop.models.latent import kl_divergence, sample_latent
from napari_sbackprop.training.cuda_graph import GraphedStep
from napari_sbackprop.training.epochs import adam_tensors, load_adam, one_pass
from napari_sbackprop.training.linear_model import LinearModel
from napari_sbackprop.training.posterior import (
    SCALE_SPREAD,
    Posterior,
    evidence_figures,
    image_statistics,
    linear_posterior,
    refined_posterior,
)
from napari_sbackprop.training.session import nested, with_prefix
from napari_sbackprop.training.spectra import Batch, Spectra
from napari_sbackprop.training.streaming import sent
from napari_sbackprop.training.volume_solver import multiply_maps, voxel_weight

logger = logging.getLogger(__name__)
_LEARNING_RATE = 1e-3  # of encoder and head
_LARGEST_STEP = 0.3  # of the volumes
_LEAST_SHRINKAGE = 0.05


def relative_step(epochs_done: float) -> float:
    """Step of the volumes in units of B / N, such that they are means over all epochs; the start counts as half of one.

    A step that stays larger leaves the noise of the newest particles in the volumes, at resolutions where it costs hardly
    any evidence: the maps get worse unnoticed. How many epochs are asked for plays no part, so that more may be later.
    """
    return 1 / (epochs_done + 0.5)


class VariationalStage:
    """Parameters, optimiser and data of the VAE.

    Parameters
    ----------
    config : sizes and weights.
    start : the linear model; its volumes are the encoder's filter bank and the first K volumes' start.
    scale_spread : standard deviation of the images' scales, which stay as they are in the start.
    spectra : at the model's resolution.
    mask : (M, M, M) solvent mask.
    chosen, held_out : indices of the particles to train on, and of those that only show overfitting.
    generator : source of all randomness of this stage.
    """

    def __init__(
        self,
        config: Config,
        start: LinearModel,
        scale_spread: float,
        spectra: Spectra,
        mask: Tensor,
        chosen: Tensor,
        held_out: Tensor,
        generator: torch.Generator,
    ) -> None:
        self.config, self.start, self.spectra, self.mask = config, start, spectra, mask
        self.chosen, self.held_out, self.generator = chosen, held_out, generator
        self.scale_spread = scale_spread
        self.epochs_done = 0
        device = start.volumes.device
        latent_size = start.volumes.shape[1] - 1
        self._curved = config.basis_size - config.latent_size  # volumes whose coefficients are no latent
        basis_size = latent_size + self._curved
        extra = start.volumes.new_zeros(start.sphere.size, self._curved, 2)
        self.volumes, self.sphere = torch.cat([start.volumes, extra], dim=1), start.sphere
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.encoder = PosteriorEncoder(latent_size, config.encoder_width).to(device)
            self.head = CoefficientHead(latent_size, basis_size, linear_start=True).to(device)
        self.optimiser = torch.optim.Adam(
            [*self.encoder.parameters(), *self.head.parameters()],
            lr=config.learning_rate or _LEARNING_RATE,
            fused=True,
            capturable=device.type == "cuda",
        )
        self.graphed = GraphedStep(recorded=ops.is_native(self.volumes))
        self.filter_bank = linear_posterior(
            *image_statistics(spectra, start.volumes, start.sphere), scale_spread
        )
        self._weight = voxel_weight(spectra, start.sphere, chosen, self.filter_bank.scale)
        # Diagonal of the inverse Hessian, (W, C)
        self._inverse = 1 / (self._weight[:, None] + self._prior_precision(self._weight))
        self._gradient = torch.zeros_like(self.volumes)
        self._rounded: Tensor | None = None  # what the steps read in place of the volumes
        if config.precision == "bfloat16":
            self._rounded = self.volumes.bfloat16()
            if device.type == "cpu":
                logger.info(
                    "--precision bfloat16 gains nothing on a CPU, which turns the volumes back in every step"
                )

    def encode(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Amortised mean and log-variance of some particles."""
        bank = self.filter_bank
        mean, log_variance = self.encoder(bank.mean[rows], bank.covariance[rows], bank.information[rows])
        return mean, log_variance

    def epoch(self) -> Iterator[tuple[int, Tensor]]:
        """One pass over the chosen particles in random order; yields how many were seen and their mean losses."""
        if self._rounded is not None:
            self._rounded.copy_(self.volumes)  # a stored state's, or masked since the last step
        yield from one_pass(self.spectra, self.chosen, self.config.batch_size, self.generator, self._step)
        self.volumes.copy_(self._masked(self.volumes))
        self.epochs_done += 1

    def outcome(self) -> tuple[Posterior, dict[str, float]]:
        """Exact posterior of all particles, refined from the encoder's answer, with its `evidence_figures`."""
        with torch.no_grad():
            statistics = image_statistics(self.spectra, self.volumes, self.sphere)
            mean, _ = self.encode(torch.arange(self.spectra.count, device=self.spectra.device))
        posterior = refined_posterior(statistics, self.filter_bank, self.head, mean)
        return posterior, {**evidence_figures(posterior, self.held_out), SCALE_SPREAD: self.scale_spread}

    def published(self) -> dict[str, Tensor]:
        """Tensors that decoding and encoding need, by name."""
        channels, radius = self.volumes.shape[1], self.sphere.radius
        return {
            **self._parameters(),
            "encoder.volumes": self.start.volumes,
            "decode_filter": torch.ones(channels, radius + 1),
            "mask": self.mask,
        }

    def state(self) -> dict[str, Tensor]:
        """Tensors that continuing needs, by name; the encoder's volumes are the start's."""
        adam = with_prefix(adam_tensors(self.optimiser), "adam.")
        return {**self._parameters(), **adam, "epochs_done": torch.tensor(self.epochs_done)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from a stored `state`."""
        self.volumes.copy_(state["basis.volumes"])
        self.encoder.load_state_dict(nested(state, "encoder."))
        self.head.load_state_dict(nested(state, "head."))
        load_adam(self.optimiser, nested(state, "adam."))
        self.epochs_done = int(state["epochs_done"])

    def _parameters(self) -> dict[str, Tensor]:
        encoder, head = self.encoder.state_dict(), self.head.state_dict()
        return {
            "basis.volumes": self.volumes,
            **with_prefix(encoder, "encoder."),
            **with_prefix(head, "head."),
        }

    def _step(self, batch: Batch, share: float) -> Tensor:
        noise = torch.randn(len(batch.rows), self.start.volumes.shape[1] - 1, generator=self.generator)
        inputs = (batch.rows, sent(noise, self.spectra.device), *batch.images)
        losses = self.graphed(self._update_networks, *inputs)
        count, everyone = len(batch.rows), len(self.chosen)
        step = min(_LARGEST_STEP, relative_step(self.epochs_done + share) * count / everyone)
        # The gradient is twice the residual of the batch's normal equations, and the volumes' are those of all particles.
        pull = step * everyone / (2 * count)
        ops.descend(
            self.volumes,
            self._gradient,
            self._weight,
            self._inverse,
            self.sphere,
            decay=step,
            pull=pull,
            reading=self._rounded,
        )
        return losses

    def _update_networks(self, rows: Tensor, noise: Tensor, *images: Tensor) -> Tensor:
        """Adam's step of encoder and head, the volumes' gradient, and mean loss and divergence (2,) of a `Batch`."""
        spectra = self.spectra
        data, transfer = images or (spectra.data, spectra.transfer)
        mean, log_variance = self.encode(rows)
        coefficients = self.head(sample_latent(mean, log_variance, noise))
        scale = self.filter_bank.scale[rows, None]
        misfit, slope = ops.misfit(
            self.volumes if self._rounded is None else self._rounded,
            scale * pad(coefficients.detach(), (1, 0), value=1.0),
            spectra.rotation[rows],
            data,
            transfer,
            torch.arange(len(rows), device=rows.device) if images else rows,
            spectra.disc,
            self.sphere,
            self._gradient,
        )
        divergence = kl_divergence(mean, log_variance).mean()
        # The misfit's own gradient is known; this has the same one in the coefficients.
        stand_in = (scale * slope[:, 1:] * coefficients).sum(-1).mean()
        self.optimiser.zero_grad()
        (stand_in + self.config.kl_weight * divergence).backward()
        self.optimiser.step()
        divergence = divergence.detach()
        loss = misfit.mean() + self.config.kl_weight * divergence
        return torch.stack([loss / spectra.disc.size, divergence])

    def _masked(self, volumes: Tensor) -> Tensor:
        consensus = multiply_maps(volumes[:, :1], self.sphere, self.mask)
        # Doubled and cut, the region keeps what it is sure of, however often it is applied.
        region = (2 * self.start.region).clamp(max=1)
        return torch.cat([consensus, multiply_maps(volumes[:, 1:], self.sphere, region)], dim=1)

    def _prior_precision(self, weight: Tensor) -> Tensor:
        """Precision (W, C) whose shrinkage at full data is that of the start, w / (w + p) = shrinkage."""
        sphere = self.start.sphere
        shell = sphere.shell.clamp(max=sphere.radius)
        mean_weight = shell_mean(weight.cpu(), shell, sphere.radius + 1)
        shrinkage = self.start.shrinkage.cpu().clamp(_LEAST_SHRINKAGE, 0.999)
        ratio = (1 - shrinkage) / shrinkage
        ratio[0] = 1e-3
        extra = ratio.new_ones(self._curved, ratio.shape[1])
        precision = torch.cat([ratio, extra]) * mean_weight  # (C, R + 1)
        return precision[:, shell].T.contiguous().to(weight)
