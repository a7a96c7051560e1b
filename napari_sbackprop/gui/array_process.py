"""Long computations in a process of their own.

Where numba's threading layer is "workqueue", two threads in it abort the whole process, and compilers and HDBSCAN hold
the interpreter lock for seconds: none of this may happen to napari. A fresh interpreter, never a fork: a forked
copy of Qt or CUDA is broken.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class ArrayProcess:
    """Computes one array; ask `poll` now and then.

    Parameters
    ----------
    module : is run as a program with `arguments` and the name of a file; it calls `write_array` with that.
    """

    def __init__(self, module: str, *arguments: object) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sbackprop-array-")
        self._output = Path(self._folder.name) / "array.npy"
        self._log = (Path(self._folder.name) / "log.txt").open("w+b")
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments), str(self._output)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(item for item in sys.path if item)},
        )

    def poll(self) -> npt.NDArray[Any] | None:
        """The array when it is ready, None before.

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
        array: npt.NDArray[Any] = np.load(self._output)
        return array

    def close(self) -> None:
        """End the process, if it still runs, and remove its files."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._log.close()
        self._folder.cleanup()


def write_array(output: Path, compute: Callable[[], npt.NDArray[Any]]) -> None:
    """What the process does: compute the array and write it, unless the parent ends before."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(19)  # training and the screen come first
    array = compute()
    temporary = output.with_suffix(".part.npy")
    np.save(temporary, array)
    temporary.replace(output)


def _end_with_parent() -> None:
    """Wait for the end of the parent, which holds the other end of our input, then end this process too."""
    os.read(sys.stdin.fileno(), 1)  # unbuffered: a lock held here would fail the interpreter's exit
    os._exit(1)
