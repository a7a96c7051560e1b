"""Particle spectra: what training sees of the images, prepared once.

An image becomes its half-disc spectrum, moved so that the particle is centred, freed of the phase of antisymmetric
aberrations, and divided by the noise's amplitude, so that noise has unit variance per complex pixel. The transfer is
the CTF divided by the same amplitude. After that the image model (eq. 1) reads data = transfer * slice + unit noise.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_sbackprop.data.loader import read_images
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.fourier import images_to_disc
from napari_sbackprop.imaging.grids import HalfDisc, half_disc
from napari_sbackprop.imaging.masks import soft_ball
from napari_sbackprop.imaging.shells import shell_mean
from napari_sbackprop.training.image_model import image_phase, slice_matrices, transfer_function
from napari_sbackprop.training.streaming import fits, streamed

CHUNK = 128  # images read and transformed at once
_NOISE_SAMPLE = 2000  # images per optics group that the noise spectrum is measured on
_FIRST_TRUSTED_SHELL = 3  # background subtraction empties the shells below


class Batch(NamedTuple):
    """Some particles, by their numbers among all.

    Attributes
    ----------
    rows : (n,) int64, on the device that computes.
    images : data and transfer (n, P) of these particles there, where it does not hold those of all; else empty.
    """

    rows: Tensor
    images: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Spectra:
    """Whitened, centred spectra of N particles; of a set that a GPU cannot hold, data and transfer stay in main memory.

    Attributes
    ----------
    disc : the pixels, in cycles per box of each image.
    data : (N, P) complex64, centred spectra over the noise amplitude.
    transfer : (N, P) float32, CTF over the noise amplitude.
    rotation : (N, 3, 3) float32, the slice matrices of imaging.poses: A, and how images are stretched.
    """

    disc: HalfDisc
    data: Tensor
    transfer: Tensor
    rotation: Tensor

    @property
    def count(self) -> int:
        """Number of particles N."""
        return int(self.data.shape[0])

    @property
    def device(self) -> torch.device:
        """Where batches are computed."""
        return self.rotation.device

    def to(self, device: torch.device) -> "Spectra":
        """The same particles for a device: poses there, data and transfer as well if they fit."""
        rotation = self.rotation.to(device)
        if self.data.device != device and not fits(self.data.nbytes + self.transfer.nbytes, device):
            return replace(self, rotation=rotation)
        return replace(self, data=self.data.to(device), transfer=self.transfer.to(device), rotation=rotation)

    def batches(self, rows: Tensor, size: int) -> Iterator[Batch]:
        """Go through some particles (n,) in their order, `size` at a time; nothing waits for the device."""
        on_device = rows.to(self.device).split(size)
        if self.data.device == self.device:
            images: Iterator[tuple[Tensor, ...]] = iter([()] * len(on_device))
        else:
            images = streamed((self.data, self.transfer), rows, size, self.device)
        yield from map(Batch, on_device, images)

    def part(self, batch: Batch) -> "Spectra":
        """The particles of a batch alone, on the device."""
        data, transfer = batch.images or (self.data[batch.rows], self.transfer[batch.rows])
        return replace(self, data=data, transfer=transfer, rotation=self.rotation[batch.rows])

    def parts(self, rows: Tensor, size: int) -> Iterator[tuple[Tensor, "Spectra"]]:
        """The `batches` as rows (n,) on the device and the spectra of these particles alone."""
        return ((batch.rows, self.part(batch)) for batch in self.batches(rows, size))

    def subset(self, rows: Tensor) -> "Spectra":
        """Some of the particles."""
        chosen = replace(
            self, data=self.data[rows], transfer=self.transfer[rows], rotation=self.rotation[rows]
        )
        return chosen.to(self.device)

    def cropped(self, radius: int) -> "Spectra":
        """The same particles at lower resolution: shells 0 ... radius."""
        if radius == self.disc.radius:
            return self
        disc = half_disc(radius)
        index = self.disc.positions(disc).to(self.data.device)
        coarse = replace(self, disc=disc, data=self.data[:, index], transfer=self.transfer[:, index])
        return coarse.to(self.device)


def noise_spectra(particles: Particles, disc: HalfDisc, mask_radius: float) -> Tensor:
    """Noise variance per complex pixel of each optics group and shell, measured outside the particle.

    Parameters
    ----------
    mask_radius : pixels of the map; what lies beyond is background.

    Returns
    -------
    (G, R + 1) float32, in units of the unnormalised transform. Shells beyond a group's band repeat its last one.
    """
    rows = []
    for index, group in enumerate(particles.optics):
        # Smaller images than the mask's have their background in the corners.
        radius = min(mask_radius * particles.pixel_size / group.pixel_size, group.image_size / 2)
        background = 1 - soft_ball(group.image_size, radius, edge=0.05 * group.image_size, dimensions=2)
        members = np.flatnonzero(particles.optics_index == index)
        chosen = members[:: max(1, len(members) // _NOISE_SAMPLE)][:_NOISE_SAMPLE]
        power = torch.zeros(disc.radius + 1)
        for start in range(0, len(chosen), CHUNK):
            images = torch.from_numpy(read_images(particles, chosen[start : start + CHUNK]))
            spectrum = _transform(images * background, disc).abs() ** 2
            power += shell_mean(spectrum, disc.shell, disc.radius + 1, disc.weight).sum(0)
        row = power / len(chosen) / background.square().mean()
        row[:_FIRST_TRUSTED_SHELL] = torch.maximum(row[:_FIRST_TRUSTED_SHELL], row[_FIRST_TRUSTED_SHELL])
        row[group.image_size // 2 :] = row[min(disc.radius, group.image_size // 2 - 1)]
        if not row.min() > 0:
            raise InputError(
                f"The images of optics group {group.name!r} in {particles.source} have no noise outside "
                "the particle: give images that were not masked, or choose a smaller mask diameter."
            )
        rows.append(row)
    return torch.stack(rows)


def _transform(images: Tensor, disc: HalfDisc) -> Tensor:
    """Half-disc values (n, P) of images (n, M, M), zero where the disc goes beyond their band."""
    band = half_disc(min(disc.radius, images.shape[-1] // 2 - 1))
    values = torch.zeros(len(images), disc.size, dtype=torch.complex64)
    values[:, disc.positions(band)] = images_to_disc(images, band)
    return values


def whitened_spectra(
    particles: Particles, disc: HalfDisc, mask_radius: float
) -> Generator[int, None, Spectra]:
    """Read, transform, centre and whiten all particles; yields the number done and returns the `Spectra`.

    Parameters
    ----------
    mask_radius : pixels; the noise is measured beyond.

    Raises
    ------
    InputError
        An image holds NaN or infinity; the sentence names the row.
    """
    amplitude = noise_amplitude(particles, disc, mask_radius)
    data = torch.empty(particles.count, disc.size, dtype=torch.complex64)
    transfer = torch.empty(particles.count, disc.size)
    for start in range(0, particles.count, CHUNK):
        indices = np.arange(start, min(start + CHUNK, particles.count))
        chunk = slice(start, start + len(indices))
        part = spectra_of(particles, indices, disc, amplitude)
        data[chunk], transfer[chunk] = part.data, part.transfer
        yield start + len(indices)
    return Spectra(disc, data, transfer, slice_matrices(particles, np.arange(particles.count)))


def noise_amplitude(particles: Particles, disc: HalfDisc, mask_radius: float) -> Tensor:
    """Noise's standard deviation at every pixel for each optics group, (G, P); see `noise_spectra`."""
    return noise_spectra(particles, disc, mask_radius).sqrt()[:, disc.shell]


def spectra_of(particles: Particles, indices: np.ndarray, disc: HalfDisc, amplitude: Tensor) -> Spectra:
    """Read, transform, centre and whiten some of the particles by the `noise_amplitude`."""
    data = torch.empty(len(indices), disc.size, dtype=torch.complex64)
    sizes = np.array([group.image_size for group in particles.optics])[particles.optics_index[indices]]
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        data[rows] = _transform(torch.from_numpy(read_images(particles, indices[rows])), disc)
    whiten = amplitude[torch.from_numpy(particles.optics_index[indices]).long()]
    data *= image_phase(particles, indices, disc).conj() / whiten
    transfer = transfer_function(particles, indices, disc) / whiten
    return Spectra(disc, data, transfer, slice_matrices(particles, indices))
