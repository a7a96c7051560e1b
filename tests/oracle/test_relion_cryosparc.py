"""RELION takes a selection from a run that was trained on cryoSPARC's particles."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_files import cryosparc_rows, save_rows

from napari_sbackprop.analysis.selection import ParticleSelection, export_selection
from napari_sbackprop.config import Config
from napari_sbackprop.data.mrc import open_stack, read_volume, write_stack
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.source import open_source
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.imaging.shells import fourier_shell_correlation
from napari_sbackprop.run_directory import RunDirectory

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(shutil.which("relion_reconstruct") is None, reason="RELION is not installed"),
]


def test_dark_particles_in_files_called_mrc_reconstruct(tmp_path: Path) -> None:
    simulate(tmp_path / "set", states=1, particles=400, box=36, pixel_size=8.0, snr=np.inf, seed=2)
    truth = Truth.open(tmp_path / "set" / "truth")
    images = np.asarray(open_stack(tmp_path / "set" / "particles.mrcs"))
    (tmp_path / "J1").mkdir()
    write_stack(tmp_path / "J1" / "dark.mrc", -images, 8.0)
    paths, sign = np.full(400, b">J1/dark.mrc"), np.full(400, -1, np.float32)
    rows = cryosparc_rows(tmp_path / "set" / "particles.star", blob_path=paths, blob_sign=sign)
    source = open_source(save_rows(tmp_path / "J2" / "J2_particles.cs", rows))
    run = RunDirectory.create(tmp_path / "run", source.path, Config(), {}, source.content, source.files)
    complete = np.flatnonzero(truth.subunit == 1)
    export_selection(run, ParticleSelection("complete", complete, {}), tmp_path / "complete.star")
    command = ["relion_reconstruct", "--i", "complete.star", "--o", "map.mrc", "--ctf"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    volume, true = torch.from_numpy(read_volume(tmp_path / "map.mrc")[0]), torch.from_numpy(truth.states[0])
    assert (
        fourier_shell_correlation(volume, true)[1:15].mean() > 0.99
    )  # a negative one would be the wrong contrast
