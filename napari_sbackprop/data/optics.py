"""Optics groups of a particle table, from RELION 3.1's optics table or RELION 3.0's columns.

A value is looked up in the particle's row first, then in its group's row. Rows of one group that differ in
such a value form groups of their own; numbers in the file are never changed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.blocks import Columns, readable
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.particles import OpticsGroup

_Values = npt.NDArray[np.float64]
_GROUP = "rlnOpticsGroup"
_PIXEL_LABELS = ("rlnImagePixelSize", "rlnPixelSize")
_OLD_PIXEL_LABELS = ("rlnDetectorPixelSize", "rlnMagnification")
_REQUIRED = {
    "rlnVoltage": "the acceleration voltage in kV",
    "rlnSphericalAberration": "the spherical aberration in mm",
}
_AMPLITUDE_CONTRAST = 0.1
_MAGNIFICATION = {"rlnMagMat00": 1.0, "rlnMagMat01": 0.0, "rlnMagMat10": 0.0, "rlnMagMat11": 1.0}


def _near(centre: float) -> Callable[[_Values], npt.NDArray[np.bool_]]:
    return lambda values: np.abs(values - centre) < 0.5


# What a finite value must fulfil, how that is said, and the remedy.
_RANGES: dict[str, tuple[Callable[[_Values], npt.NDArray[np.bool_]], str, str]] = {
    "rlnVoltage": (
        lambda values: (values >= 10) & (values <= 1000),
        "between 10 and 1000",
        "give it in kV, not in V",
    ),
    "rlnSphericalAberration": (lambda values: values >= 0, "0 or more", "give it in mm"),
    "rlnAmplitudeContrast": (
        lambda values: (values >= 0) & (values < 1),
        "at least 0 and below 1",
        "give it as a fraction, such as 0.1",
    ),
    **{
        label: (
            _near(one),
            f"less than 0.5 from {one:g}",
            "give a magnification matrix, which is near 1, or none",
        )
        for label, one in _MAGNIFICATION.items()
    },
}
# What stands for a column that the file does not have.
_DEFAULTS = {"rlnCtfDataAreCtfPremultiplied": 0.0, "rlnCtfDataArePhaseFlipped": 0.0, **_MAGNIFICATION}
_ZERNIKES = ("rlnOddZernike", "rlnEvenZernike")
_BEAM_TILT = ("rlnBeamTiltX", "rlnBeamTiltY")
_COMA = (3, 4)  # places in rlnOddZernike


# What this module looks up; other columns need not be split.
OPTICS_LABELS = (
    _GROUP,
    "rlnOpticsGroupName",
    "rlnImageSize",
    "rlnAmplitudeContrast",
    *_PIXEL_LABELS,
    *_OLD_PIXEL_LABELS,
    *_REQUIRED,
    *_DEFAULTS,
    *_ZERNIKES,
)


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


def match_optics(particles: Columns, optics: Columns | None, findings: Findings) -> Lookup:
    """Find each particle's row in the optics table; an undefined group is an error."""
    rows = np.zeros(particles.block.count, dtype=np.int64)
    if optics is None:
        return Lookup(particles, None, rows)
    numbers = optics.numbers(_GROUP)
    if len(set(numbers.tolist())) < len(numbers):
        findings.error(f": {optics.block.title} defines an optics group twice; remove one of the rows.")
        return Lookup(particles, optics, rows)
    if _GROUP in particles:
        wanted = particles.numbers(_GROUP)
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
            f" has no column {_GROUP} in {particles.block.title}: all particles are taken as the one group."
        )
    else:
        findings.error(
            f" has {len(numbers)} optics groups, but no column {_GROUP} in {particles.block.title}: add it."
        )
    return Lookup(particles, optics, rows)


def pixel_sizes(lookup: Lookup) -> npt.NDArray[np.float64] | None:
    """Å per pixel (N,) of each particle's image, or None where the file does not tell."""
    for label in _PIXEL_LABELS:
        if (values := lookup.numbers(label)) is not None:
            return values
    detector, magnification = (lookup.numbers(label) for label in _OLD_PIXEL_LABELS)
    if detector is None or magnification is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1e4 * detector / magnification  # µm on the detector to Å on the specimen


