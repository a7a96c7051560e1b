import time
from pathlib import Path

import numpy as np
import pytest

from napari_sbackprop.gui.umap_process import UmapProcess
from napari_sbackprop.run_directory import RunDirectory

SECONDS = 240.0


def wait(process: UmapProcess) -> np.ndarray:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if (coordinates := process.poll()) is not None:
            return coordinates
        time.sleep(0.2)
    raise TimeoutError


@pytest.mark.slow
def test_another_process_computes_umap(run: Path) -> None:
    directory = RunDirectory(run)
    process = UmapProcess(directory, directory.latest_epoch())
    try:
        coordinates = wait(process)
    finally:
        process.close()
    assert coordinates.shape == (240, 2)
    assert np.isfinite(coordinates).all()


def test_a_failure_is_told_by_its_last_line(run: Path) -> None:
    process = UmapProcess(RunDirectory(run), 99)
    try:
        with pytest.raises(ChildProcessError, match=r"no latents\.npz for epoch 99"):
            wait(process)
    finally:
        process.close()


def test_close_ends_a_running_process(run: Path) -> None:
    directory = RunDirectory(run)
    process = UmapProcess(directory, directory.latest_epoch())
    process.close()
    assert process._process.returncode is not None
