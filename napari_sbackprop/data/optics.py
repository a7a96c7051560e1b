"""Optics groups of a particle table, from RELION 3.1's optics table or RELION 3.0's columns.

A value is looked up in the particle's row first, then in its group's row. Rows of one group that differ in
such a value form groups of their own; numbers in the file are never changed.
"""

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.lookup import OPTICS_GROUP, Lookup
from napari_sbackprop.data.optics_values import read_coefficients, read_numbers
from napari_sbackprop.data.particles import OpticsGroup

_PIXEL_LABELS = ("rlnImagePixelSize", "rlnPixelSize")
_OLD_PIXEL_LABELS = ("rlnDetectorPixelSize", "rlnMagnification")
_REQUIRED = {
    "rlnVoltage": "the acceleration voltage in kV",
    "rlnSphericalAberration": "the spherical aberration in mm",
}
_AMPLITUDE_CONTRAST = "rlnAmplitudeContrast"
MAGNIFICATION = {"rlnMagMat00": 1.0, "rlnMagMat01": 0.0, "rlnMagMat10": 0.0, "rlnMagMat11": 1.0}
"""Columns of the matrix M, with the values that change nothing."""
# What stands for a column that the file does not have.
_DEFAULTS = {
    "rlnImageSize": 0.0,
    **dict.fromkeys(_REQUIRED, 0.0),
    _AMPLITUDE_CONTRAST: 0.1,
    "rlnCtfDataAreCtfPremultiplied": 0.0,
    "rlnCtfDataArePhaseFlipped": 0.0,
    **MAGNIFICATION,
}
_ZERNIKES = ("rlnOddZernike", "rlnEvenZernike")
_BEAM_TILT = ("rlnBeamTiltX", "rlnBeamTiltY")
_COMA = (3, 4)  # places in rlnOddZernike


# What this module looks up; other columns need not be split.
OPTICS_LABELS = (
    OPTICS_GROUP,
    "rlnOpticsGroupName",
    *_PIXEL_LABELS,
    *_OLD_PIXEL_LABELS,
    *_DEFAULTS,
    *_ZERNIKES,
)


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
    (odd, columns["odd"]), (even, columns["even"]) = (
        _read_zernikes(lookup, label, findings) for label in _ZERNIKES
    )
    code = lookup.optics_row.copy()
    for values in columns.values():
        if not (values == values[0]).all():
            _, inverse = np.unique(values, return_inverse=True)
            _, code = np.unique(code * (int(inverse.max()) + 1) + inverse, return_inverse=True)
    _, first, index = np.unique(code, return_index=True, return_inverse=True)
    order = np.lexsort((first, lookup.optics_row[first]))
    rank = np.argsort(order)
    groups = tuple(
        OpticsGroup(
            name=lookup.group_name(row) or f"opticsGroup{number}",
            pixel_size=float(columns["pixel"][row]),
            image_size=int(columns["rlnImageSize"][row]),
            voltage=float(columns["rlnVoltage"][row]),
            spherical_aberration=float(columns["rlnSphericalAberration"][row]),
            amplitude_contrast=float(columns[_AMPLITUDE_CONTRAST][row]),
            ctf_premultiplied=bool(columns["rlnCtfDataAreCtfPremultiplied"][row]),
            phase_flipped=bool(columns["rlnCtfDataArePhaseFlipped"][row]),
            odd_zernikes=odd[int(columns["odd"][row])],
            even_zernikes=even[int(columns["even"][row])],
            magnification=tuple(float(columns[label][row]) for label in MAGNIFICATION),
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
    for label, meaning in _REQUIRED.items():
        if label not in lookup:
            findings.error(f" has no column {label}: add {meaning} to the optics or the particle table.")
    if _AMPLITUDE_CONTRAST not in lookup:
        findings.warn(f" has no column {_AMPLITUDE_CONTRAST}: {_DEFAULTS[_AMPLITUDE_CONTRAST]} is assumed.")
    numbers = {label: read_numbers(lookup, label, default, findings) for label, default in _DEFAULTS.items()}
    return {"pixel": pixel_size, **numbers}


def _read_zernikes(
    lookup: Lookup, label: str, findings: Findings
) -> tuple[list[tuple[float, ...]], npt.NDArray[np.float64]]:
    """Distinct lists of coefficients, and which of them each particle (N,) has.

    A column of beam tilt takes the place of the coefficients of coma, in RELION 3.1 as here.
    """
    replaced = _COMA if label == "rlnOddZernike" and any(tilt in lookup for tilt in _BEAM_TILT) else ()
    lists, code = read_coefficients(lookup, label, findings)
    lists = [tuple(0.0 if i in replaced else c for i, c in enumerate(values)) for values in lists]
    return lists, code.astype(np.float64)
