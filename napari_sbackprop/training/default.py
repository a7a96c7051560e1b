"""The default recipe: consensus, closed-form start in stages of resolution, then the VAE from it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_sbackprop.data.mrc import read_volume
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.fourier import gridding_correction, sphere_to_volumes
from napari_sbackprop.imaging.grids import HalfSphere, half_sphere
from napari_sbackprop.imaging.masks import soft_ball, solvent_mask
from napari_sbackprop.training.closed_form import ClosedForm
from napari_sbackprop.training.linear_model import LinearModel
from napari_sbackprop.training.posterior import Posterior
from napari_sbackprop.training.progress import Progress
from napari_sbackprop.training.session import Session, nested, with_prefix
from napari_sbackprop.training.spectra import Spectra
from napari_sbackprop.training.variational import VariationalStage
from napari_sbackprop.training.volume_solver import back_project, mask_solution

_READING, _STARTING = 0.1, 0.6  # of the run: what is done after reading, and after the closed-form start
_REPORT_SECONDS = 0.1


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
    spectra = yield from session.read_spectra(_READING)
    if spectra is None:
        return
    data = _with_consensus(session, spectra, chosen, held_out)

    halves = session.halves(chosen)
    start = ClosedForm(spectra, data.consensus, data.mask, chosen, halves, session.config.latent_size, generator)
    stored = session.run.read_resume() if resume else {}
    if stored:
        start.load(nested(stored, "start."))
        generator.set_state(stored["generator"])
    yield from _run_closed_form(session, data, start, generator)
    if start.finished and session.config.epochs and not session.stop.is_set():
        yield from _run_variational(session, data, start, generator, nested(stored, "vae."))


def _with_consensus(session: Session, spectra: Spectra, chosen: Tensor, held_out: Tensor) -> _Data:
    sphere = half_sphere(spectra.disc.radius)
    raw = back_project(spectra, sphere, chosen)
    mask = _solvent_mask(session, raw, sphere)
    volumes = mask_solution(raw, sphere, mask)
    correlation = torch.ones(1, sphere.radius + 1).to(volumes)
    return _Data(spectra, LinearModel(volumes, sphere, correlation), mask, chosen, held_out)


def _solvent_mask(session: Session, raw: Tensor, sphere: HalfSphere) -> Tensor:
    """The user's mask, or one made from the back-projected consensus (W, 1, 2)."""
    box, path = session.particles.box, session.config.mask
    if path is not None:
        values, _ = read_volume(path)
        if values.shape[0] != box:
            raise InputError(f"{path} has a box of {values.shape[0]}, but the particles have {box}: resample the mask.")
        return torch.from_numpy(values).clamp(0, 1).to(raw.device)
    consensus = sphere_to_volumes(torch.view_as_complex(raw[:, 0].contiguous()), sphere, box).cpu()
    ball = soft_ball(box, session.mask_radius, edge=0.05 * box, dimensions=3)
    region = solvent_mask(consensus / gridding_correction(box) * ball, session.particles.pixel_size)
    return (region * ball).to(raw.device)


def _run_closed_form(
    session: Session, data: _Data, start: ClosedForm, generator: torch.Generator
) -> Iterator[Progress]:
    share = (_STARTING if session.config.epochs else 1.0) - _READING
    while not start.finished and not session.stop.is_set():
        started = time.monotonic()
        posterior = start.iterate()
        rate = data.spectra.count / (time.monotonic() - started)
        radius = start.model.sphere.radius
        stage = f"closed-form start, {session.resolution(radius):.0f} Å"
        fraction = _READING + share * start.fraction
        if not start.worth_showing:
            yield session.progress(stage, fraction, rate=rate, metrics=_figures(posterior, data.held_out))
            continue
        posterior = start.posterior()
        metrics = _figures(posterior, data.held_out)
        tensors = {
            "basis.volumes": start.model.volumes,
            "decode_filter": start.model.decode_filter,
            "mask": data.mask,
        }
        epoch = session.publish(tensors, posterior, radius=radius, stage=stage, metrics=metrics)
        session.run.write_resume({**with_prefix(start.state(), "start."), "generator": generator.get_state()})
        yield session.progress(stage, fraction, rate=rate, epoch=epoch, metrics=metrics)


def _run_variational(
    session: Session,
    data: _Data,
    start: ClosedForm,
    generator: torch.Generator,
    stored: dict[str, Tensor],
) -> Iterator[Progress]:
    epochs, radius = session.config.epochs, start.model.sphere.radius
    vae = VariationalStage(session.config, start.model, data.spectra, data.mask, data.chosen, generator)
    if stored:
        vae.load(stored)
    while vae.epochs_done < epochs:
        stage = f"VAE, epoch {vae.epochs_done + 1} of {epochs}"
        begun = _STARTING + (1 - _STARTING) * vae.epochs_done / epochs
        started = reported = time.monotonic()
        for seen, losses in vae.epoch():
            if session.stop.is_set():
                return
            now = time.monotonic()
            if now - reported > _REPORT_SECONDS:
                reported = now
                fraction = begun + 0.95 * (1 - _STARTING) / epochs * seen / len(data.chosen)
                yield session.progress(stage, fraction, rate=seen / (now - started), metrics=losses)
        rate = len(data.chosen) / (time.monotonic() - started)
        posterior = vae.posterior()
        metrics = {**_figures(posterior, data.held_out), **losses}
        tensors = {**vae.tensors(), "decode_filter": start.model.decode_filter.new_ones(vae.channels, radius + 1), "mask": data.mask}
        epoch = session.publish(tensors, posterior, radius=radius, stage=stage, metrics=metrics)
        session.run.write_resume(
            {
                **with_prefix(start.state(), "start."),
                **with_prefix(vae.state(), "vae."),
                "generator": generator.get_state(),
            }
        )
        fraction = _STARTING + (1 - _STARTING) * vae.epochs_done / epochs
        yield session.progress(stage, fraction, rate=rate, epoch=epoch, metrics=metrics)


def _figures(posterior: Posterior, held_out: Tensor) -> dict[str, float]:
    """What to watch: evidence over the consensus in nats per particle, and information per latent dimension.

    A falling loss proves nothing; held-out evidence that falls while the other rises is overfitting.
    """
    figures = {"evidence": posterior.evidence.mean().item()}
    if len(held_out):
        figures["held_out_evidence"] = posterior.evidence[held_out].mean().item()
    strength = posterior.information.mean(0).diagonal()
    return {**figures, **{f"information_{k + 1}": value for k, value in enumerate(strength.tolist())}}
