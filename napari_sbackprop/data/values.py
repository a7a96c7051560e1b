"""The values of the rows of a table, and the numbers that they write."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.lines import Lines

Texts = npt.NDArray[np.bytes_]

_VALUE = re.compile(rb'"([^"]*)"|\'([^\']*)\'|(#).*|(\S+)')
_MARKS = (b'"', b"'", b"#")  # what makes more of a row than values between blanks
MOST_DIGITS = 15  # of a whole number that a float64 always holds exactly
_POWERS = 10.0 ** np.arange(MOST_DIGITS + 1)
_CHUNK = 1 << 14  # numbers at a time: their digits stay in the cache


def split_values(line: bytes) -> list[bytes]:
    """Values of a row: separated by white space, quotes removed, a comment at the end dropped."""
    if not any(mark in line for mark in _MARKS):
        return line.split()
    values = []
    for double, single, comment, plain in _VALUE.findall(line):
        if comment:
            break
        values.append(plain or double or single)
    return values


def value_spans(line: bytes) -> list[tuple[int, int]]:
    """Where the values of a row begin and end, quotes included."""
    spans = []
    for match in _VALUE.finditer(line):
        if match[3]:  # a comment
            break
        spans.append(match.span())
    return spans


def split_columns(rows: Lines, count: int, wanted: Sequence[int]) -> list[Texts] | None:
    """Columns `wanted`, from 0, of rows that hold `count` values each.

    None where blanks alone do not tell: there are quotes or comments, or a row has another number of values.
    """
    if any(mark in rows.content for mark in _MARKS):
        return None
    longest = int(np.diff(rows.bounds).max())
    text = rows.content + b" " * longest  # so that a value's width can be read anywhere
    blank = np.ones(len(rows.content) + 2, dtype=bool)
    np.less_equal(np.frombuffer(rows.content, dtype=np.uint8), ord(" "), out=blank[1:-1])
    edges = np.flatnonzero(blank[1:] != blank[:-1])
    if len(edges) != 2 * count * len(rows):
        return None
    begins, ends = edges.reshape(len(rows), count, 2).transpose(2, 1, 0)  # (count, rows)
    if (begins[0] < rows.bounds[:-1]).any() or (ends[-1] > rows.bounds[1:]).any():
        return None
    return [_cut(text, begins[column], ends[column]) for column in wanted]


def _cut(text: bytes, begins: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]) -> Texts:
    lengths = (ends - begins).astype(np.int32)
    width = int(lengths.max())
    windows: Texts = np.ndarray(len(text) - width + 1, dtype=f"S{width}", buffer=text, strides=(1,))
    values = windows[begins]
    if (lengths < width).any():
        characters(values)[:] *= np.arange(width, dtype=np.int32) < lengths[:, None]
    return values


def parse_numbers(texts: Texts) -> npt.NDArray[np.float64]:
    """Numbers (n,) that texts write, as Python reads them, apart from its underscores between digits.

    Raises
    ------
    ValueError
        A text is no number.
    """
    numbers = np.empty(len(texts))
    for start in range(0, len(texts), _CHUNK):
        part = texts[start : start + _CHUNK]
        values, plain = _parse_decimals(characters(part))
        if not plain.all():  # exponents, many digits, nan
            others = part[~plain]
            if (np.char.find(others, b"_") >= 0).any():
                raise ValueError("a number has an underscore")
            values[~plain] = others.astype(np.float64)
        numbers[start : start + _CHUNK] = values
    return numbers


def _parse_decimals(
    characters: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Values of plain decimals such as -12.5, written in characters (n, width), and which of the texts are such.

    The digits without the point are a whole number below 2^53, so it and the power of ten are exact in float64, and
    their quotient is the float64 nearest to the decimal (Clinger, How to read floating point numbers accurately, 1990).
    """
    width = min(characters.shape[1], MOST_DIGITS)
    columns = np.zeros((width + 1, len(characters)), dtype=np.uint8)  # a row of ends below
    columns[:-1] = characters[:, :width].T
    digit = columns - np.uint8(ord("0"))  # wraps round: only digits are below 10
    is_digit, is_point = digit < 10, columns == ord(".")
    length = (columns != 0).sum(axis=0, dtype=np.uint8)
    points = is_point.sum(axis=0, dtype=np.uint8)
    digits = is_digit.sum(axis=0, dtype=np.uint8)
    negative = columns[0] == ord("-")
    plain = (digits > 0) & (points <= 1) & (digits + points + (negative | (columns[0] == ord("+"))) == length)
    if characters.shape[1] > width:
        plain &= characters[:, width] == 0
    index = np.arange(width + 1, dtype=np.uint8)[:, None]
    point = np.where(points > 0, (is_point * index).sum(axis=0, dtype=np.uint8), length)
    digit *= is_digit
    joined = np.where(index[:-1] >= point, digit[1:], digit[:-1])
    whole = _POWERS[width - 1 :: -1] @ joined.astype(np.float64)
    values = whole / _POWERS[width - point]
    return np.where(negative, -values, values), plain


def characters(texts: Texts) -> npt.NDArray[np.uint8]:
    """The bytes (n, width) of texts, without a copy."""
    return texts.view(np.uint8).reshape(len(texts), -1)
