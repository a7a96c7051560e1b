"""Other values in some columns, or a new column: nothing else of the file changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dialects import FREE, StarSample, star_samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from relion_project import Project, format_block

from napari_sbackprop.data.blocks import parse_star, read_star
from napari_sbackprop.data.replacement import write_replaced, written_values
from napari_sbackprop.data.star import read_columns
from napari_sbackprop.data.star_kind import particle_block
from napari_sbackprop.errors import InputError

SETTINGS: dict[str, Any] = {
    "max_examples": 120,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


def rewritten(folder: Path, content: bytes, columns: dict[str, list[bytes]], kept: list[int]) -> Path:
    output = folder / "out.star"
    output.unlink(missing_ok=True)
    write_replaced(parse_star(folder / "in.star", content), columns, output, np.array(kept))
    return output


def some_rows(data: st.DataObject, sample: StarSample) -> list[int]:
    return sorted(data.draw(st.sets(st.integers(0, len(sample.row_lines) - 1), min_size=1)))


@settings(**SETTINGS)
@given(sample=star_samples(FREE), data=st.data())
def test_the_values_that_were_there_give_the_same_file(
    tmp_path: Path, sample: StarSample, data: st.DataObject
) -> None:
    text = parse_star(tmp_path / "in.star", sample.content)
    labels = data.draw(st.sets(st.sampled_from(sorted(sample.table))))
    columns = written_values(text, particle_block(text), sorted(labels))
    kept = some_rows(data, sample)
    output = rewritten(tmp_path, sample.content, dict(zip(sorted(labels), columns, strict=True)), kept)
    assert output.read_bytes() == sample.without(kept)


@settings(**SETTINGS)
@given(sample=star_samples(FREE), data=st.data())
def test_new_values_are_read_back_and_all_others_stay(
    tmp_path: Path, sample: StarSample, data: st.DataObject
) -> None:
    kept, count = some_rows(data, sample), len(sample.row_lines)
    new = {"rlnDefocusU": [b"%d.5" % row for row in range(count)], "rlnAngleRot": [b"-1e3"] * count}
    read = read_columns(rewritten(tmp_path, sample.content, new, kept))
    assert list(read) == list(sample.table)
    assert read["rlnDefocusU"].tolist() == [row + 0.5 for row in kept]
    assert set(read["rlnAngleRot"].tolist()) == {-1000.0}
    for label, texts in sample.table.items():
        if label not in new:
            for value, row in zip(read[label].tolist(), kept, strict=True):
                assert (value == texts[row]) if isinstance(value, str) else (value == float(texts[row]))


@settings(**SETTINGS)
@given(sample=star_samples(FREE), data=st.data())
def test_a_new_column_comes_last_and_without_it_the_file_is_what_it_was(
    tmp_path: Path, sample: StarSample, data: st.DataObject
) -> None:
    kept, count = some_rows(data, sample), len(sample.row_lines)
    values = [b"qq%dqq" % row for row in range(count)]
    output = rewritten(tmp_path, sample.content, {"rlnNew": values}, kept)
    read = read_columns(output)
    assert list(read) == [*sample.table, "rlnNew"]
    assert read["rlnNew"].tolist() == [values[row].decode() for row in kept]
    content = output.read_bytes()
    for value in values:
        content = content.replace(b" " + value, b"")
    lines = [line for line in content.splitlines(keepends=True) if not line.startswith(b"_rlnNew")]
    assert b"".join(lines) == b"".join(sample.without(kept).splitlines(keepends=True))


def test_a_table_of_pairs_and_a_broken_row_are_refused(project: Project, tmp_path: Path) -> None:
    pairs = "\n".join(f"_{label} {values[0]}" for label, values in project.particles().items())
    star = project.write_text(f"{format_block('optics', project.optics())}\ndata_particles\n\n{pairs}\n")
    with pytest.raises(
        InputError, match="data_particles as pairs of labels and values: write that table with loop_"
    ):
        write_replaced(read_star(star), {"rlnNew": [b"1"]}, tmp_path / "out.star")
    star = project.write(project.particles(), None)
    star.write_text(star.read_text().replace(" 4.0 0.0 ", " 0.0 "))
    with pytest.raises(InputError, match="row 3 of data_images has 10 values for 11 columns"):
        write_replaced(read_star(star), {"rlnNew": [b"1"] * 4}, tmp_path / "out.star")
    assert not (tmp_path / "out.star").exists()
