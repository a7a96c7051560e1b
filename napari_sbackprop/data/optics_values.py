"""Numbers of the optics and the CTF, checked for what a microscope can have."""

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.blocks import readable
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.lookup import Lookup

_Values = npt.NDArray[np.float64]
_Range = tuple[Callable[[_Values], npt.NDArray[np.bool_]], str, str]
"""What a value must fulfil, how that is said, and the remedy."""


def _between(least: float, most: float, remedy: str) -> _Range:
    return lambda values: (values >= least) & (values <= most), f"between {least:g} and {most:g}", remedy


def _near(centre: float, remedy: str) -> _Range:
    return lambda values: np.abs(values - centre) < 0.5, f"less than 0.5 from {centre:g}", remedy


_FLAG: _Range = (lambda values: (values == 0) | (values == 1), "0 or 1", "write 1 for yes and 0 for no")
_MATRIX = "give a magnification matrix, which is near 1, or none"
_RANGES: dict[str, _Range] = {
    "rlnVoltage": _between(10, 1000, "give it in kV, not in V"),
    "rlnSphericalAberration": _between(0, 100, "give it in mm"),
    "rlnAmplitudeContrast": (
        lambda values: (values >= 0) & (values < 1),
        "at least 0 and below 1",
        "give it as a fraction, such as 0.1",
    ),
    "rlnImageSize": (
        lambda values: (values >= 0) & (values < 1 << 16) & (values == np.floor(values)),
        "a whole number of pixels",
        "give the side of the images, or leave the column out",
    ),
    "rlnCtfDataAreCtfPremultiplied": _FLAG,
    "rlnCtfDataArePhaseFlipped": _FLAG,
    "rlnMagMat00": _near(1, _MATRIX),
    "rlnMagMat01": _near(0, _MATRIX),
    "rlnMagMat10": _near(0, _MATRIX),
    "rlnMagMat11": _near(1, _MATRIX),
    "rlnBeamTiltX": _between(-100, 100, "give it in mrad"),
    "rlnBeamTiltY": _between(-100, 100, "give it in mrad"),
    "rlnPhaseShift": _between(-360, 360, "give it in degrees"),
    "rlnCtfBfactor": _between(-1000, 10_000, "give it in Å²"),
    "rlnCtfScalefactor": _between(-100, 100, "give a factor on the CTF, which is about 1"),
}
_LARGEST = 1e6  # coefficient: the phase of one cycle would be lost in it
_NUMBER = rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_LIST = re.compile(rb"\[(?:%s(?:,%s)*)?\]" % (_NUMBER, _NUMBER))


def read_numbers(lookup: Lookup, label: str, default: float, findings: Findings) -> _Values:
    """Values (N,) of a label, the default where the file has no such column; one out of its range is noted."""
    values = lookup.numbers(label)
    if values is None:
        return np.full(lookup.count, default)
    accept, wanted, remedy = _RANGES[label]
    good = accept(values)  # false for what is no number
    if good.all():
        return values
    row = int(np.argmin(good))
    findings.error(f"{lookup.place(label, row)}: {label} is {values[row]:g}, but must be {wanted}; {remedy}.")
    return np.where(good, values, default)


def read_coefficients(
    lookup: Lookup, label: str, findings: Findings
) -> tuple[list[tuple[float, ...]], npt.NDArray[np.int64]]:
    """Distinct lists of numbers such as [0,0.1], and which of them each particle (N,) has; what is none is noted."""
    for columns, rows in ((lookup.particles, np.arange(lookup.count)), (lookup.optics, lookup.optics_row)):
        if columns is None or label not in columns:
            continue
        texts, code = np.unique(columns.texts[label], return_inverse=True)
        used, code = np.unique(code[rows], return_inverse=True)
        lists = []
        for number, text in enumerate(texts[used].tolist()):
            values = _parse_list(text)
            if values is None:
                findings.error(
                    f"{lookup.place(label, int(np.argmax(code == number)))}: {label} is {readable(text)!r}, but must be a "
                    f"list of numbers up to {_LARGEST:g}, such as [0,0.1,0]; correct it, or write [] for none."
                )
            lists.append(values or ())
        return lists, code
    return [()], np.zeros(lookup.count, np.int64)


def _parse_list(text: bytes) -> tuple[float, ...] | None:
    if not _LIST.fullmatch(text):
        return None
    values = tuple(map(float, text[1:-1].split(b","))) if len(text) > 2 else ()
    return values if all(abs(value) <= _LARGEST for value in values) else None
