"""One running training: its directory, options and particles, and how its progress is told and its epochs published."""

import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_sbackprop.config import Config
from napari_sbackprop.data.half_sets import LEAST_HALF
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.grids import HalfDisc, half_disc
from napari_sbackprop.run_directory import Latents, RunDirectory
from napari_sbackprop.training.group_contrast import GroupContrast
from napari_sbackprop.training.posterior import Posterior
from napari_sbackprop.training.progress import Progress
from napari_sbackprop.training.spectra import Spectra

_SMALLEST_RADIUS = 4
_HELD_OUT = 200  # of small sets, up to a tenth: fewer tell too little
MASK_EDGE = 20.0  # angstrom, of the mask on the images in the paper's recipe


@dataclass
class Session:
    """What every recipe shares.

    Attributes
    ----------
    run : where epochs are published.
    config : options.
    particles : all N of them.
    device : where tensors live.
    stop : set by others to end the training after the present step.
    corrections : (N, 6) of `alignment.Alignment`, published with every epoch; None where particles are not refined.
    contrasts : of the images of each scale, published with every epoch.
    """

    run: RunDirectory
    config: Config
    particles: Particles
    device: torch.device
    stop: threading.Event
    corrections: Tensor | None = None
    contrasts: Sequence[GroupContrast] = ()
    _started: float = field(default_factory=time.monotonic)
    _mark: tuple[float, float] | None = None

    @property
    def disc(self) -> HalfDisc:
        """Pixels up to the resolution asked for, at most the shell below Nyquist."""
        finest = self.particles.box // 2 - 1
        if self.config.resolution is None:
            return half_disc(finest)
        radius = int(self.particles.box * self.particles.pixel_size / self.config.resolution)
        if radius < _SMALLEST_RADIUS:
            coarsest = self.particles.box * self.particles.pixel_size / _SMALLEST_RADIUS
            raise InputError(
                f"--resolution is {self.config.resolution:g} Å, but this box needs {coarsest:.0f} Å or finer."
            )
        return half_disc(min(radius, finest))

    @classmethod
    def for_reading(cls, run: RunDirectory, particles: Particles) -> Self:
        """A session that only asks for what a run's options mean for some particles."""
        return cls(run, run.config, particles, torch.device("cpu"), threading.Event())

    @property
    def mask_radius(self) -> float:
        """Radius of the particle in pixels."""
        if self.config.mask_diameter is None:
            return 0.425 * self.particles.box
        radius = self.config.mask_diameter / self.particles.pixel_size / 2
        if radius > 0.5 * self.particles.box:
            width = self.particles.box * self.particles.pixel_size
            raise InputError(
                f"--mask-diameter is {self.config.mask_diameter:g} Å, but the box is only {width:.0f} Å wide."
            )
        if radius < 1:
            raise InputError(
                f"--mask-diameter is {self.config.mask_diameter:g} Å, less than two pixels: give it in angstrom."
            )
        return radius

    @property
    def flat_mask_diameter(self) -> float:
        """Diameter in angstrom of the flat part of the mask on the images, in the paper's recipe."""
        width = self.particles.box * self.particles.pixel_size
        asked = self.config.mask_diameter
        return 0.75 * width - MASK_EDGE if asked is None else min(asked, width - MASK_EDGE)

    def resolution(self, radius: int) -> float:
        """Resolution in angstrom of a shell."""
        return self.particles.box * self.particles.pixel_size / radius

    def following(
        self, work: Generator[int, None, Spectra], share: float
    ) -> Generator[Progress, None, Spectra | None]:
        """Report work that yields how many particles it has done, the first `share` of the run.

        Returns
        -------
        What the work returns, moved to the device; None when the session was stopped.
        """
        yield self.progress("reading", 0.0)
        started = time.monotonic()
        while not self.stop.is_set():
            try:
                done = next(work)
            except StopIteration as finished:
                spectra: Spectra = finished.value
                return spectra.to(self.device)
            rate = done / (time.monotonic() - started)
            yield self.progress("reading", share * done / self.particles.count, rate=rate)
        return None

    def split(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Particles to train on and particles held out, both as sorted indices; copies of one image stay together."""
        image = self._image_turns(np.arange(self.particles.count))
        count = int(image.max()) + 1
        order = torch.randperm(count, generator=generator)
        wanted = max(self.config.held_out * count, min(_HELD_OUT, 0.1 * count))
        held = torch.isin(image, order[: int(wanted) if self.config.held_out else 0])
        return torch.nonzero(~held).squeeze(-1), torch.nonzero(held).squeeze(-1)

    def halves(self, chosen: Tensor) -> list[Tensor]:
        """The two half sets of the chosen particles: by rlnRandomSubset where it parts them about evenly, else by turns.

        Copies of one image, as symmetry expansion makes them, are always in one half.
        """
        half_set = self.particles.half_set[chosen.numpy()]
        image = self.particles.image_numbers[chosen.numpy()]
        first = half_set == 1
        fewer = min(np.count_nonzero(first), np.count_nonzero(~first))
        shared = np.intersect1d(image[first], image[~first]).size > 0
        if not (half_set > 0).all() or fewer < LEAST_HALF * len(chosen) or shared:
            first = self._image_turns(chosen.numpy()).numpy() % 2 == 0
        return [chosen[torch.from_numpy(first)], chosen[torch.from_numpy(~first)]]

    def _image_turns(self, rows: npt.NDArray[np.integer]) -> Tensor:
        """Number (n,) of the image of each of some particles, in the order in which they first name it."""
        numbers = self.particles.image_numbers[rows]
        _, first, image = np.unique(numbers, return_index=True, return_inverse=True)
        return torch.from_numpy(np.argsort(np.argsort(first))[image])

    def begin_phase(self) -> None:
        """Tell the time left from the speed of what comes now: a phase goes through the run's fractions at its own."""
        self._mark = None

    def progress(
        self,
        stage: str,
        fraction: float,
        *,
        rate: float = 0.0,
        epoch: int | None = None,
        metrics: dict[str, float] | None = None,
    ) -> Progress:
        """A record with the time left, from how the fraction has grown since the first record of this phase."""
        now = time.monotonic()
        if self._mark is None:
            self._mark = (now, fraction)
        start, begun = self._mark
        gained = fraction - begun
        left = (now - start) * (1 - fraction) / gained if gained > 0 else 0.0
        return Progress(stage, min(1.0, fraction), rate, left, epoch, metrics or {})

    def publish(
        self,
        tensors: Mapping[str, Tensor],
        posterior: Posterior,
        *,
        radius: int,
        stage: str,
        metrics: dict[str, float],
        half_set_fsc: Tensor | None = None,
    ) -> int:
        """Publish the next epoch and add its figures to metrics.csv; returns its number.

        Parameters
        ----------
        half_set_fsc : (C, R + 1), of each volume between the half sets, where it was measured.
        """
        known = self.run.epochs()
        epoch = known[-1] + 1 if known else 1
        latents = latents_of(posterior, epoch)
        refined = {} if self.corrections is None else {"alignment": self.corrections}
        description = {
            "recipe": self.config.recipe,
            "stage": stage,
            "box": self.particles.box,
            "pixel_size": self.particles.pixel_size,
            "radius": radius,
            "latent_size": latents.mean.shape[1],
            "group_contrasts": [item._asdict() for item in self.contrasts],
            "metrics": metrics,
        }
        if half_set_fsc is not None:
            description["half_set_fsc"] = [
                [round(value, 4) for value in row] for row in half_set_fsc.tolist()
            ]
        self.run.publish(
            epoch,
            {name: tensor.cpu() for name, tensor in {**tensors, **refined}.items()},
            latents,
            description,
        )
        seconds = round(time.monotonic() - self._started, 2)
        self.run.append_metrics({"epoch": epoch, "seconds": seconds, "stage": stage, **metrics})
        return epoch


def latents_of(posterior: Posterior, epoch: int) -> Latents:
    """The posterior as it is stored."""
    return Latents(
        mean=_numpy(posterior.mean),
        log_variance=_numpy(posterior.covariance.diagonal(dim1=-2, dim2=-1).log()),
        information=_numpy(posterior.information),
        contrast=_numpy(posterior.contrast),
        epoch=epoch,
        scale=_numpy(posterior.scale),
    )


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().float().numpy()


def nested(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Inverse of `nested`."""
    return {prefix + name: value for name, value in tensors.items()}
