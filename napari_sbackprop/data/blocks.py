"""The blocks of a STAR file, line by line: which lines are the rows of which table.

Reading values and writing a subset share one definition of a row, so row i is particle i in both. Comments,
blank lines, quoted values, unnumbered labels, Windows line ends and any order of blocks are understood.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.input_file import require_file
from napari_sbackprop.data.lines import Lines
from napari_sbackprop.data.values import parse_numbers, split_columns, split_values
from napari_sbackprop.errors import InputError

_CHUNK = 1 << 12  # rows split into values at a time: bounds the memory, and stays in the cache
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MARKS = np.frombuffer(b"\0\r\n#_dl", dtype=np.uint8)
"""First characters of lines that may be more than a row: empty ones, comments, labels, data_ and loop_."""


@dataclass(frozen=True, eq=False)
class Block:
    """One `data_` block: a table (`loop_`), or label-value pairs, which read as a table of one row.

    Attributes
    ----------
    path : file of the block.
    name : name without `data_`, maybe empty.
    labels : column names without the leading underscore.
    lines : those of the file; of pairs, one line put together from the values.
    line_numbers : (rows,) int64, which of the lines are rows, from 0.
    is_loop : false for pairs.
    """

    path: Path
    name: str
    labels: tuple[str, ...]
    lines: Lines
    line_numbers: npt.NDArray[np.int64]
    is_loop: bool

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.line_numbers)

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
            A row has more or fewer values than there are columns, or several columns have one of the labels.
        """
        wanted = {label: self.labels.index(label) for label in labels if label in self.labels}
        if repeated := next((label for label in wanted if self.labels.count(label) > 1), None):
            raise InputError(
                f"{self.path} has several columns {repeated} in {self.title}: keep the right one and remove the other."
            )
        parts = [[np.empty(0, "S1")] * len(wanted)]
        first = 1
        for rows in self.lines.pieces(self.line_numbers, _CHUNK):
            columns = list(wanted.values())
            parts.append(
                split_columns(rows, len(self.labels), columns) or self._split_one_by_one(rows, columns, first)
            )
            first += len(rows)
        return Columns(self, dict(zip(wanted, map(np.concatenate, zip(*parts, strict=True)), strict=True)))

    def _split_one_by_one(
        self, rows: Lines, columns: Sequence[int], first: int
    ) -> list[npt.NDArray[np.bytes_]]:
        """Columns of rows with quotes or comments; the first of the rows has the number `first`."""
        table = [split_values(row) for row in rows]
        for number, values in enumerate(table, first):
            if len(values) != len(self.labels):
                raise InputError(
                    f"{self.path}, row {number} of {self.title} has {len(values)} values for "
                    f"{len(self.labels)} columns: repair or remove the row."
                )
        return [np.array([values[column] for values in table], dtype=np.bytes_) for column in columns]


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
    _numbers: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def __contains__(self, label: str) -> bool:
        return label in self.texts

    def numbers(self, label: str) -> npt.NDArray[np.float64]:
        """Values (rows,) of a column as numbers, read-only; InputError names the first row that holds none."""
        if label not in self._numbers:
            self._numbers[label] = self._parse(label)
            self._numbers[label].flags.writeable = False  # they are handed out more than once
        return self._numbers[label]

    def _parse(self, label: str) -> npt.NDArray[np.float64]:
        texts = self.texts[label]
        try:
            return parse_numbers(texts)
        except ValueError as error:
            number = next(i for i, text in enumerate(texts.tolist(), 1) if not _is_number(text))
            raise InputError(
                f"{self.block.path}, row {number} of {self.block.title}: {label} is "
                f"{readable(texts[number - 1])!r}, but must be a number; repair or remove the row."
            ) from error


@dataclass(frozen=True, eq=False)
class StarText:
    """A STAR file as its lines and the blocks they form."""

    path: Path
    lines: Lines
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
    if b"\0" in content:
        raise InputError(f"{path} is damaged, for it has zero bytes between the text: copy it again.")
    lines = Lines.split(content, start=len(_BYTE_ORDER_MARK) if content.startswith(_BYTE_ORDER_MARK) else 0)
    blocks = _find_blocks(path, lines)
    if not blocks:
        raise InputError(
            f"{path} is not a STAR file, for it has no table under a data_ line: give a RELION STAR file."
        )
    return StarText(path, lines, blocks)


def readable(text: bytes) -> str:
    """Text of a value; bytes that are not UTF-8 survive a round trip into a path."""
    return text.decode("utf-8", "surrogateescape")


class _BlockBuilder:
    """Collects the lines of one block."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.labels: list[str] = []
        self.values: list[bytes] = []
        self.rows: list[npt.NDArray[np.int64]] = []
        self.is_loop = False

    def accepts_label(self, values: list[bytes]) -> bool:
        """Whether a line that starts with `_` is a label, maybe numbered, and not a row that starts like one."""
        return len(values) <= 2 or not self.is_loop

    def add_rows(self, begin: int, end: int) -> None:
        """Take lines `begin` to `end`, exclusive, as rows; pairs have none."""
        if self.is_loop and begin < end:
            self.rows.append(np.arange(begin, end))

    def build(self, path: Path, lines: Lines) -> Block:
        if self.is_loop:
            numbers = np.concatenate([np.empty(0, np.int64), *self.rows])
            return Block(path, self.name, tuple(self.labels), lines, numbers, True)
        pairs = Lines.split(b" ".join(map(_quoted, self.values)))
        return Block(path, self.name, tuple(self.labels), pairs, np.zeros(1, np.int64), False)


def _find_blocks(path: Path, lines: Lines) -> tuple[Block, ...]:
    finished: list[_BlockBuilder] = []
    block: _BlockBuilder | None = None
    marked = np.flatnonzero(np.isin(lines.first_characters(), _MARKS)).tolist()
    if marked[:1] != [0]:
        marked.insert(0, 0)
    for number, following in pairwise([*marked, len(lines)]):
        text = lines[number].strip()
        if not text or text.startswith(b"#"):
            pass
        elif text.startswith(b"data_") and len(split_values(text)) == 1:
            block = _BlockBuilder(readable(split_values(text)[0])[len("data_") :])
            finished.append(block)
        elif block is None:
            return ()
        elif text.startswith(b"loop_") and split_values(text) == [b"loop_"]:
            if block.labels:  # a second table under the same name
                block = _BlockBuilder(block.name)
                finished.append(block)
            block.is_loop = True
        elif text.startswith(b"_") and not block.rows and block.accepts_label(values := split_values(text)):
            block.labels.append(readable(values[0][1:]))
            block.values.append(b" ".join(values[1:]))
        else:
            block.add_rows(number, number + 1)
        if block is not None:
            block.add_rows(number + 1, following)
        elif number + 1 < following:
            return ()
    return tuple(builder.build(path, lines) for builder in finished if builder.labels)


def _quoted(value: bytes) -> bytes:
    return b"'%s'" % value if b'"' in value else b'"%s"' % value


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return b"_" not in text
