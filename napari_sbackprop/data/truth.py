"""The truth beside a simulated set: maps, masks and labels in one folder.

state_00.mrc ...     maps of the states in their order, the optional part present
labels.npy           (N,) state of each particle, from 0
subunit.npy          (N,) 1 where the particle has the optional part
region.mrc           soft mask around all places of the part that moves
solvent.mrc          soft mask around all states
truth.json           settings of the simulation and the motion
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, get_args

import numpy as np
import numpy.typing as npt
import torch

from napari_sbackprop.data.mrc import read_volume, write_volume
from napari_sbackprop.data.projector import BeadProjector
from napari_sbackprop.data.specimen import Arrangement
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.fourier import gaussian_filter

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of N simulated particles in S states.

    Attributes
    ----------
    states : (S, M, M, M) maps [z, y, x].
    pixel_size : Å.
    labels : (N,) state of each particle.
    subunit : (N,) 1 where the optional part is present.
    region, solvent : (M, M, M) soft masks.
    arrangement : how the states follow each other.
    """

    states: Array
    pixel_size: float
    labels: npt.NDArray[np.int64]
    subunit: npt.NDArray[np.int64]
    region: Array
    solvent: Array
    arrangement: Arrangement = "line"

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read a truth folder; `subunit.npy` and `truth.json` may be missing."""
        folder = Path(folder)
        labels_path = folder / "labels.npy"
        maps = sorted(folder.glob("state_*.mrc"))
        if not maps or not labels_path.is_file():
            raise InputError(
                f"{folder} is no truth of a simulated set: give the folder `truth` that simulate wrote."
            )
        labels = _read_labels(labels_path)
        if labels.min() < 0 or labels.max() >= len(maps):
            raise InputError(
                f"{labels_path} has labels {labels.min()} to {labels.max()}, but there are {len(maps)} maps: simulate again."
            )
        subunit_path = folder / "subunit.npy"
        volumes = [read_volume(path) for path in maps]
        return cls(
            states=np.stack([volume for volume, _ in volumes]),
            pixel_size=volumes[0][1],
            labels=labels,
            subunit=_read_labels(subunit_path) if subunit_path.is_file() else np.ones_like(labels),
            region=read_volume(folder / "region.mrc")[0],
            solvent=read_volume(folder / "solvent.mrc")[0],
            arrangement=_read_arrangement(folder / "truth.json"),
        )


def write_truth(
    folder: Path,
    projector: BeadProjector,
    labels: npt.NDArray[np.int64],
    subunit: npt.NDArray[np.bool_],
    settings: Mapping[str, float],
) -> None:
    """Write the truth of particles in states `labels` (N,), with or without the optional part `subunit` (N,)."""
    specimen, pixel_size = projector.specimen, projector.pixel_size
    folder.mkdir()
    whole, moving = np.zeros((2, projector.box, projector.box, projector.box), np.float32)
    digits = max(2, len(str(specimen.states - 1)))  # names in the order of the states
    for state in range(specimen.states):
        volume = projector.volume(state)
        write_volume(folder / f"state_{state:0{digits}d}.mrc", volume, pixel_size)
        whole = np.maximum(whole, volume)
        moving = np.maximum(moving, projector.volume(state, part=specimen.moving))
    write_volume(folder / "solvent.mrc", solvent_envelope(whole), pixel_size)
    write_volume(folder / "region.mrc", region_envelope(moving), pixel_size)
    np.save(folder / "labels.npy", labels)
    np.save(folder / "subunit.npy", subunit.astype(np.int64))
    record = {
        "specimen": specimen.name,
        "states": specimen.states,
        "box": projector.box,
        "pixel_size": pixel_size,
        **{name: value if math.isfinite(value) else "infinity" for name, value in settings.items()},
        "arrangement": specimen.arrangement,
        "motion": specimen.motion,
    }
    (folder / "truth.json").write_text(json.dumps(record, indent=2) + "\n")


def solvent_envelope(volume: Array) -> Array:
    """Roomy soft mask (M, M, M) of a noise-free map: what exceeds 5 % of its maximum, blurred by 3 voxels, times 4."""
    return (4 * _blur(_above(volume, 0.05), 3.0)).clamp(0, 1).numpy()


def region_envelope(volume: Array) -> Array:
    """Tight soft mask (M, M, M) of a noise-free map: what exceeds 15 % of its maximum, blurred by 1 voxel."""
    return _blur(_above(volume, 0.15), 1.0).clamp(0, 1).numpy()


def _above(volume: Array, level: float) -> torch.Tensor:
    """1 where a map, blurred by 1.5 voxels, exceeds a share of its maximum; 0 elsewhere."""
    smooth = _blur(torch.from_numpy(volume), 1.5)
    return (smooth > level * smooth.max()).float()


def _blur(values: torch.Tensor, sigma: float) -> torch.Tensor:
    return gaussian_filter(values, math.sqrt(2) * math.pi * sigma)


def _read_arrangement(path: Path) -> Arrangement:
    """A line where the record is missing or older than the word."""
    if not path.is_file():
        return "line"
    try:
        arrangement: Arrangement = json.loads(path.read_text()).get("arrangement", "line")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error}): simulate the set again.") from error
    if arrangement not in get_args(Arrangement):
        raise InputError(
            f"{path} has the arrangement {arrangement!r}, which is unknown: simulate the set again."
        )
    return arrangement


def _read_labels(path: Path) -> npt.NDArray[np.int64]:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a numpy file of labels ({error}): simulate the set again."
        ) from error
    if values.ndim != 1 or values.size == 0 or not np.issubdtype(values.dtype, np.integer):
        raise InputError(f"{path} does not hold one whole number per particle: simulate the set again.")
    labels: npt.NDArray[np.int64] = values.astype(np.int64)
    return labels
