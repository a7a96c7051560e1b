"""A particle STAR file with other values in some columns: the same text but for these values."""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.blocks import Block, StarText
from napari_sbackprop.data.output_file import new_file
from napari_sbackprop.data.star_kind import optics_block, particle_block
from napari_sbackprop.data.values import value_spans
from napari_sbackprop.errors import InputError

Texts = Mapping[str, Sequence[bytes]]
"""Values of the rows by label, as they are to stand in the file."""
_Edit = tuple[int, int, bytes]
"""Begin and end of the bytes that go, and what takes their place."""


def write_replaced(
    text: StarText,
    columns: Texts,
    output: Path,
    indices: npt.NDArray[np.integer] | None = None,
    optics: Texts | None = None,
) -> None:
    """Write particles with other values in some columns; all other bytes stay as they are.

    Parameters
    ----------
    text : STAR file with a loop of N particles.
    columns : N values by label; a label that the file lacks becomes a last column.
    output : new file; an existing one is refused.
    indices : (n,) rows to keep, from 0, by default all.
    optics : values of the optics groups by label.
    """
    block = particle_block(text)
    dropped = np.zeros(block.count, dtype=bool)
    if indices is not None:
        dropped[:] = True
        dropped[indices] = False
    edits = [_edits(text, block, columns, dropped)]
    if optics and (table := optics_block(text)) is not None:
        edits.append(_edits(text, table, optics, np.zeros(table.count, dtype=bool)))
    content, end = text.lines.content, 0
    with new_file(output) as temporary, temporary.open("wb") as file:
        for begin, stop, new in heapq.merge(*edits):
            file.write(content[end:begin])
            file.write(new)
            end = stop
        file.write(content[end:])


def written_values(text: StarText, block: Block, labels: Sequence[str]) -> list[list[bytes]]:
    """Values of some columns as they stand in the file, quotes included: one list a column."""
    _check(text, block)
    places = [block.labels.index(label) for label in labels]
    lines = map(text.lines.__getitem__, block.line_numbers.tolist())
    rows = ((line, value_spans(line)) for line in lines)
    return [
        list(column)
        for column in zip(*([line[slice(*spans[p])] for p in places] for line, spans in rows), strict=True)
    ]


def _edits(text: StarText, block: Block, columns: Texts, dropped: npt.NDArray[np.bool_]) -> Iterator[_Edit]:
    _check(text, block)
    replaced = sorted(
        (block.labels.index(label), values) for label, values in columns.items() if label in block
    )
    added = [label for label in columns if label not in block]
    if added:
        yield _new_labels(text, block, added)
    for row, line in enumerate(block.line_numbers.tolist()):
        start, stop = map(int, text.lines.bounds[line : line + 2])
        if dropped[row]:
            yield start, stop, b""
            continue
        spans = [(start + begin, start + end) for begin, end in value_spans(text.lines[line])]
        for place, values in replaced:
            yield *spans[place], values[row]
        if added:
            end = spans[-1][1]
            yield end, end, b"".join(b" " + columns[label][row] for label in added)


def _new_labels(text: StarText, block: Block, labels: Sequence[str]) -> _Edit:
    """Labels below the last one of a table, numbered where that one is."""
    number = int(block.line_numbers[0]) - 1
    while not text.lines[number].lstrip().startswith(b"_"):
        number -= 1
    last = text.lines[number]
    line_end = last[len(last.rstrip(b"\r\n")) :]
    numbered = b"#" in last
    lines = [
        b"_%s" % label.encode() + (b" #%d" % place if numbered else b"") + line_end
        for place, label in enumerate(labels, len(block.labels) + 1)
    ]
    end = int(text.lines.bounds[number + 1])
    return end, end, b"".join(lines)


def _check(text: StarText, block: Block) -> None:
    """Refuse a table whose values cannot be found by their place in a line."""
    if not block.is_loop:
        raise InputError(
            f"{text.path} has {block.title} as pairs of labels and values: write that table with loop_ first, as "
            "relion_star_handler does."
        )
    block.columns(block.labels[:1])  # refuses rows with too few or too many values
