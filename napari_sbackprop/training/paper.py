"""The paper's recipe: eqs. 3-5 of Kimanius et al. 2022 with the settings of the code that was published with it.

Kept: masked images, spectral normalisation (eq. 5), a residual perceptron on all aligned pixels, a three-layer head for
s(z), volumes that start at zero, the loss of eq. 4, and Adam at one learning rate. Different: the spectra are fixed
before the first step instead of drifting through the first epoch; there is no second (nuisance) head, no moving gain of
the volumes, no embedding of the micrograph, and no clamp on the loss of an image.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from napari_sbackprop.data.loader import read_images
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.fourier import images_to_disc
from napari_sbackprop.imaging.grids import HalfDisc, half_sphere
from napari_sbackprop.imaging.masks import soft_ball
from napari_sbackprop.imaging.shells import shell_mean
from napari_sbackprop.models.coefficients import CoefficientHead
from napari_sbackprop.models.encoder import ImageEncoder
from napari_sbackprop.models.latent import kl_divergence, sample_latent
from napari_sbackprop.models.structural_basis import StructuralBasis
from napari_sbackprop.training.epochs import adam_tensors, load_adam, one_pass, run_epochs
from napari_sbackprop.training.image_model import image_phase, slice_matrices, transfer_function
from napari_sbackprop.training.posterior import Posterior
from napari_sbackprop.training.progress import Progress
from napari_sbackprop.training.session import MASK_EDGE, Session, nested, with_prefix
from napari_sbackprop.training.spectra import CHUNK, Batch, Spectra
from napari_sbackprop.training.streaming import sent

_LEARNING_RATE, _HEAD_DECAY = 1e-4, 1e-3
_VOLUME_SCALE = 1e-6  # of the random start
_EPSILON = 1e-3  # of eq. 5, on the root, as the code has it
_READING = 0.5  # epochs that take about as long
_ENCODED_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class NormalisedSpectra:
    """Spectra in the units of eq. 5, and the amplitudes that were divided out.

    Attributes
    ----------
    spectra : data over the CTF-corrected amplitude; the transfer is the plain CTF.
    amplitude : (R + 1,), root mean square of a component of the data, by shell.
    corrected : (R + 1,), the same over the root mean square of the CTF.
    """

    spectra: Spectra
    amplitude: Tensor
    corrected: Tensor


def train_paper(session: Session, resume: bool) -> Iterator[Progress]:
    """Run the paper's recipe, or continue it; yields progress, publishes epochs."""
    generator = torch.Generator().manual_seed(session.config.seed)
    chosen, held_out = session.split(generator)
    reading = masked_spectra(session.particles, session.disc, session.flat_mask_diameter)
    begun = _READING / (_READING + session.config.epochs)
    spectra = yield from session.following(reading, begun)
    if spectra is None:
        return
    model = PaperModel(session, normalise(spectra), chosen, held_out, generator)
    if resume:
        stored = session.run.read_resume()
        model.load(nested(stored, "vae."))
        generator.set_state(stored["generator"])
    radius = spectra.disc.radius
    yield from run_epochs(
        session, model, generator, seen_per_epoch=len(chosen), radius=radius, begun=begun, kept={}
    )


def masked_spectra(
    particles: Particles, disc: HalfDisc, mask_diameter: float
) -> Generator[int, None, Spectra]:
    """Transform images that are centred by whole pixels and masked by a soft disc; yields the number done.

    Returns the `Spectra`, neither normalised nor whitened: the transfer is the CTF.

    Parameters
    ----------
    mask_diameter : angstrom, where the flat part of the mask ends.

    Raises
    ------
    InputError
        Optics groups differ in box or pixel size: eq. 5 knows one amplitude for each shell of all images.
    """
    if not particles.has_one_scale:
        raise InputError(
            f"{particles.source} has optics groups of several boxes or pixel sizes, but the recipe 'paper' needs one: "
            "use the recipe 'default', or extract the particles again at one scale."
        )
    box, pixel_size = particles.box, particles.pixel_size
    mask = soft_ball(box, mask_diameter / pixel_size / 2, MASK_EDGE / pixel_size, dimensions=2)
    data = torch.empty(particles.count, disc.size, dtype=torch.complex64)
    transfer = torch.empty(particles.count, disc.size)
    for start in range(0, particles.count, CHUNK):
        indices = np.arange(start, min(start + CHUNK, particles.count))
        whole = (torch.from_numpy(particles.shift[indices]) / pixel_size).round()
        images = torch.from_numpy(read_images(particles, indices))
        centred = [
            torch.roll(image, (int(y), int(x)), (0, 1)) for image, (x, y) in zip(images, whole, strict=True)
        ]
        values = images_to_disc(torch.stack(centred) * mask, disc)
        chunk = slice(start, start + len(indices))
        data[chunk] = values * image_phase(particles, indices, disc, moved_px=whole).conj()
        transfer[chunk] = transfer_function(particles, indices, disc)
        yield start + len(indices)
    return Spectra(disc, data, transfer, slice_matrices(particles, np.arange(particles.count)))


