"""What the simulator images: scatterers with one set of positions per conformational state."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Arrangement = Literal["line", "ring", "none"]
"""How states follow each other: from the first to the last, back to the first, or in no order."""


@dataclass(frozen=True)
class Specimen:
    """Scatterers of one complex in S conformational states, centred on the origin.

    Attributes
    ----------
    name
        What it is, for the record beside the truth.
    positions
        (S, A, 3) x, y, z in angstrom.
    weights
        (A,) scattering weight of each scatterer.
    form_factor
        (G, 2) amplitudes a and widths b in angstrom^2 of the mean form factor, sum of a exp(-b s^2 / 4) with s in
        1/angstrom; the amplitudes sum to 1.
    moving
        (A,) true for the part that differs between states: it defines the region mask.
    optional
        (A,) true for the part that is absent from some particles, whatever their state.
    occupied
        (S, A) true for what each state has.
    arrangement
        How the states follow each other.
    motion
        What tells the states apart, as facts for the record.
    """

    name: str
    positions: FloatArray
    weights: FloatArray
    form_factor: FloatArray
    moving: npt.NDArray[np.bool_]
    optional: npt.NDArray[np.bool_]
    occupied: npt.NDArray[np.bool_]
    arrangement: Arrangement
    motion: dict[str, object]

    @property
    def states(self) -> int:
        """Number of conformational states S."""
        return int(self.positions.shape[0])

    @property
    def radius(self) -> float:
        """Largest distance of a scatterer from the origin in any state, in angstrom."""
        return float(np.sqrt((self.positions**2).sum(axis=-1).max()))

    def visible(self, state: int, present: bool) -> npt.NDArray[np.bool_]:
        """(A,) scatterers of a particle in a state which has the optional part, or lacks it."""
        seen: npt.NDArray[np.bool_] = self.occupied[state] & (~self.optional | present)
        return seen


@dataclass(frozen=True)
class Screw:
    """Rotation about an axis in space with an advance along it.

    Attributes
    ----------
    axis
        (3,) unit vector.
    point
        (3,) a point of the axis, angstrom.
    angle
        Full turn of the motion, right-handed about `axis`, degrees.
    advance
        Full shift along `axis`, angstrom.
    """

    axis: FloatArray
    point: FloatArray
    angle: float
    advance: float

    def apply(self, positions: FloatArray, fraction: float) -> FloatArray:
        """Move (A, 3) positions along a fraction of the screw; negative fractions go back."""
        turn = rotation_about(self.axis, fraction * self.angle)
        moved: FloatArray = (
            (positions - self.point) @ turn.T + self.point + fraction * self.advance * self.axis
        )
        return moved

    @classmethod
    def from_rigid(cls, rotation: FloatArray, translation: FloatArray) -> "Screw":
        """Screw of x -> rotation x + translation, where the rotation is by more than zero.

        The axis is fixed by the antisymmetric part of the rotation; the point solves (1 - rotation) p = the part of the
        translation across the axis.
        """
        spin = np.array(
            [
                rotation[2, 1] - rotation[1, 2],
                rotation[0, 2] - rotation[2, 0],
                rotation[1, 0] - rotation[0, 1],
            ]
        )
        axis = spin / np.linalg.norm(spin)
        angle = float(np.degrees(np.arctan2(np.linalg.norm(spin), np.trace(rotation) - 1)))
        advance = float(translation @ axis)
        across = translation - advance * axis
        point = np.linalg.lstsq(np.eye(3) - rotation, across, rcond=None)[0]
        return cls(axis, point, angle, advance)

    def moved(self, offset: FloatArray) -> "Screw":
        """The same motion of a body that was shifted by `offset` (3,)."""
        return replace(self, point=self.point + offset)

    def facts(self) -> dict[str, object]:
        """The screw as plain numbers for a JSON record; its point is the one nearest to the origin."""
        nearest = self.point - (self.point @ self.axis) * self.axis
        return {
            "axis": [round(float(v), 6) for v in self.axis],
            "point_angstrom": [round(float(v), 4) for v in nearest],
            "angle_degrees": round(self.angle, 4),
            "advance_angstrom": round(self.advance, 4),
        }


def rotation_about(axis: FloatArray, angle: float) -> FloatArray:
    """(3, 3) right-handed rotation by `angle` degrees about the unit vector `axis` (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    radians = np.radians(angle)
    turn: FloatArray = np.eye(3) + np.sin(radians) * cross + (1 - np.cos(radians)) * cross @ cross
    return turn


def centre(positions: FloatArray) -> FloatArray:
    """Centre (3,) of the bounding box of positions (S, A, 3) of all states."""
    middle: FloatArray = (positions.min(axis=(0, 1)) + positions.max(axis=(0, 1))) / 2
    return middle
