"""UMAP in a process of its own.

Where numba's threading layer is "workqueue", two threads in it abort the whole process, and its compiler would hold
the interpreter lock for seconds: neither may happen to napari. A fresh interpreter, never a fork: a forked
copy of Qt or CUDA is broken.
"""

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.run_directory import Embedding, RunDirectory

METHOD = "umap"


class UmapProcess:
    """Computes the UMAP of one epoch; ask `poll` now and then."""

    def __init__(self, run: RunDirectory, epoch: int) -> None:
        self.run = run
        self.epoch = epoch
        self._folder = tempfile.TemporaryDirectory(prefix="sbackprop-umap-")
        self._output = Path(self._folder.name) / "coordinates.npy"
        self._log = (Path(self._folder.name) / "log.txt").open("w+b")
        command = [sys.executable, "-m", __name__, str(run.path), str(epoch), str(self._output)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(item for item in sys.path if item)},
        )

    def poll(self) -> npt.NDArray[np.float32] | None:
        """Coordinates (N, 2) when ready, None before.

        Raises
        ------
        ChildProcessError
            The process failed; the message is the last line that it wrote.
        """
        code = self._process.poll()
        if code is None:
            return None
        if code != 0:
            self._log.seek(0)
            lines = self._log.read().decode(errors="replace").strip().splitlines()
            raise ChildProcessError(lines[-1] if lines else f"the process ended with code {code}")
        coordinates: npt.NDArray[np.float32] = np.load(self._output)
        return coordinates

    def close(self) -> None:
        """End the process, if it still runs, and remove its files."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._log.close()
        self._folder.cleanup()


def keep(run: RunDirectory, epoch: int, coordinates: npt.NDArray[np.float32]) -> bool:
    """Store the embedding in the run directory; False where that is read-only."""
    try:
        run.write_embedding(Embedding(coordinates, METHOD, {}, epoch))
    except OSError:
        return False
    return True


def main(run: Path, epoch: int, output: Path) -> None:
    """What the process does: read the latents of an epoch, write their UMAP coordinates."""
    from napari_sbackprop.analysis.embedding import umap

    threading.Thread(target=_end_with_parent, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(10)  # training and the screen come first
    coordinates = umap(RunDirectory(run).read_latents(epoch).mean)
    temporary = output.with_suffix(".part.npy")
    np.save(temporary, coordinates.astype(np.float32))
    temporary.replace(output)


def _end_with_parent() -> None:
    """Wait for the end of the parent, which holds the other end of our input, then end this process too."""
    os.read(sys.stdin.fileno(), 1)  # unbuffered: a lock held here would fail the interpreter's exit
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
