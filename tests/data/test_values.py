"""Values of rows: numbers exactly as Python reads them, and columns the same however they are cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sbackprop.data.lines import Lines
from napari_sbackprop.data.values import parse_numbers, split_columns, split_values

DECIMALS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-", "+"]),
    st.text("0123456789", max_size=18),
    st.sampled_from(["", "."]),
    st.text("0123456789", min_size=1, max_size=18),
)
NUMBERS = st.one_of(
    DECIMALS,
    st.floats().map(repr),
    st.floats(-1e6, 1e6).map("{:.6f}".format),
    st.floats(-1e9, 1e9).map("{:e}".format),
    st.sampled_from(
        ["-0.0", "5.", "nan", "-inf", "1e5", "000123", "9007199254740993", "0.1000000000000000055"]
    ),
)


@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_numbers_are_those_that_python_reads(texts: list[str]) -> None:
    numbers = parse_numbers(np.array([text.encode() for text in texts]))
    np.testing.assert_array_equal(numbers, [float(text) for text in texts])
    np.testing.assert_array_equal(np.signbit(numbers), np.signbit([float(text) for text in texts]))


@pytest.mark.parametrize("text", ["", "-", ".", "+.", "1.2.3", "--1", "1-", "1 2", "abc", "1,5", "0x10"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="float"):
        parse_numbers(np.array([b"1.5", text.encode(), b"2"]))


WORDS = st.text("abcXYZ019@._-/[],\u00e9", min_size=1, max_size=12).map(str.encode)


@given(st.data(), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_columns_cut_at_once_are_those_of_single_rows(data: st.DataObject, end: bytes) -> None:
    count = data.draw(st.integers(1, 5))
    rows = data.draw(st.lists(st.lists(WORDS, min_size=count, max_size=count), min_size=1, max_size=9))
    blanks = st.sampled_from([b" ", b"\t", b"   "])
    content = b"".join(
        data.draw(st.sampled_from([b"", b" "])) + b"".join(value + data.draw(blanks) for value in row) + end
        for row in rows
    ).removesuffix(data.draw(st.sampled_from([b"", b" " + end, end])))
    lines = Lines.split(content)
    columns = split_columns(lines, count, range(count))
    assert columns is not None
    assert list(map(list, zip(*(column.tolist() for column in columns), strict=True))) == rows
    assert [split_values(line) for line in lines] == rows


@pytest.mark.parametrize("row", [b"a b c\n", b"a\n", b"a 'b c'\n", b"a b # c\n", b"a # b\n"])
def test_rows_that_blanks_alone_do_not_split_are_left_to_the_careful_way(row: bytes) -> None:
    assert split_columns(Lines.split(b"a b\n" + row), 2, [0]) is None


def test_a_missing_value_is_not_made_up_by_the_next_row() -> None:
    assert split_columns(Lines.split(b"a b\nc\nd e f\n"), 2, [0]) is None


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b" "]), max_size=12).map(b"".join))
def test_lines_are_those_that_python_splits(content: bytes) -> None:
    assert list(Lines.split(content)) == content.splitlines(keepends=True)
