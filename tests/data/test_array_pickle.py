"""Pickles give arrays and run nothing."""

import os
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_sbackprop.data.array_pickle import read_arrays, write_arrays
from napari_sbackprop.errors import InputError

ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.array([True, False]),
    np.asfortranarray(np.eye(3, dtype=np.float32)),
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "arrays.pkl"
    path.write_bytes(pickle.dumps(tuple(ARRAYS), protocol) + pickle.dumps(ARRAYS[0], protocol))
    for ours, expected in zip(read_arrays(path), [*ARRAYS, ARRAYS[0]], strict=True):
        assert ours.dtype == expected.dtype
        np.testing.assert_array_equal(ours, expected)


def test_what_is_written_is_read_by_pickle_itself(tmp_path: Path) -> None:
    write_arrays(tmp_path / "z.pkl", ARRAYS[0], (ARRAYS[1], ARRAYS[2]))
    with (tmp_path / "z.pkl").open("rb") as file:
        np.testing.assert_array_equal(pickle.load(file), ARRAYS[0])
        assert len(pickle.load(file)) == 2
    with pytest.raises(InputError, match="exists already"):
        write_arrays(tmp_path / "z.pkl", ARRAYS[0])


class Calls:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (lambda mark: Calls(os.system, f"touch {mark}"), r"posix\.system"),
        (lambda mark: Calls(subprocess.check_call, ["touch", mark]), r"subprocess\.check_call"),
        (lambda mark: Calls(eval, f"open({mark!r}, 'w')"), r"builtins\.eval"),
        (lambda mark: (np.zeros(3), Calls(exec, f"open({mark!r}, 'w')")), r"builtins\.exec"),
        (
            lambda mark: np.array([Calls(os.mkdir, mark)], dtype=object),
            "an array of type O8, which is no number",
        ),
        (lambda mark: Calls(np.save, mark, 1), r"numpy\.save"),
    ],
)
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, content, name: str) -> None:
    path, mark = tmp_path / "evil.pkl", tmp_path / "mark"
    path.write_bytes(pickle.dumps(content(str(mark))))
    with pytest.raises(InputError, match=rf"evil\.pkl holds {name}, and only numpy arrays are read"):
        read_arrays(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps({"a": 1}), "a dict, which is no array"),
        (pickle.dumps(np.array(["a"])), "an array of type U1, which is no number"),
        (pickle.dumps(np.arange(4.0))[:-20], "cannot be read as a pickle"),
        (b"text", "cannot be read as a pickle"),
        (b"", "is empty"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "file.pkl").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_arrays(tmp_path / "file.pkl")


def test_a_far_place_takes_no_memory(tmp_path: Path) -> None:
    """LONG_BINPUT, as which a damaged byte may be read, makes the unpickler take 16 bytes for every place before."""
    content = pickle.dumps(np.zeros(3), 4)
    (tmp_path / "file.pkl").write_bytes(content[:-1] + b"r" + (10**7).to_bytes(4, "little") + b".")
    with pytest.raises(InputError, match=r"cannot be read as a pickle \(UnpicklingError\)"):
        read_arrays(tmp_path / "file.pkl")


def test_weights_are_refused(shared_data: Path) -> None:
    with pytest.raises(InputError, match=r"het_weights\.pkl cannot be read as a pickle"):
        read_arrays(shared_data / "cryodrgn" / "het_weights.pkl")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_damaged_pickle_gives_arrays_or_a_sentence(tmp_path: Path, place: int, byte: int) -> None:
    content = bytearray(pickle.dumps((np.arange(12.0).reshape(4, 3), np.zeros(3, np.float32)), 4))
    content[place % len(content)] = byte
    (tmp_path / "file.pkl").write_bytes(content)
    try:
        arrays = read_arrays(tmp_path / "file.pkl")
    except InputError:
        return
    assert all(isinstance(array, np.ndarray) for array in arrays)
