"""The training loop: from a STAR file to published epochs of a run directory.

`train` is a generator of progress records. It knows no threads and no GUI: stop it between steps by an Event, and it
returns after the newest complete epoch.
"""

import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from napari_sbackprop import __version__
from napari_sbackprop.config import Config
from napari_sbackprop.data.path_map import PathMap
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.progress import Progress, TrainingError
from napari_sbackprop.training.session import Session

logger = logging.getLogger(__name__)


def train(
    star: Path,
    run: Path,
    config: Config,
    stop: threading.Event | None = None,
    resume: bool = False,
    path_map: PathMap = (),
) -> Iterator[Progress]:
    """Train a model on the particles of a STAR file; yields progress, publishes epochs into the run directory.

    Parameters
    ----------
    star : particles with poses and CTF.
    run : a new run directory, or an existing one to continue.
    stop : set it to stop after the present step; finished epochs stay.
    resume : continue `run` with its own STAR file and options; only `epochs` may grow. A resumed run on a CPU equals
        an uninterrupted one.
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
        star = star if star.is_file() else directory.source
        if star.read_bytes() != directory.star_path.read_bytes():
            raise InputError(
                f"{star} is not, or no longer, the STAR file that {run} was started with: start a new run for it."
            )
        config = _resumed_config(directory.config, config)
        path_map = path_map or directory.path_map
    particles = read_particles(star, path_map=path_map)
    if particles.count < (least := 2 * (config.latent_size + 1)):
        raise InputError(
            f"{star} has {particles.count} particles, but --latent-size {config.latent_size} needs at least {least}."
        )
    device = _device(config.device)
    _set_threads(config.threads)
    if resume:
        directory.store_options(config, path_map)
    else:
        provenance = {**_provenance(device), "path_map": path_map}
        directory = RunDirectory.create(run, star, config, provenance)

    session = Session(directory, config, particles, device, stop or threading.Event())
    try:
        with _log_file(directory.log_path):
            yield from _logged(_recipe(session, resume))
    except InputError:
        if not resume:
            directory.discard()  # so that the same command works with the option mended
        raise
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"The memory of {device} is full: choose a smaller batch size or a coarser resolution."
        ) from error
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise TrainingError(
            f"The images of {star} do not determine the model ({error}): check them, or choose a smaller latent size."
        ) from error


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
        from napari_sbackprop.training.paper import train_paper

        return train_paper(session, resume)
    from napari_sbackprop.training.default import train_default

    return train_default(session, resume)


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
    values = stored.to_json()
    values.update(epochs=max(stored.epochs, asked.epochs), device=asked.device, threads=asked.threads)
    return Config.from_json(values)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "--device is cuda, but torch finds no usable GPU here: choose cpu, or install a CUDA build of torch."
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _set_threads(threads: int) -> None:
    torch.set_num_threads(threads or os.cpu_count() or 1)


def _provenance(device: torch.device) -> dict[str, object]:
    versions = {"napari-sbackprop": __version__, "torch": torch.__version__, "numpy": np.__version__}
    return {
        "versions": {**versions, "python": platform.python_version()},
        "command": sys.argv,
        "device": str(device),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
