"""A finished run of cryoDRGN as a run directory: latents, embedding and clusters to select from, without a decoder."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.analysis.clustering import Clustering, write_clustering
from napari_sbackprop.config import Config
from napari_sbackprop.data.array_pickle import read_arrays
from napari_sbackprop.data.particle_table import read_particle_table
from napari_sbackprop.data.path_map import PathMap
from napari_sbackprop.data.source import ParticleSource
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import Embedding, Latents, RunDirectory

_Array = npt.NDArray[np.float32]
KMEANS = "cryodrgn_kmeans"
"""Method of the clusters that cryodrgn analyze made."""


def adopt(
    results: Path, source: ParticleSource, path: Path, epoch: int | None = None, path_map: PathMap = ()
) -> RunDirectory:
    """Make a run directory from what cryoDRGN's training and analysis wrote.

    Parameters
    ----------
    results : folder with z.N.pkl and, after its analysis, analyze.N with umap.pkl and kmeansK/labels.pkl.
    source : the particles that it was trained on, row by row; their images need not be there.
    path : new run directory.
    epoch : N; by default the newest.
    path_map : folders of images that moved, which the run keeps.

    Raises
    ------
    InputError
        A file is missing, or the latents are not those of the particles.
    """
    epoch = _newest(results) if epoch is None else epoch
    latents = _read_latents(results / f"z.{epoch}.pkl", epoch)
    particles = read_particle_table(source.text, source.findings).particles
    source.findings.raise_first()
    count, size = latents.mean.shape
    if count != particles.count:
        raise InputError(
            f"{results} has latents of {count} particles, but {source.path} has {particles.count}: give the particles "
            "it was trained on; where that was with --ind, take that subset first (cryodrgn_utils filter_star)."
        )
    embedding = _read_embedding(results / f"analyze.{epoch}" / "umap.pkl", count, epoch)
    clustering = _read_clustering(results / f"analyze.{epoch}", count, epoch)
    config = Config(latent_size=size, basis_size=size)
    provenance = {"adopted": str(results.resolve()), "path_map": path_map}
    run = RunDirectory.create(path, source.path, config, provenance, source.content, source.files)
    description = {
        "recipe": "cryodrgn",
        "stage": "adopted",
        "box": particles.box,
        "pixel_size": particles.pixel_size,
        "latent_size": size,
        "metrics": {},
    }
    run.publish(epoch, {}, latents, description)
    if embedding is not None:
        run.write_embedding(embedding)
    if clustering is not None:
        write_clustering(run, clustering)
    return run


def _newest(results: Path) -> int:
    numbers = [path.name.split(".")[1] for path in results.glob("z.*.pkl")]
    if epochs := [int(number) for number in numbers if number.isdigit()]:
        return max(epochs)
    raise InputError(f"{results} has no z.N.pkl: give the folder that cryoDRGN's training wrote (-o).")


def _read_latents(path: Path, epoch: int) -> Latents:
    """Means, and log variances where they were written; an auto-decoder has none."""
    arrays = [array.astype(np.float32) for array in read_arrays(path)]
    if len(arrays) not in (1, 2) or arrays[0].ndim != 2 or arrays[-1].shape != arrays[0].shape:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise InputError(f"{path} holds arrays of shape {shapes}, but latents are one or two of (N, Z).")
    mean = arrays[0]
    log_variance = arrays[1] if len(arrays) == 2 else np.full_like(mean, np.nan)
    return Latents(
        mean, log_variance, _information(log_variance), np.full(len(mean), np.nan, np.float32), epoch
    )


def _information(log_variance: _Array) -> _Array:
    """Precision (N, Z, Z) that the image adds to the unit prior."""
    added = np.maximum(np.exp(-log_variance) - 1, 0)
    return added[:, :, None] * np.eye(added.shape[1], dtype=np.float32)


def _read_embedding(path: Path, count: int, epoch: int) -> Embedding | None:
    if not path.is_file():
        return None
    arrays = read_arrays(path)
    if len(arrays) != 1 or arrays[0].shape != (count, 2):
        raise InputError(f"{path} is no embedding of {count} particles: run cryodrgn analyze again.")
    return Embedding(arrays[0].astype(np.float32), "umap", {"file": str(path.resolve())}, epoch)


def _read_clustering(folder: Path, count: int, epoch: int) -> Clustering | None:
    """The most numerous k-means clusters; cluster i is decoded in vol_(i + 1).mrc beside them."""
    found = ((path.parent.name.removeprefix("kmeans"), path) for path in folder.glob("kmeans*/labels.pkl"))
    paths = {int(number): path for number, path in found if number.isdecimal()}
    if not paths:
        return None
    number = max(paths)
    arrays = read_arrays(paths[number])
    if len(arrays) != 1 or arrays[0].shape != (count,) or arrays[0].dtype.kind != "i" or arrays[0].min() < 0:
        raise InputError(
            f"{paths[number]} does not number the clusters of {count} particles: run cryodrgn analyze again."
        )
    return Clustering(KMEANS, number, arrays[0].astype(np.int64), epoch)
