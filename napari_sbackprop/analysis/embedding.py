"""Two-dimensional maps of the latent space: PCA at once, UMAP when it is ready."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.analysis.axes import principal_directions
from napari_sbackprop.run_directory import Embedding, RunDirectory

Array = npt.NDArray[np.float32]


def pca(latents: Array) -> Array:
    """Project latents (N, Z) on their two widest directions: (N, 2), signs fixed so that runs agree."""
    centred = latents - latents.mean(0)
    if latents.shape[1] == 1:
        return np.concatenate([centred, np.zeros_like(centred)], axis=1)
    return np.asarray(centred @ principal_directions(latents)[:2].T, dtype=np.float32)


def umap(latents: Array, neighbours: int = 15, min_distance: float = 0.1, seed: int = 0) -> Array:
    """Uniform manifold approximation and projection of latents (N, Z) to (N, 2); seconds to minutes, one core.

    McInnes, Healy, Saul, Großberger, Journal of Open Source Software 3(29):861, 2018.
    """
    from umap import UMAP

    method = UMAP(
        n_neighbors=min(neighbours, len(latents) - 1), min_dist=min_distance, random_state=seed, n_jobs=1
    )
    coordinates: Array = method.fit_transform(latents).astype(np.float32)
    return coordinates


def embed(run_path: Path, epoch: int | None = None, method: str = "umap") -> Embedding:
    """Embed an epoch of a run, the newest by default, and keep the result in the run directory."""
    run = RunDirectory(run_path)
    epoch = run.latest_epoch() if epoch is None else epoch
    if (known := run.read_embedding(epoch, method)) is not None:
        return known
    latents = run.read_latents(epoch).mean
    coordinates = pca(latents) if method == "pca" else umap(latents)
    embedding = Embedding(coordinates, method, {}, epoch)
    run.write_embedding(embedding)
    return embedding
