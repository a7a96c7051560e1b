"""A RELION project in a temporary folder."""

from pathlib import Path

import numpy as np
import pytest
from relion_project import Project

from napari_sbackprop.data.mrc import write_stack


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "Extract").mkdir()
    images = np.random.default_rng(0).normal(size=(4, 8, 8)).astype(np.float32)
    write_stack(tmp_path / "Extract" / "images.mrcs", images, pixel_size=2.0)
    return Project(tmp_path)