def normalise(spectra: Spectra) -> NormalisedSpectra:
    """Divide the data by the CTF-corrected amplitude of eq. 5, shell by shell."""
    disc, shells = spectra.disc, spectra.disc.radius + 1
    power, transfer = torch.zeros(shells), torch.zeros(shells)
    for _, part in spectra.parts(torch.arange(spectra.count), _ENCODED_AT_ONCE):
        component = part.data.abs().square() / 2
        power += shell_mean(component, disc.shell, shells, disc.weight).sum(0).cpu()
        transfer += shell_mean(part.transfer.square(), disc.shell, shells, disc.weight).sum(0).cpu()
    amplitude = (power / spectra.count).sqrt().clamp(min=torch.finfo(power.dtype).tiny)
    corrected = amplitude / ((transfer / spectra.count).sqrt() + _EPSILON)
    spectra.data.div_(corrected[disc.shell].to(spectra.data.device))
    return NormalisedSpectra(spectra, amplitude, corrected)


def encoder_input(spectra: Spectra, ratio: Tensor) -> Tensor:
    """What the encoder sees: Hartley transforms, CTF signs undone, turned in the plane to a common orientation.

    Parameters
    ----------
    spectra : of B particles; the upper left 2 x 2 block of the rotation turns the image.
    ratio : (R + 1,), what leaves each component with unit variance: corrected over plain amplitude of `NormalisedSpectra`.

    Returns
    -------
    (B, n), all n pixels within the disc.
    """
    rotation, disc, device = spectra.rotation, spectra.disc, spectra.device
    count, radius = spectra.count, disc.radius
    side = 2 * radius + 1
    values = spectra.data * (spectra.transfer.sign() * ratio.to(device)[disc.shell])
    x, y = disc.coordinates.to(device).unbind(-1)
    plane = rotation.new_zeros(count, side, side)
    plane[:, radius - y, radius - x] = values.real + values.imag  # Hartley at -k
    plane[:, radius + y, radius + x] = values.real - values.imag
    turn = torch.cat([rotation[:, :2, :2], rotation.new_zeros(count, 2, 1)], dim=-1)
    grid = affine_grid(turn, [count, 1, side, side], align_corners=True)
    turned = grid_sample(plane[:, None], grid, align_corners=True)[:, 0]
    axis = torch.arange(-radius, radius + 1, device=device)
    inside = (axis[:, None] ** 2 + axis**2) <= (radius + 0.5) ** 2
    return turned[:, inside]


