"""Truth folders that cannot be used."""

from pathlib import Path

import numpy as np
import pytest

from napari_sbackprop.data.mrc import write_volume
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ones = np.ones((8, 8, 8), np.float32)
    for name in ("state_00", "state_01", "region", "solvent"):
        write_volume(tmp_path / f"{name}.mrc", ones, 2.0)
    np.save(tmp_path / "labels.npy", np.array([0, 1, 1]))
    return tmp_path


def test_subunit_is_optional(folder: Path) -> None:
    assert Truth.open(folder).subunit.tolist() == [1, 1, 1]


def test_labels_without_a_map_are_refused(folder: Path) -> None:
    np.save(folder / "labels.npy", np.array([0, 2]))
    with pytest.raises(InputError, match="2 maps"):
        Truth.open(folder)


@pytest.mark.parametrize("labels", [np.zeros((3, 2), int), np.zeros(3), np.zeros(0, int)])
def test_labels_of_another_kind_are_refused(folder: Path, labels: np.ndarray) -> None:
    np.save(folder / "labels.npy", labels)
    with pytest.raises(InputError, match="whole number"):
        Truth.open(folder)


def test_broken_labels_are_refused(folder: Path) -> None:
    (folder / "labels.npy").write_text("not an array")
    with pytest.raises(InputError, match="numpy file"):
        Truth.open(folder)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no truth"):
        Truth.open(tmp_path)
