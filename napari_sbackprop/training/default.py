"""The default recipe: consensus, closed-form start in stages of resolution, then the VAE from it."""

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_sbackprop.data.grid_map import read_on_grid
from napari_sbackprop.data.mask import read_mask
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.fourier import gridding_correction, sphere_to_volumes
from napari_sbackprop.imaging.grids import HalfSphere, half_sphere
from napari_sbackprop.imaging.masks import soft_ball, solvent_mask
from napari_sbackprop.training.alignment import Alignment
from napari_sbackprop.training.closed_form import LEAST_ALIGNED, ClosedForm
from napari_sbackprop.training.epochs import ended_by_overfitting, run_epochs
from napari_sbackprop.training.group_contrast import (
    GroupContrast,
    apply_contrasts,
    measured_contrasts,
    normalised,
)
from napari_sbackprop.training.linear_model import LinearModel
from napari_sbackprop.training.posterior import SCALE_SPREAD, evidence_figures
from napari_sbackprop.training.progress import Progress
from napari_sbackprop.training.reference import scaled_reference
from napari_sbackprop.training.session import Session, nested, with_prefix
from napari_sbackprop.training.spectra import Spectra, noise_spectra, whitened_spectra
from napari_sbackprop.training.variational import VariationalStage
from napari_sbackprop.training.volume_solver import back_project, mask_solution

logger = logging.getLogger(__name__)
# In epochs of the VAE that take about as long.
_READING = 1
_CLOSED_FORM = 8


@dataclass(frozen=True, eq=False)
class _Data:
    """Particles ready to train on, and what follows from them alone."""

    spectra: Spectra
    consensus: LinearModel
    mask: Tensor
    chosen: Tensor
    held_out: Tensor


def train_default(session: Session, resume: bool) -> Iterator[Progress]:
    """Run the default recipe, or continue it; yields progress, publishes epochs."""
    generator = torch.Generator().manual_seed(session.config.seed)
    chosen, held_out = session.split(generator)
    stored = session.run.read_resume() if resume else {}
    if (end := ended_by_overfitting(session, stored)) is not None:
        yield end
        return
    users_mask, reference = _read_mask(session), _read_reference(session)
    _check_refinement(session)
    reading = whitened_spectra(session.particles, session.disc, session.mask_radius)
    begun = _READING + _CLOSED_FORM
    whole = begun + session.config.epochs
    spectra = yield from session.following(reading, _READING / whole)
    if spectra is None:
        return
    alignment = _alignment(session, spectra)
    data = _with_consensus(session, spectra, chosen, held_out, users_mask, reference)

    halves = session.halves(chosen)
    latent_size = session.config.latent_size
    start = ClosedForm(
        spectra, data.consensus, data.mask, chosen, halves, held_out, latent_size, generator, alignment
    )
    if stored:
        start.load(nested(stored, "start."))
        generator.set_state(stored["generator"])
    finished_before = start.finished
    yield from _run_closed_form(session, data, start, generator, (_READING / whole, begun / whole))
    if start.finished and not finished_before and start.directions == latent_size > 1:
        logger.info(
            "none of the %d directions of the latent space is empty: a larger one may hold more", latent_size
        )
    if start.finished and session.config.epochs and not session.stop.is_set():
        vae = VariationalStage(
            session.config,
            start.model,
            start.scale_spread,
            spectra,
            data.mask,
            chosen,
            held_out,
            generator,
        )
        if vae_state := nested(stored, "vae."):
            vae.load(vae_state)
        yield from run_epochs(
            session,
            vae,
            generator,
            seen_per_epoch=len(chosen),
            radius=spectra.disc.radius,
            begun=begun / whole,
            kept=with_prefix(start.state(), "start."),
        )


def _check_refinement(session: Session) -> None:
    config, particles = session.config, session.particles
    if not (config.refine_poses or config.refine_ctf):
        return
    if not particles.has_one_scale:
        raise InputError(
            f"--refine-poses and --refine-ctf need images of one box and pixel size, which {particles.source} has not: "
            "rescale the images, or leave the options out."
        )
    least_box = 2 * (LEAST_ALIGNED + 1)
    if particles.box < least_box:
        raise InputError(
            f"--refine-poses and --refine-ctf need images of {least_box} px or more, but those of {particles.source} have "
            f"{particles.box} px: bin them less, or leave the options out."
        )
    if session.disc.radius < LEAST_ALIGNED:
        coarsest = math.floor(99.9 * session.resolution(LEAST_ALIGNED)) / 100  # not rounded up
        raise InputError(
            f"--refine-poses and --refine-ctf need --resolution {coarsest:g} Å or finer in this box, but it is "
            f"{session.config.resolution:g} Å: give that, or leave the options out."
        )


