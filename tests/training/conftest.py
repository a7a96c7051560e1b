"""Small simulated data that the training tests share."""

from pathlib import Path

import pytest

from napari_sbackprop.data.simulation import simulate


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of 400 particles of 36 px in four states, with its truth."""
    folder = tmp_path_factory.mktemp("small") / "set"
    simulate(folder, states=4, particles=400, box=36, pixel_size=8.0, snr=0.5, seed=3)
    return folder
