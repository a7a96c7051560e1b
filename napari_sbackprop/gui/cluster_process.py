"""Clustering in a process of its own."""

import sys
from pathlib import Path

from napari_sbackprop.analysis.clustering import Labels, cluster
from napari_sbackprop.gui.array_process import ArrayProcess, write_array
from napari_sbackprop.run_directory import RunDirectory


class ClusterProcess(ArrayProcess):
    """Computes the labels (N,) of one epoch's particles."""

    def __init__(self, run: RunDirectory, epoch: int, method: str, number: int) -> None:
        super().__init__(__name__, run.path, epoch, method, number)


def _labels(run: Path, epoch: int, method: str, number: int) -> Labels:
    return cluster(RunDirectory(run).read_latents(epoch).mean, method, number)


if __name__ == "__main__":
    write_array(
        Path(sys.argv[5]),
        lambda: _labels(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])),
    )
