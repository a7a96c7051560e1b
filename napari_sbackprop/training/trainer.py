"""The training loop: from a STAR file to published epochs of a run directory.

`train` is a generator of progress records. It knows no threads and no GUI: stop it between steps by an Event, and it
returns after the newest complete epoch.
"""

import logging
import platform
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_sbackprop import __version__
from napari_sbackprop.config import RESUMABLE, Config
from napari_sbackprop.data.input_file import require_file
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.path_map import PathMap
from napari_sbackprop.data.source import ParticleSource, main_file, open_source
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.errors import NO_SPACE, InputError
from napari_sbackprop.ops import backend
from napari_sbackprop.ops.determinism import sums_in_one_order
from napari_sbackprop.ops.threads import set_threads
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.progress import Progress, TrainingError
from napari_sbackprop.training.session import Session

logger = logging.getLogger(__name__)


def train(
    star: Path | ParticleSource,
    run: Path,
    config: Config,
    stop: threading.Event | None = None,
    resume: bool = False,
    path_map: PathMap = (),
) -> Iterator[Progress]:
    """Train a model on particles; yields progress, publishes epochs into the run directory.

    Parameters
    ----------
    star : particles with poses and CTF: a STAR file, or what `open_source` takes or gives.
    run : a new run directory, or an existing one to continue.
    stop : set it to stop after the present step; finished epochs stay.
    resume : continue `run` with its own particles and options, apart from those that `config.RESUMABLE` names; `epochs`
        can only grow. With the same options a resumed run on a CPU equals an uninterrupted one.
    path_map : folders of images that moved since the STAR file was written; the run keeps it, and a resumed one its own.

    Raises
    ------
    InputError
        The input cannot be used, before any long work starts.
    TrainingError
        The training failed; finished epochs stay.
    """
    if resume:
        directory = RunDirectory(run)
        config = _resumed_config(directory.config, config)
        path_map = path_map or directory.path_map
        particles = _unchanged_particles(directory, star if isinstance(star, Path) else star.path, path_map)
    else:
        source = star if isinstance(star, ParticleSource) else open_source(star)
        particles = read_particles(source, path_map=path_map)
    if particles.count < (least := least_particles(config)):
        raise InputError(
            f"{particles.source} has {particles.count} particles, but --latent-size {config.latent_size} "
            f"needs at least {least}."
        )
    device = _device(config.device)
    set_threads(config.threads)
    if resume:
        directory.store_options(config, path_map)
    else:
        provenance = {**_provenance(device), "path_map": path_map}
        directory = RunDirectory.create(run, source.path, config, provenance, source.content, source.files)

    session = Session(directory, config, particles, device, stop or threading.Event())
    try:
        one_order = config.deterministic or torch.are_deterministic_algorithms_enabled()
        with _log_file(directory.log_path), sums_in_one_order(one_order):
            yield Progress("preparing the operations", 0.0)
            backend(device)  # compiles them at the first use, before there is a time left to tell
            yield from _logged(_recipe(session, resume))
    except InputError:
        if not resume:
            directory.discard()  # so that the same command works with the option mended
        raise
    except TrainingError:
        directory.discard()  # unless it has an epoch
        raise
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        directory.discard()  # unless it has an epoch
        raise TrainingError(
            f"The disk of {run} is full: free some space, then go on with --resume if there are epochs."
        ) from error
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"The memory of {device} is full: choose a smaller batch size or a coarser resolution."
        ) from error
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise TrainingError(
            f"The images of {particles.source} do not determine the model ({error}): check them, or choose a "
            "smaller latent size."
        ) from error


def least_particles(config: Config) -> int:
    """How many particles a training needs at least."""
    return 2 * (config.latent_size + 1)


def _unchanged_particles(directory: RunDirectory, star: Path, path_map: PathMap) -> Particles:
    """The particles of a run that goes on; refuses files that are not those it was started with."""
    require_file(star)
    if changed := directory.changed_file(main_file(star)):
        raise InputError(
            f"{changed} is not, or no longer, the file that {directory.path} was started with: "
            "start a new run for it."
        )
    return read_particles(directory.star_path, directory.source, path_map)


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Send the package's log to a file as well."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    package = logging.getLogger("napari_sbackprop")
    level = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
        handler.close()


def _recipe(session: Session, resume: bool) -> Iterator[Progress]:
    if session.config.recipe == "paper":
        from napari_sbackprop.training.paper import train_paper as train_recipe
    else:
        from napari_sbackprop.training.default import train_default as train_recipe
    return train_recipe(session, resume)


def _logged(records: Iterator[Progress]) -> Iterator[Progress]:
    for record in records:
        if record.epoch is not None:
            figures = ", ".join(f"{name} {value:.4g}" for name, value in record.metrics.items())
            logger.info(
                "epoch %d: %s, %.0f particles/s, %s",
                record.epoch,
                record.stage,
                record.particles_per_second,
                figures,
            )
        yield record


def _resumed_config(stored: Config, asked: Config) -> Config:
    changed = {name: getattr(asked, name) for name in RESUMABLE}
    return replace(stored, **{**changed, "epochs": max(stored.epochs, asked.epochs)})


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "--device is cuda, but torch finds no usable GPU here: choose cpu, or install a CUDA build of torch."
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name) if name == "cpu" else torch.device(name, torch.cuda.current_device())


def _provenance(device: torch.device) -> dict[str, object]:
    versions = {"napari-sbackprop": __version__, "torch": torch.__version__, "numpy": np.__version__}
    return {
        "versions": {**versions, "python": platform.python_version()},
        "command": sys.argv,
        "device": str(device),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