def _alignment(session: Session, spectra: Spectra) -> Alignment | None:
    """Corrections of the particles, where the options ask for some."""
    config, particles = session.config, session.particles
    if not (config.refine_poses or config.refine_ctf):
        return None
    noise = noise_spectra(particles, spectra.disc, session.mask_radius)
    alignment = Alignment(particles, spectra, noise, poses=config.refine_poses, ctf=config.refine_ctf)
    session.corrections = alignment.corrections
    return alignment


def _with_consensus(
    session: Session,
    spectra: Spectra,
    chosen: Tensor,
    held_out: Tensor,
    users_mask: Tensor | None,
    reference: Tensor | None,
) -> _Data:
    sphere = half_sphere(spectra.disc.radius)

    def first_consensus() -> Tensor:
        raw, path = back_project(spectra, sphere, chosen), session.config.reference
        if path is None or reference is None:
            return raw
        return scaled_reference(path, reference, spectra, chosen, raw, sphere)

    raw = first_consensus()
    mask = _solvent_mask(session, raw, sphere) if users_mask is None else users_mask.to(raw.device)
    session.contrasts = _contrasts(session, spectra, mask_solution(raw, sphere, mask), sphere)
    if not session.particles.has_one_scale:
        raw = first_consensus()
    volumes = mask_solution(raw, sphere, mask)
    correlation = torch.ones(1, sphere.radius + 1).to(volumes)
    consensus = LinearModel(volumes, sphere, correlation, correlation[:, 0], mask)
    return _Data(spectra, consensus, mask, chosen, held_out)


def _contrasts(
    session: Session, spectra: Spectra, consensus: Tensor, sphere: HalfSphere
) -> list[GroupContrast]:
    """Contrasts of the images of each scale, applied to the spectra."""
    particles = session.particles
    if particles.has_one_scale:
        return [GroupContrast(particles.box, particles.pixel_size, 1.0)]
    contrasts = normalised(measured_contrasts(particles, spectra, consensus, sphere), particles)
    apply_contrasts(contrasts, particles, spectra)
    return contrasts


def _read_mask(session: Session) -> Tensor | None:
    path = session.config.mask
    if path is None:
        return None
    return torch.from_numpy(read_mask(path, session.particles.box, session.particles.pixel_size))


def _read_reference(session: Session) -> Tensor | None:
    path = session.config.reference
    if path is None:
        return None
    return torch.from_numpy(read_on_grid(path, session.particles.box, session.particles.pixel_size))


def _solvent_mask(session: Session, raw: Tensor, sphere: HalfSphere) -> Tensor:
    """Mask made from the consensus (W, 1, 2), as a back-projection gives it."""
    box = session.particles.box
    consensus = sphere_to_volumes(torch.view_as_complex(raw[:, 0].contiguous()), sphere, box).cpu()
    ball = soft_ball(box, session.mask_radius, edge=0.05 * box, dimensions=3)
    region = solvent_mask(consensus / gridding_correction(box) * ball, session.particles.pixel_size)
    return (region * ball).to(raw.device)


def _run_closed_form(
    session: Session,
    data: _Data,
    start: ClosedForm,
    generator: torch.Generator,
    fractions: tuple[float, float],
) -> Iterator[Progress]:
    """Iterate to its end, which takes the run from the first to the second of two fractions; publish each stage."""
    session.begin_phase()
    while not start.finished and not session.stop.is_set():
        started = time.monotonic()
        posterior = start.iterate()
        rate = data.spectra.count / (time.monotonic() - started)
        radius = start.model.sphere.radius
        stage = f"closed-form start, {session.resolution(radius):.0f} Å"
        fraction = fractions[0] + (fractions[1] - fractions[0]) * start.fraction
        if not start.worth_showing:
            yield session.progress(
                stage, fraction, rate=rate, metrics=evidence_figures(posterior, data.held_out)
            )
            continue
        posterior = start.posterior()
        metrics = {**evidence_figures(posterior, data.held_out), SCALE_SPREAD: start.scale_spread}
        tensors = {
            "basis.volumes": start.model.volumes,
            "decode_filter": start.model.decode_filter,
            "mask": data.mask,
        }
        epoch = session.publish(
            tensors,
            posterior,
            radius=radius,
            stage=stage,
            metrics=metrics,
            half_set_fsc=start.half_set_fsc,
        )
        session.run.write_resume({**with_prefix(start.state(), "start."), "generator": generator.get_state()})
        yield session.progress(stage, fraction, rate=rate, epoch=epoch, metrics=metrics)
