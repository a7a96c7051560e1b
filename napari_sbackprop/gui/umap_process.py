"""UMAP in a process of its own."""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.gui.array_process import ArrayProcess, write_array
from napari_sbackprop.run_directory import Embedding, RunDirectory

METHOD = "umap"


class UmapProcess(ArrayProcess):
    """Computes the UMAP (N, 2) of one epoch."""

    def __init__(self, run: RunDirectory, epoch: int) -> None:
        super().__init__(__name__, run.path, epoch)
        self.epoch = epoch


def keep(run: RunDirectory, epoch: int, coordinates: npt.NDArray[np.float32]) -> bool:
    """Store the embedding in the run directory; False where that is read-only."""
    try:
        run.write_embedding(Embedding(coordinates, METHOD, {}, epoch))
    except OSError:
        return False
    return True


def _coordinates(run: Path, epoch: int) -> npt.NDArray[np.float32]:
    from napari_sbackprop.analysis.embedding import umap

    return umap(RunDirectory(run).read_latents(epoch).mean).astype(np.float32)


if __name__ == "__main__":
    write_array(Path(sys.argv[3]), lambda: _coordinates(Path(sys.argv[1]), int(sys.argv[2])))
