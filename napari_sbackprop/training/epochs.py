"""Epochs of a variational autoencoder: run, report, publish what left-out particles confirm, keep what resuming needs."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor

from napari_sbackprop.training.posterior import Posterior
from napari_sbackprop.training.progress import Progress, TrainingError
from napari_sbackprop.training.session import Session, with_prefix
from napari_sbackprop.training.spectra import Batch, Spectra

logger = logging.getLogger(__name__)

_REPORT_SECONDS = 0.1
_PATIENCE = 2  # epochs in a row that left-out particles deny, before training ends
_OVERFITTED = "overfitted"  # in resume.safetensors: how many epochs were asked for when training ended so


class Trainable(Protocol):
    """A model that learns in epochs."""

    epochs_done: int

    def epoch(self) -> Iterator[tuple[int, Tensor]]:
        """One pass; yields how many particles were seen and their mean loss and KL divergence (2,)."""

    def outcome(self) -> tuple[Posterior, dict[str, float]]:
        """Latents of all particles under the present model, and what to show of it besides the losses."""

    def published(self) -> dict[str, Tensor]:
        """Tensors that decoding and encoding need, by name."""

    def state(self) -> dict[str, Tensor]:
        """Tensors that continuing needs, by name."""


def run_epochs(
    session: Session,
    model: Trainable,
    generator: torch.Generator,
    *,
    seen_per_epoch: int,
    radius: int,
    begun: float,
    kept: Mapping[str, Tensor],
) -> Iterator[Progress]:
    """Train until the configured number of epochs is done, the session is stopped, or the model overfits; publish each.

    An epoch that explains the left-out particles worse than the newest published one is not published, and two of them
    in a row end the training: the newest epoch explains them best, be it one of the closed-form start. Where more epochs
    are asked for later, training goes on behind those two.

    Parameters
    ----------
    begun : fraction of the whole run that is done when the first epoch begins.
    kept : further tensors for resume.safetensors.
    """
    epochs = session.config.epochs
    best, denied = _newest_score(session), 0

    def state() -> dict[str, Tensor]:
        return {**kept, **with_prefix(model.state(), "vae."), "generator": generator.get_state()}

    session.begin_phase()
    while model.epochs_done < epochs and denied < _PATIENCE:
        number = model.epochs_done
        stage = f"VAE, epoch {number + 1} of {epochs}"
        started = reported = time.monotonic()
        losses = torch.zeros(2)
        for seen, losses in model.epoch():
            if session.stop.is_set():
                return
            if time.monotonic() - reported > _REPORT_SECONDS:
                metrics = _loss_figures(losses, session)
                reported = time.monotonic()
                fraction = begun + (1 - begun) * (number + 0.95 * seen / seen_per_epoch) / epochs
                yield session.progress(stage, fraction, rate=seen / (reported - started), metrics=metrics)
        metrics = _loss_figures(losses, session)
        rate = seen_per_epoch / (time.monotonic() - started)
        posterior, figures = model.outcome()
        metrics |= figures
        fraction = begun + (1 - begun) * model.epochs_done / epochs
        score = _score(figures)
        if not score >= best:  # not a number is no better
            denied += 1
            fraction = 1.0 if denied == _PATIENCE else fraction
            logger.info("%s is not kept: the left-out particles score %.6g, after %.6g", stage, score, best)
            stage += ": not kept, the left-out particles fit worse"
            if denied == _PATIENCE:
                session.run.write_resume({**state(), _OVERFITTED: torch.tensor(epochs)})
            yield session.progress(stage, fraction, rate=rate, metrics=metrics)
            continue
        best, denied = score, 0
        epoch = session.publish(model.published(), posterior, radius=radius, stage=stage, metrics=metrics)
        session.run.write_resume(state())
        yield session.progress(stage, fraction, rate=rate, epoch=epoch, metrics=metrics)


def ended_by_overfitting(session: Session, stored: Mapping[str, Tensor]) -> Progress | None:
    """The record that says so, where a run's `stored` state does and no more epochs are asked for than then."""
    if _OVERFITTED not in stored or session.config.epochs > int(stored[_OVERFITTED]):
        return None
    stage = (
        f"ended at epoch {session.run.latest_epoch()}, after which the left-out particles fitted worse: ask for more than "
        f"{int(stored[_OVERFITTED])} epochs to go on"
    )
    logger.info("%s %s", session.run.path, stage)
    return session.progress(stage, 1.0)


def _newest_score(session: Session) -> float:
    epochs = session.run.epochs()
    return _score(session.run.read_description(epochs[-1])["metrics"]) if epochs else -math.inf


def _score(figures: Mapping[str, float]) -> float:
    """How well the left-out particles are explained; 0 where that is not known, as in the paper's recipe."""
    return figures.get("held_out_likelihood", 0.0)


def _loss_figures(losses: Tensor, session: Session) -> dict[str, float]:
    """Loss and KL divergence (2,) by name; waits until a GPU knows them.

    Raises
    ------
    TrainingError
        They are not finite.
    """
    loss, divergence = losses.tolist()
    if not (math.isfinite(loss) and math.isfinite(divergence)):
        what = (
            "the last finished epoch is kept; go on"
            if session.run.epochs()
            else "no epoch is finished; begin again"
        )
        raise TrainingError(f"The loss became {loss}: {what} with a smaller --learning-rate.")
    return {"loss": loss, "kl": divergence}


def one_pass(
    spectra: Spectra,
    chosen: Tensor,
    batch_size: int,
    generator: torch.Generator,
    step: Callable[[Batch, float], Tensor],
) -> Iterator[tuple[int, Tensor]]:
    """Pass over the chosen particles (n,) in random order; yields how many were seen and their mean losses.

    A GPU goes on by itself: it is waited for by who looks at the losses.

    Parameters
    ----------
    step : takes a batch, and the share of the particles that were seen before; gives its mean losses.
    """
    order = chosen[torch.randperm(len(chosen), generator=generator)]
    seen, sums = 0, torch.zeros(2, device=spectra.device)
    for batch in spectra.batches(order, batch_size):
        losses = step(batch, seen / len(order))
        seen += len(batch.rows)
        sums += len(batch.rows) * losses
        yield seen, sums / seen


def adam_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of an optimiser, flat: "number.name" of each parameter's tensors."""
    state = optimiser.state_dict()["state"]
    return {f"{number}.{name}": value for number, values in state.items() for name, value in values.items()}


def load_adam(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Inverse of `adam_tensors`."""
    document = optimiser.state_dict()
    for key, value in tensors.items():
        number, name = key.split(".")
        document["state"].setdefault(int(number), {})[name] = value
    optimiser.load_state_dict(document)
