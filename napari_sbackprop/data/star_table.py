"""Tables as the text of a STAR file, in the style of RELION 3.1."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.errors import InputError

Table = Mapping[str, npt.NDArray[Any] | Sequence[str]]
"""Columns by label: numbers (rows,), or texts."""
_PLAIN = re.compile(r"[^\s\"'#]+")


def format_star(tables: Mapping[str, Table]) -> bytes:
    """Text of a STAR file with one block per table, by name; numbers with a fraction get six decimals.

    Raises
    ------
    InputError
        A text cannot be written to a STAR file, for it holds both kinds of quotes or a line end.
    """
    text = "".join(_format_block(name, table) for name, table in tables.items())
    return text.encode("utf-8", "surrogateescape")


def _format_block(name: str, table: Table) -> str:
    head = [f"_{label} #{number}" for number, label in enumerate(table, 1)]
    rows = map(" ".join, zip(*map(_format_values, table.values()), strict=True))
    return "\n".join(["", "# version 30001", "", f"data_{name}", "", "loop_", *head, *rows, ""])


def _format_values(values: npt.NDArray[Any] | Sequence[str]) -> list[str]:
    if not isinstance(values, np.ndarray):
        return list(map(_quote, values))
    if values.dtype.kind == "f":
        return [f"{value:.6f}" for value in values.tolist()]
    return list(map(str, values.tolist()))


def _quote(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    quote = "'" if '"' in text else '"'
    if quote in text or "\n" in text or "\r" in text:
        raise InputError(f"A STAR file cannot hold the name {text!r}: rename it without quotes.")
    return f"{quote}{text}{quote}"
