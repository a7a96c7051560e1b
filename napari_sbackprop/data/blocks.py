"""The blocks of a STAR file, line by line: which lines are the rows of which table.

Reading values and writing a subset share one definition of a row, so row i is particle i in both. Comments,
blank lines, quoted values, unnumbered labels, Windows line ends and any order of blocks are understood.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.input_file import require_file
from napari_sbackprop.errors import InputError

_CHUNK = 1 << 16  # rows split into values at a time: bounds the memory that short Python strings take
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_VALUE = re.compile(rb'"([^"]*)"|\'([^\']*)\'|(#).*|(\S+)')


@dataclass(frozen=True, eq=False)
class Block:
    """One `data_` block: a table (`loop_`), or label-value pairs, which read as a table of one row.

    Attributes
    ----------
    path : file of the block.
    name : name without `data_`, maybe empty.
    labels : column names without the leading underscore.
    rows : lines of the rows, as they stand in the file.
    line_numbers : (rows,) int64, number of each row's line in the file, from 0.
    is_loop : false for pairs; `rows` then holds one line put together from the values, without a number.
    """

    path: Path
    name: str
    labels: tuple[str, ...]
    rows: Sequence[bytes]
    line_numbers: npt.NDArray[np.int64]
    is_loop: bool

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def title(self) -> str:
        """Name as it stands in the file."""
        return f"data_{self.name}"

    def __contains__(self, label: str) -> bool:
        return label in self.labels

    def columns(self, labels: Iterable[str]) -> "Columns":
        """Split the rows, once, and keep the values of those of `labels` that the block has.

        Raises
        ------
        InputError
            A row has more or fewer values than there are columns.
        """
        wanted = {label: self.labels.index(label) for label in labels if label in self.labels}
        chunks: dict[str, list[npt.NDArray[np.bytes_]]] = {label: [np.empty(0, "S1")] for label in wanted}
        for start in range(0, self.count, _CHUNK):
            rows = [split_values(row) for row in self.rows[start : start + _CHUNK]]
            for number, values in enumerate(rows, start + 1):
                if len(values) != len(self.labels):
                    raise InputError(
                        f"{self.path}, row {number} of {self.title} has {len(values)} values for "
                        f"{len(self.labels)} columns: repair or remove the row."
                    )
            for label, column in wanted.items():
                chunks[label].append(np.array([values[column] for values in rows], dtype=np.bytes_))
        return Columns(self, {label: np.concatenate(parts) for label, parts in chunks.items()})


@dataclass(frozen=True, eq=False)
class Columns:
    """Values of some columns of a block.

    Attributes
    ----------
    block : where they come from.
    texts : one (rows,) array a column, as it is written but without quotes.
    """

    block: Block
    texts: dict[str, npt.NDArray[np.bytes_]]

    def __contains__(self, label: str) -> bool:
        return label in self.texts

    def numbers(self, label: str) -> npt.NDArray[np.float64]:
        """Values (rows,) of a column as numbers; InputError names the first row that holds none."""
        texts = self.texts[label]
        try:
            return texts.astype(np.float64)
        except ValueError as error:
            number = next(i for i, text in enumerate(texts.tolist(), 1) if not _is_number(text))
            raise InputError(
                f"{self.block.path}, row {number} of {self.block.title}: {label} is "
                f"{readable(texts[number - 1])!r}, but must be a number; repair or remove the row."
            ) from error


@dataclass(frozen=True, eq=False)
class StarText:
    """A STAR file as its lines, with line ends, and the blocks they form."""

    path: Path
    lines: Sequence[bytes]
    blocks: tuple[Block, ...]

    @cached_property
    def labels(self) -> frozenset[str]:
        """Labels of all blocks together."""
        return frozenset(label for block in self.blocks for label in block.labels)

    def find(self, accept: Callable[[Block], bool]) -> list[Block]:
        """Blocks that satisfy a condition, in the order of the file."""
        return [block for block in self.blocks if accept(block)]


def read_star(path: Path) -> StarText:
    """Read a STAR file.

    Raises
    ------
    InputError
        The file cannot be read, or is not a STAR file.
    """
    require_file(path)
    return parse_star(path, path.read_bytes())


def parse_star(path: Path, content: bytes) -> StarText:
    """Find the blocks in the content of a STAR file; `path` is named in messages."""
    if b"\0" in content[:65536]:
        kind = "an MRC stack or map" if content[208:211] == b"MAP" else "a binary file"
        raise InputError(f"{path} is {kind}, not a STAR file: give the STAR file that lists the particles.")
    lines = content.removeprefix(_BYTE_ORDER_MARK).splitlines(keepends=True)
    blocks = _find_blocks(path, lines)
    if not blocks:
        raise InputError(
            f"{path} is not a STAR file, for it has no table under a data_ line: give a RELION STAR file."
        )
    if content.startswith(_BYTE_ORDER_MARK):
        lines[0] = _BYTE_ORDER_MARK + lines[0]
    return StarText(path, lines, blocks)


def split_values(line: bytes) -> list[bytes]:
    """Values of a row: separated by white space, quotes removed, a comment at the end dropped."""
    if b'"' not in line and b"'" not in line and b"#" not in line:
        return line.split()
    values = []
    for double, single, comment, plain in _VALUE.findall(line):
        if comment:
            break
        values.append(plain or double or single)
    return values


def readable(text: bytes) -> str:
    """Text of a value; bytes that are not UTF-8 survive a round trip into a path."""
    return text.decode("utf-8", "surrogateescape")


class _BlockBuilder:
    """Collects the lines of one block."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.labels: list[str] = []
        self.values: list[bytes] = []
        self.rows: list[bytes] = []
        self.line_numbers: list[int] = []
        self.is_loop = False

    def build(self, path: Path) -> Block:
        rows = self.rows if self.is_loop else [b" ".join(self.values)] if self.labels else []
        numbers = np.array(self.line_numbers, dtype=np.int64)
        return Block(path, self.name, tuple(self.labels), rows, numbers, self.is_loop)


def _find_blocks(path: Path, lines: Sequence[bytes]) -> tuple[Block, ...]:
    finished: list[_BlockBuilder] = []
    block: _BlockBuilder | None = None
    for number, line in enumerate(lines):
        text = line.strip()
        if not text or text.startswith(b"#"):
            continue
        if text.startswith(b"data_") and len(split_values(text)) == 1:
            block = _BlockBuilder(readable(split_values(text)[0])[len("data_") :])
            finished.append(block)
        elif block is None:
            return ()
        elif text.startswith(b"loop_") and split_values(text) == [b"loop_"]:
            if block.labels:  # a second table under the same name
                block = _BlockBuilder(block.name)
                finished.append(block)
            block.is_loop = True
        elif text.startswith(b"_") and not block.rows:
            label, *values = split_values(text)
            block.labels.append(readable(label[1:]))
            block.values.append(b'"' + b" ".join(values) + b'"')
        elif block.is_loop:
            block.rows.append(line)
            block.line_numbers.append(number)
    return tuple(builder.build(path) for builder in finished if builder.labels)


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
