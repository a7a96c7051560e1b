"""Tables that are written are read back as they were."""

from pathlib import Path

import numpy as np
import pytest
import starfile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from napari_sbackprop.data.blocks import parse_star
from napari_sbackprop.data.star_table import format_star
from napari_sbackprop.errors import InputError

NAMES = st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12)


@settings(max_examples=150)
@given(names=st.lists(NAMES, min_size=1, max_size=5))
@example(names=["", "a b", "it's", 'say "so"', "#1", "data_x", "loop_", "_label", "ü", "\u3000"])
def test_texts_survive(names: list[str]) -> None:
    if any('"' in name and "'" in name for name in names):
        with pytest.raises(InputError, match="rename it without quotes"):
            format_star({"particles": {"rlnMicrographName": names}})
        return
    count = np.arange(len(names))
    text = parse_star(
        Path("x.star"), format_star({"particles": {"rlnNumber": count, "rlnMicrographName": names}})
    )
    (block,) = text.blocks
    columns = block.columns(block.labels)
    assert [value.decode() for value in columns.texts["rlnMicrographName"].tolist()] == names
    np.testing.assert_array_equal(columns.numbers("rlnNumber"), count)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=5))
def test_starfile_reads_the_same_numbers(tmp_path: Path, values: list[float]) -> None:
    numbers = np.array(values)
    tables = {
        "optics": {"rlnOpticsGroup": np.array([1, 2]), "rlnOpticsGroupName": ["first", "the second"]},
        "particles": {
            "rlnDefocusU": numbers,
            "rlnImageName": [f"{row}@a b.mrcs" for row in range(len(values))],
        },
    }
    (tmp_path / "x.star").write_bytes(format_star(tables))
    read = starfile.read(tmp_path / "x.star")
    assert list(read) == ["optics", "particles"]
    np.testing.assert_allclose(read["particles"]["rlnDefocusU"], numbers, atol=5e-7)
    assert read["particles"]["rlnImageName"].tolist() == tables["particles"]["rlnImageName"]
    assert read["optics"]["rlnOpticsGroupName"].tolist() == ["first", "the second"]
