"""Runs and decoders of a size that nothing was trained at."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import zoom

from napari_sbackprop.analysis.reconstruction import Decoder
from napari_sbackprop.config import Config
from napari_sbackprop.run_directory import Latents, RunDirectory

Array = npt.NDArray[np.float32]
HEADER = "data_particles\n\nloop_\n_rlnImageName #1\n_rlnDefocusU #2\n"


def enlarged(decoder: Decoder, box: int) -> Decoder:
    """The same maps on a grid of `box` voxels."""
    factor = box / decoder.box
    mask = zoom(decoder.mask(), factor, order=1).ravel()
    support = np.flatnonzero(mask > 0)
    basis = np.stack([zoom(decoder.on_grid(row), factor, order=1).ravel()[support] for row in decoder.basis])
    return Decoder(
        box, decoder.pixel_size / factor, decoder.latents, basis, support, mask[support], decoder._head
    )


def run_of_latents(path: Path, count: int, latents: Array) -> Path:
    """A run of `count` particles without a decoder, scattered like the latents (N, Z) of another."""
    run = _run(path, count)
    run.publish(1, {}, _more(latents, count), {"box": 96, "pixel_size": 3.0})
    return run.path


def run_of_many(source: Path, path: Path, count: int) -> Path:
    """A run of `count` particles with the decoder of another."""
    old, run = RunDirectory(source), _run(path, count)
    epoch = old.latest_epoch()
    latents = _more(old.read_latents(epoch).mean, count)
    run.publish(1, old.read_model(epoch), latents, old.read_description(epoch))
    return run.path


def _run(path: Path, count: int) -> RunDirectory:
    defocus = np.random.default_rng(0).normal(15000, 3000, count)
    rows = "\n".join(f"{row + 1:07d}@many.mrcs {value:.1f}" for row, value in enumerate(defocus))
    star = path.with_suffix(".star")
    star.write_text(f"{HEADER}{rows}\n")
    return RunDirectory.create(path, star, Config(), {})


def _more(latents: Array, count: int) -> Latents:
    random = np.random.default_rng(0)
    mean = latents[random.integers(len(latents), size=count)]
    mean = mean + random.normal(0, 0.2 * latents.std(axis=0), mean.shape).astype(np.float32)
    information = np.broadcast_to(np.eye(latents.shape[1], dtype=np.float32), (count, *latents.shape[1:] * 2))
    contrast = random.normal(1, 0.1, count).astype(np.float32)
    return Latents(mean.astype(np.float32), np.zeros_like(mean), information, contrast, 1)
