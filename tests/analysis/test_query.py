"""Queries, compared with those of pandas, where & and | also bind less than comparisons."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sbackprop.analysis.query import parse_query, particle_values
from napari_sbackprop.errors import InputError

GENERATOR = np.random.default_rng(0)
VALUES = {
    "rlnDefocusU": GENERATOR.uniform(5000, 25000, 60).round(),
    "rlnClassNumber": GENERATOR.integers(1, 4, 60),
    "z1": GENERATOR.normal(size=60).astype(np.float32),
    "rlnMicrographName": np.array([f"mic {i % 3}.mrc" for i in range(60)], dtype=object),
}
TABLE = pd.DataFrame(VALUES)


def mask(text: str) -> np.ndarray:
    return parse_query(text).mask(VALUES)


def by_pandas(text: str) -> np.ndarray:
    return TABLE.eval(text, engine="python").to_numpy()


number = st.sampled_from(["0", "-0.5", "1", "2", "1.5e4", "+3"])
name = st.sampled_from(["rlnDefocusU", "rlnClassNumber", "z1"])
sign = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
comparison = st.one_of(
    st.tuples(name, sign, number).map(" ".join),
    st.tuples(number, sign, name).map(" ".join),
    st.tuples(name, sign, name).map(" ".join),
    st.tuples(number, sign, name, sign, number).map(" ".join),
)
conditions = st.recursive(
    comparison,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" & ", " | "]), inner).map("".join),
        inner.map("({})".format),
        inner.map("~({})".format),
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(conditions)
def test_queries_mean_what_they_mean_to_pandas(text: str) -> None:
    np.testing.assert_array_equal(mask(text), by_pandas(text))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("rlnDefocusU>15000 and z1<0", "rlnDefocusU > 15000 & z1 < 0"),
        ("not z1 < 0 OR rlnClassNumber = 2", "~(z1 < 0) | rlnClassNumber == 2"),
        ("_rlnDefocusU > 15000", "rlnDefocusU > 15000"),
        ("rlnMicrographName = 'mic 1.mrc'", 'rlnMicrographName == "mic 1.mrc"'),
        ('rlnMicrographName != "mic 1.mrc" & z1 > .5', 'rlnMicrographName != "mic 1.mrc" & z1 > 0.5'),
    ],
)
def test_words_and_spaces_are_free(text: str, same: str) -> None:
    np.testing.assert_array_equal(mask(text), by_pandas(same))
    assert 0 < mask(text).sum() < 60


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "ends too early"),
        ("z1 >", "ends too early"),
        ("z1", "says nothing about z1"),
        ("z1 & rlnDefocusU > 3", "says nothing about z1"),
        ("1 < 2", "compares 1 with 2"),
        ("z1 > 0 > 1", "compares 0 with 1"),
        ("z1 > 0 rlnDefocusU < 3", "from 'rlnDefocusU' on"),
        ("z1 > 0)", r"from '\)' on"),
        ("(z1 > 0", "closing bracket before its end"),
        ("z1 > 0 & & z1 < 1", "'&' where a name or a number belongs"),
        ("z1 > 1..5", "'1..5' where a name"),
        ("z1 @ 5", "'@' where a comparison belongs"),
        ('rlnMicrographName == "mic', "'\"mic' where"),
        ("rlnMicrographName > 3", "rlnMicrographName, which is text, with 3"),
        ("z1 == 'x'", "'x', which is text, with z1"),
        ("defocusU > 3", "names defocusU, .* did you mean rlnDefocusU"),
        ("rlnMicrographName == mic", "names mic, .* text needs quotes"),
        ("cluster == 1", "there are no clusters yet"),
        ("contrast > 0.5", "has not measured it"),
        ("movement > 0", "names movement, but there is no epoch before this one"),
        ("evidence > 0", "names evidence, but this epoch has no model"),
        ("(" * 99 + "z1 > 0" + ")" * 99, "more than 50 brackets"),
        ("~" * 5000 + "z1 > 0", "more than 50 brackets"),
        ("__import__('os').system('true')", r"'\(' where a comparison belongs"),
        ("z1.__class__ > 0", "names z1.__class__"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        mask(text)
    assert str(refused.value).count("\n") == 0


def test_latents_contrast_and_clusters_have_names() -> None:
    mean = np.array([[0.0, 1], [2, 3], [4, 5]], dtype=np.float32)
    contrast = np.array([0.1, np.nan, 0.9], dtype=np.float32)
    values = particle_values(mean, contrast, {"rlnDefocusU": np.arange(3)}, np.array([0, -1, 1]))
    assert set(values) == {"rlnDefocusU", "z1", "z2", "contrast", "cluster"}
    assert parse_query("z2 >= 3 & rlnDefocusU < 2").mask(values).tolist() == [False, True, False]
    assert parse_query("contrast > 0.5 | cluster == 0").mask(values).tolist() == [True, False, True]
    assert parse_query("contrast > 0").mask(values).tolist() == [True, False, True]  # NaN: unknown
    assert set(particle_values(mean, np.full(3, np.nan, np.float32), {}, None)) == {"z1", "z2"}