class PaperModel(nn.Module):
    """Encoder, coefficient head and structural basis of the paper, and their optimiser."""

    def __init__(
        self,
        session: Session,
        data: NormalisedSpectra,
        chosen: Tensor,
        held_out: Tensor,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.config, self.data, self._box = session.config, data, session.particles.box
        self.chosen, self.held_out, self.generator = chosen, held_out, generator
        self.epochs_done = 0
        disc, device = data.spectra.disc, session.device
        sphere = half_sphere(disc.radius)
        with torch.random.fork_rng():
            torch.manual_seed(self.config.seed)
            _, first = next(data.spectra.parts(torch.arange(1), 1))
            pixels = self._encoder_input(first).shape[1]
            self.encoder = ImageEncoder(pixels, self.config.latent_size).to(device)
            self.head = CoefficientHead(
                self.config.latent_size, self.config.basis_size, linear_start=False
            ).to(device)
            volumes = _VOLUME_SCALE * torch.randn(sphere.size, self.config.basis_size + 1, 2)
        volumes[:, 0] = 0
        self.basis = StructuralBasis(volumes.to(device), sphere)
        weight = data.corrected**2 / (data.corrected**2).mean()
        self._weight = (weight[disc.shell] * disc.weight / disc.weight.sum()).to(
            device
        )  # (P,), a mean over pixels
        groups: list[dict[str, Any]] = [
            {"params": [*self.encoder.parameters(), *self.basis.parameters()]},
            {"params": self.head.parameters(), "weight_decay": _HEAD_DECAY},
        ]
        self._optimiser = torch.optim.Adam(
            groups,
            lr=self.config.learning_rate or _LEARNING_RATE,
            fused=True,
        )

    def epoch(self) -> Iterator[tuple[int, Tensor]]:
        """One pass over the chosen particles in random order; yields how many were seen and their mean losses."""
        spectra, size = self.data.spectra, self.config.batch_size
        yield from one_pass(spectra, self.chosen, size, self.generator, self._step)
        self.epochs_done += 1

    @torch.no_grad()
    def outcome(self) -> tuple[Posterior, dict[str, float]]:
        """The encoder's answer for all particles, and the loss on those that were left out of training."""
        spectra = self.data.spectra
        everything = spectra.parts(torch.arange(spectra.count), _ENCODED_AT_ONCE)
        means, log_variances = zip(
            *(self.encoder(self._encoder_input(part)) for _, part in everything), strict=True
        )
        posterior = diagonal_posterior(torch.cat(means), torch.cat(log_variances))
        if not len(self.held_out):
            return posterior, {}
        left_out = spectra.parts(self.held_out, _ENCODED_AT_ONCE)
        losses = [self._losses(part)[0] * part.count for _, part in left_out]
        return posterior, {"held_out_loss": torch.stack(losses).sum().item() / len(self.held_out)}

    def published(self) -> dict[str, Tensor]:
        """Tensors that decoding and encoding need, by name."""
        return {
            "basis.volumes": self.basis.volumes.detach(),
            **with_prefix(self.encoder.state_dict(), "encoder."),
            **with_prefix(self.head.state_dict(), "head."),
            "amplitude": self.data.amplitude,
            "corrected_amplitude": self.data.corrected,
            "decode_filter": self.data.corrected.expand(self.basis.volumes.shape[1], -1),
            "mask": torch.ones(3 * (self._box,)),
        }

    def state(self) -> dict[str, Tensor]:
        """Tensors that continuing needs, by name."""
        model, adam = (
            with_prefix(self.state_dict(), "model."),
            with_prefix(adam_tensors(self._optimiser), "adam."),
        )
        return {**model, **adam, "epochs_done": torch.tensor(self.epochs_done)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from a stored `state`."""
        self.load_state_dict(nested(state, "model."))
        load_adam(self._optimiser, nested(state, "adam."))
        self.epochs_done = int(state["epochs_done"])

    def _encoder_input(self, part: Spectra) -> Tensor:
        return encoder_input(part, self.data.corrected / self.data.amplitude)

    def _step(self, batch: Batch, _: float) -> Tensor:
        loss, divergence = self._losses(self.data.spectra.part(batch))
        # The weight of the KL term as the code has it: per pixel, and by the share of a batch in the data.
        weight = (
            self.config.kl_weight * self.config.batch_size / (len(self.chosen) * self.data.spectra.disc.size)
        )
        self._optimiser.zero_grad()
        (loss + weight * divergence).backward()
        if self.basis.volumes.grad is not None:
            self.basis.tie(self.basis.volumes.grad)
        self._optimiser.step()
        return torch.stack([loss, divergence]).detach()

    def _losses(self, part: Spectra) -> tuple[Tensor, Tensor]:
        """Mean loss of eq. 4 per pixel, with the CTF as a weight once more, and mean KL divergence."""
        mean, log_variance = self.encoder(self._encoder_input(part))
        noise = sent(torch.randn(mean.shape, generator=self.generator), mean.device)
        coefficients = self.head(sample_latent(mean, log_variance, noise))
        slices = self.basis(coefficients, part.rotation, part.disc)
        residual = torch.view_as_real(part.transfer * slices - part.data).square().sum(-1) * part.transfer**2
        return (residual @ self._weight).mean(), kl_divergence(mean, log_variance).mean()


def diagonal_posterior(mean: Tensor, log_variance: Tensor) -> Posterior:
    """A posterior from an encoder's mean and log-variance (N, Z): no correlation, and no evidence is known."""
    variance = log_variance.exp()
    information = torch.diag_embed((1 / variance - 1).clamp(min=0))
    unknown = torch.full_like(mean[:, 0], torch.nan)
    one = torch.ones_like(unknown)
    return Posterior(mean, torch.diag_embed(variance), information, unknown, unknown, unknown, one, 0 * one)
