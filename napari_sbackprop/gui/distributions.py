"""The controller of a selection's distributions over views and over a column. Knows no Qt."""

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from psygnal import SignalGroupDescriptor

from napari_sbackprop.analysis.distribution import Histogram, histogram, orientations
from napari_sbackprop.analysis.query import CONTRAST
from napari_sbackprop.gui.explorer_model import ExplorerModel
from napari_sbackprop.gui.latest import Deliver, LatestWorker

DEFOCUS, ROT, TILT = "rlnDefocusU", "rlnAngleRot", "rlnAngleTilt"


@dataclass(frozen=True, eq=False)
class Distribution:
    """Where the selected particles lie.

    Attributes
    ----------
    views : (12, 24), of `analysis.distribution.orientations`; None without angles.
    column : a histogram of the chosen column; None where it holds one value only.
    """

    views: npt.NDArray[np.float64] | None = None
    column: Histogram | None = None


@dataclass
class DistributionModel:
    """The column that is chosen, and the newest distribution."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    column: str = DEFOCUS
    distribution: Distribution = field(default_factory=Distribution)


class Distributions:
    """Counts on a thread of its own: a million particles take a moment.

    Parameters
    ----------
    explored : whose selection and columns count.
    deliver : runs a function on the thread that owns the models.
    """

    def __init__(self, explored: ExplorerModel, deliver: Deliver) -> None:
        self.model = DistributionModel()
        self._explored = explored
        self._worker = LatestWorker(deliver, "sbackprop-distributions")

    @property
    def names(self) -> list[str]:
        """Columns that hold different numbers."""
        explored = self._explored
        columns = [
            name for name in explored.columns.telling if explored.columns.values[name].dtype.kind in "iuf"
        ]
        scene = explored.scene
        return [*columns, CONTRAST] if scene is not None and np.isfinite(scene.contrast).any() else columns

    def relist(self) -> None:
        """Count a column of those there are: the one that was chosen, if it is still there."""
        names = self.names
        if names and self.model.column not in names:
            self.model.column = DEFOCUS if DEFOCUS in names else names[0]
        self.count()

    def choose(self, column: str) -> None:
        """Count another column."""
        self.model.column = column
        self.count()

    def count(self) -> None:
        """Count the selection on screen; without one, all particles."""
        explored = self._explored
        self._worker.invalidate()
        if explored.scene is None or self.model.column not in self.names:
            self.model.distribution = Distribution()
            return
        values = explored.columns.values
        column = explored.scene.contrast if self.model.column == CONTRAST else values[self.model.column]
        work = partial(_distribution, values.get(ROT), values.get(TILT), column, explored.chosen)
        self._worker.submit(work, self._on_counted, explored.complain)

    def close(self) -> None:
        """End the thread."""
        self._worker.close()

    def _on_counted(self, distribution: Distribution) -> None:
        self.model.distribution = distribution


def _distribution(
    rot: npt.NDArray[np.number] | None,
    tilt: npt.NDArray[np.number] | None,
    column: npt.NDArray[np.number],
    indices: npt.NDArray[np.int64],
) -> Distribution:
    views = None if rot is None or tilt is None else orientations(rot, tilt, indices)
    return Distribution(views, histogram(column, indices))
