"""Values of particles: those of their own row, with those of their optics group's row behind them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.blocks import Columns, readable
from napari_sbackprop.data.findings import Findings

OPTICS_GROUP = "rlnOpticsGroup"
"""Column with the number of a particle's group, and of an optics table's row."""


@dataclass(frozen=True, eq=False)
class Lookup:
    """Values of particle rows, with those of their optics group's row behind them.

    Attributes
    ----------
    particles : columns of the particle table.
    optics : columns of the optics table, or None.
    optics_row : (N,) int64, each particle's row in the optics table, from 0.
    """

    particles: Columns
    optics: Columns | None
    optics_row: npt.NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of particles N."""
        return self.particles.block.count

    def __contains__(self, label: str) -> bool:
        return label in self.particles or (self.optics is not None and label in self.optics)

    def numbers(self, label: str) -> npt.NDArray[np.float64] | None:
        """Values (N,) of a label, or None where neither table has it."""
        if label in self.particles:
            return self.particles.numbers(label)
        if self.optics is not None and label in self.optics:
            return self.optics.numbers(label)[self.optics_row]
        return None

    def place(self, label: str, row: int) -> str:
        """Where the value of a particle's row, from 0, stands, for a sentence that begins with the file."""
        if label in self.particles or self.optics is None:
            return f", row {row + 1}"
        return f", optics group {self.group_name(row)}"

    def group_name(self, row: int) -> str:
        """Name of the optics group of a particle's row, from 0."""
        if self.optics is None:
            return ""
        label = "rlnOpticsGroupName" if "rlnOpticsGroupName" in self.optics else OPTICS_GROUP
        return readable(self.optics.texts[label][self.optics_row[row]])


def match_optics(particles: Columns, optics: Columns | None, findings: Findings) -> Lookup:
    """Find each particle's row in the optics table; an undefined group is an error."""
    rows = np.zeros(particles.block.count, dtype=np.int64)
    if optics is None:
        return Lookup(particles, None, rows)
    numbers = optics.numbers(OPTICS_GROUP)
    if len(set(numbers.tolist())) < len(numbers):
        findings.error(f": {optics.block.title} defines an optics group twice; remove one of the rows.")
        return Lookup(particles, optics, rows)
    if OPTICS_GROUP in particles:
        wanted = particles.numbers(OPTICS_GROUP)
        order = np.argsort(numbers)
        rows = order[np.searchsorted(numbers[order], wanted).clip(max=len(numbers) - 1)]
        undefined = np.flatnonzero(numbers[rows] != wanted)
        if len(undefined):
            findings.error(
                f", row {undefined[0] + 1}: optics group {wanted[undefined[0]]:g} is not among those of "
                f"{optics.block.title} ({_list_numbers(numbers)}); add it there."
            )
    elif len(numbers) == 1:
        findings.warn(
            f" has no column {OPTICS_GROUP} in {particles.block.title}: all particles are taken as the one group."
        )
    else:
        findings.error(
            f" has {len(numbers)} optics groups, but no column {OPTICS_GROUP} in {particles.block.title}: add it."
        )
    return Lookup(particles, optics, rows)


def _list_numbers(numbers: npt.NDArray[np.float64]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
