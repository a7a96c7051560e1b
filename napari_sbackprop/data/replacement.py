"""A particle STAR file with other values in some columns: the same text but for these values."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.blocks import read_star
from napari_sbackprop.data.output_file import new_file
from napari_sbackprop.data.star_kind import particle_block
from napari_sbackprop.data.values import value_spans


def write_replaced(source: Path, columns: Mapping[str, npt.NDArray[np.floating]], output: Path) -> None:
    """Write the particles with new numbers in some columns, with six decimals; all other bytes stay as they are.

    Parameters
    ----------
    source : STAR file with a loop of N particles.
    columns : (N,) numbers by label; the file has each of the labels.
    output : new file; an existing one is refused.
    """
    text = read_star(source)
    block = particle_block(text)
    block.columns(columns)  # refuses rows with too few or too many values
    places = sorted((block.labels.index(label), values.tolist()) for label, values in columns.items())
    content, end = text.lines.content, 0
    with new_file(output) as temporary, temporary.open("wb") as file:
        for row, line in enumerate(block.line_numbers.tolist()):
            start, spans = int(text.lines.bounds[line]), value_spans(text.lines[line])
            for place, values in places:
                begin, stop = spans[place]
                file.write(content[end : start + begin])
                file.write(b"%.6f" % values[row])
                end = start + stop
        file.write(content[end:])