def read_optics(
    lookup: Lookup, pixel_size: npt.NDArray[np.float64], findings: Findings
) -> tuple[tuple[OpticsGroup, ...], npt.NDArray[np.int32]]:
    """Optics groups in use, in the order of the file, and each particle's index among them.

    Box sizes are 0 where the file does not tell: take them from the stacks.
    """
    columns = _group_values(lookup, pixel_size, findings)
    zernikes = {}
    for label in _ZERNIKES:
        zernikes[label], columns[label] = _read_zernikes(lookup, label, findings)
    code = lookup.optics_row.copy()
    for values in columns.values():
        if not (values == values[0]).all():
            _, inverse = np.unique(values, return_inverse=True)
            _, code = np.unique(code * (int(inverse.max()) + 1) + inverse, return_inverse=True)
    _, first, index = np.unique(code, return_index=True, return_inverse=True)
    order = np.lexsort((first, lookup.optics_row[first]))
    rank = np.argsort(order)
    names = _group_names(lookup)
    groups = tuple(
        OpticsGroup(
            name=names[int(lookup.optics_row[row])] if names else f"opticsGroup{number}",
            pixel_size=float(columns["pixel"][row]),
            image_size=int(columns["box"][row]),
            voltage=float(columns["rlnVoltage"][row]),
            spherical_aberration=float(columns["rlnSphericalAberration"][row]),
            amplitude_contrast=float(columns["rlnAmplitudeContrast"][row]),
            ctf_premultiplied=bool(columns["rlnCtfDataAreCtfPremultiplied"][row]),
            phase_flipped=bool(columns["rlnCtfDataArePhaseFlipped"][row]),
            odd_zernikes=zernikes["rlnOddZernike"][int(columns["rlnOddZernike"][row])],
            even_zernikes=zernikes["rlnEvenZernike"][int(columns["rlnEvenZernike"][row])],
            magnification=tuple(float(columns[label][row]) for label in _MAGNIFICATION),
        )
        for number, row in enumerate(first[order], 1)
    )
    return groups, rank[index].astype(np.int32)


def check_groups(groups: tuple[OpticsGroup, ...], findings: Findings) -> None:
    """Note groups that cannot be trained on: those with an odd box."""
    for group in groups:
        if group.image_size % 2:
            findings.error(
                f": optics group {group.name} has an odd box of {group.image_size} px, but it must be even; "
                "extract or crop the particles again."
            )


def _group_values(
    lookup: Lookup, pixel_size: npt.NDArray[np.float64], findings: Findings
) -> dict[str, npt.NDArray[np.float64]]:
    count = lookup.count
    box = lookup.numbers("rlnImageSize")
    columns = {"pixel": pixel_size, "box": np.zeros(count) if box is None else box}
    for label, meaning in _REQUIRED.items():
        values = lookup.numbers(label)
        if values is None:
            findings.error(f" has no column {label}: add {meaning} to the optics or the particle table.")
        columns[label] = np.zeros(count) if values is None else values
    contrast = lookup.numbers("rlnAmplitudeContrast")
    if contrast is None:
        findings.warn(f" has no column rlnAmplitudeContrast: {_AMPLITUDE_CONTRAST} is assumed.")
    columns["rlnAmplitudeContrast"] = np.full(count, _AMPLITUDE_CONTRAST) if contrast is None else contrast
    for label, default in _DEFAULTS.items():
        values = lookup.numbers(label)
        columns[label] = np.full(count, default) if values is None else values
    for label, values in columns.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad) and label != "pixel":  # whose error is noted already
            findings.error(
                f", row {bad[0] + 1}: {label} is {values[bad[0]]}, but must be a finite number; correct it."
            )
            columns[label] = np.nan_to_num(values)
        elif label in _RANGES and lookup.numbers(label) is not None:
            _refuse_outside(values, label, findings)
    return columns


def _refuse_outside(values: _Values, label: str, findings: Findings) -> None:
    accept, wanted, remedy = _RANGES[label]
    bad = np.flatnonzero(~accept(values))
    if len(bad):
        findings.error(f", row {bad[0] + 1}: {label} is {values[bad[0]]:g}, but must be {wanted}; {remedy}.")


def _group_names(lookup: Lookup) -> list[str]:
    if lookup.optics is None:
        return []
    label = "rlnOpticsGroupName" if "rlnOpticsGroupName" in lookup.optics else _GROUP
    return [readable(name) for name in lookup.optics.texts[label].tolist()]


def _read_zernikes(
    lookup: Lookup, label: str, findings: Findings
) -> tuple[list[tuple[float, ...]], npt.NDArray[np.float64]]:
    """Distinct lists of coefficients, and which of them each particle (N,) has.

    A column of beam tilt takes the place of the coefficients of coma, in RELION 3.1 as here.
    """
    replaced = _COMA if label == "rlnOddZernike" and any(tilt in lookup for tilt in _BEAM_TILT) else ()
    for columns, rows in ((lookup.particles, np.arange(lookup.count)), (lookup.optics, lookup.optics_row)):
        if columns is not None and label in columns:
            texts, code = np.unique(columns.texts[label], return_inverse=True)
            lists = [_coefficients(columns, label, text, findings) for text in texts.tolist()]
            lists = [tuple(0.0 if i in replaced else c for i, c in enumerate(values)) for values in lists]
            return lists, code[rows].astype(np.float64)
    return [()], np.zeros(lookup.count)


def _coefficients(columns: Columns, label: str, text: bytes, findings: Findings) -> tuple[float, ...]:
    """Numbers of a list such as [0,0.1]; what is no such list is noted."""
    content = text.strip(b"[]")
    try:
        numbers = tuple(float(number) for number in content.split(b",")) if content else ()
    except ValueError:
        numbers = (math.nan,)
    if all(map(math.isfinite, numbers)):
        return numbers
    row = int(np.flatnonzero(columns.texts[label] == text)[0]) + 1
    findings.error(
        f", row {row} of {columns.block.title}: {label} is {readable(text)!r}, but must be a list of numbers such as "
        "[0,0.1,0]; correct it, or write [] for none."
    )
    return ()


def _list_numbers(numbers: npt.NDArray[np.float64]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
