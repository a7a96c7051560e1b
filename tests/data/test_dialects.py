"""Whatever dialect a STAR file is written in: read, choose and write keeps the chosen rows, and others read the same."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dialects import FREE, StarSample, Taste, star_samples
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from napari_sbackprop.data.star import read_columns
from napari_sbackprop.data.subset import write_subset

PLAIN_WORDS = ("mic.mrc", "a/data_1.mrc", "[0,0.1]", "n/a", "-", "été", "0x1f", "12e")
STARFILE = Taste(ends=("\n", "\r\n"), byte_order_mark=False, words=PLAIN_WORDS)
"""What starfile 0.5 reads: no CR alone, no byte order mark, no quotes or # inside of words."""
RELION = Taste(
    comments_in_tables=False,
    ends=("\n",),
    byte_order_mark=False,
    words=(*PLAIN_WORDS, "a#b", 'a"b'),
    names=("particles",),
)
"""What RELION 3.1 reads: for it an empty line ends a table, a comment in one is a broken row, and CRLF is no line end."""

SETTINGS: dict[str, Any] = {
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


def exported(sample: StarSample, kept: list[int], folder: Path) -> Path:
    """Write a sample and a subset of it; the subset's path."""
    (folder / "source.star").write_bytes(sample.content)
    (folder / "subset.star").unlink(missing_ok=True)
    write_subset(folder / "source.star", np.array(kept), folder / "subset.star")
    return folder / "subset.star"


def some_rows(data: st.DataObject, sample: StarSample) -> list[int]:
    return sorted(data.draw(st.sets(st.integers(0, len(sample.row_lines) - 1), min_size=1)))


@settings(**SETTINGS)
@given(sample=star_samples(FREE), data=st.data())
def test_rows_that_were_not_chosen_go_and_all_else_stays(
    tmp_path: Path, sample: StarSample, data: st.DataObject
) -> None:
    kept = some_rows(data, sample)
    subset = exported(sample, kept, tmp_path)
    assert subset.read_bytes() == sample.without(kept)
    columns = read_columns(subset)
    assert list(columns) == list(sample.table)
    for label, texts in sample.table.items():
        for value, row in zip(columns[label].tolist(), kept, strict=True):
            assert (value == texts[row]) if isinstance(value, str) else (value == float(texts[row]))


@pytest.mark.oracle
@settings(phases=[Phase.generate], **SETTINGS)
@given(sample=star_samples(STARFILE), data=st.data())
def test_starfile_reads_the_chosen_rows_of_every_dialect(
    tmp_path: Path, sample: StarSample, data: st.DataObject
) -> None:
    starfile = pytest.importorskip("starfile")
    kept = some_rows(data, sample)
    subset = exported(sample, kept, tmp_path)
    options = {"always_dict": True, "parse_as_string": list(sample.table)}
    before, after = (starfile.read(path, **options) for path in (tmp_path / "source.star", subset))
    assert list(before) == list(after)
    for name, table in after.items():
        if "rlnImageName" in table:
            chosen = {label: [texts[row] for row in kept] for label, texts in sample.table.items()}
            assert {label: list(table[label]) for label in table} == chosen
        else:
            assert table == before[name] if isinstance(table, dict) else table.equals(before[name])


@pytest.mark.oracle
@settings(phases=[Phase.generate], **SETTINGS)
@given(sample=star_samples(RELION), data=st.data())
def test_relion_reads_the_chosen_rows_of_every_dialect(
    tmp_path: Path, sample: StarSample, data: st.DataObject
) -> None:
    program = shutil.which("relion_star_handler")
    if program is None:
        pytest.skip("relion_star_handler is not installed")
    subset = exported(sample, some_rows(data, sample), tmp_path)
    command = [
        program,
        "--i",
        subset.name,
        "--o",
        "relion.star",
        "--select",
        "rlnDefocusU",
        "--minval",
        "-1e9",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    ours, theirs = read_columns(subset), read_columns(tmp_path / "relion.star")
    assert set(theirs) == set(ours)
    for label, values in ours.items():
        if values.dtype == object:  # RELION makes a tab in quotes a blank
            assert theirs[label].tolist() == [text.replace("\t", " ") for text in values]
        else:
            np.testing.assert_allclose(theirs[label].astype(float), values, rtol=1e-5, atol=1e-6)
