"""Numpy arrays in Python pickles, read without running what else a pickle may hold.

Not even numpy's own functions are called with what stands in the file, as they trust it: stand-ins take their place.
"""

import pickle
import re
from pathlib import Path
from pickletools import genops
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.input_file import require_file
from napari_sbackprop.data.output_file import new_file
from napari_sbackprop.errors import InputError

Array = npt.NDArray[Any]

_NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")


def read_arrays(path: Path) -> list[Array]:
    """All arrays of a pickle, or of several in one file, in their order; those in tuples and lists one by one.

    Raises
    ------
    InputError
        The file is damaged or holds anything but arrays of numbers.
    """
    require_file(path)
    arrays: list[Array] = []
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            while file.tell() < size:
                start = file.tell()
                _refuse_far_places(file, size)
                file.seek(start)
                arrays += _flatten(_ArrayUnpickler(file).load())
    except _ForeignObjectError as error:
        raise InputError(
            f"{path} holds {error}, and only numpy arrays are read, as pickles can run code: save arrays alone."
        ) from error
    except Exception as error:  # whatever a made-up pickle provokes, it is no array
        raise InputError(
            f"{path} cannot be read as a pickle ({type(error).__name__}): copy or save it again."
        ) from error
    return arrays


def write_arrays(path: Path, *contents: Array | tuple[Array, ...]) -> None:
    """Write a new file of one pickle after the other."""
    with new_file(path) as temporary, temporary.open("wb") as file:
        for content in contents:
            pickle.dump(content, file, protocol=4)


def _refuse_far_places(file: BinaryIO, size: int) -> None:
    """Look through a pickle; the unpickler makes as many places as the highest that it is told to fill."""
    for operation, argument, _ in genops(file):
        if "PUT" in operation.name and int(argument or 0) > size:
            raise pickle.UnpicklingError(f"place {argument} in {size} bytes")


class _ForeignObjectError(Exception):
    """What a pickle holds besides arrays."""


class _ArrayUnpickler(pickle.Unpickler):
    """Knows the few names that numpy 1 and 2 write into the pickle of an array."""

    def find_class(self, module: str, name: str) -> Any:
        stand_in = _STAND_INS.get((module.replace("numpy._core", "numpy.core"), name))
        if stand_in is None:
            raise _ForeignObjectError(f"{module}.{name}")
        return stand_in


class _Type:
    """In place of numpy.dtype: the type of a number, such as f4, and its byte order."""

    def __init__(self, code: str, *_: object) -> None:
        if not _NUMBERS.fullmatch(code):
            raise _ForeignObjectError(f"an array of type {code}, which is no number")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """In place of numpy.ndarray."""

    values: Array

    def __init__(self, *_: object) -> None:
        """As numpy does, start empty: shape and numbers follow as the state."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, is_fortran, content = state
        self.values = _from_bytes(content, kind, shape, "F" if is_fortran else "C").values


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _from_bytes(content: bytes, kind: _Type, shape: tuple[int, ...], order: Any) -> _Array:
    array = _Array()
    array.values = np.frombuffer(content, kind.dtype).reshape(shape, order=order)
    return array


def _latin1(text: str, encoding: str) -> bytes:
    """Bytes as old protocols write them."""
    if encoding != "latin1":
        raise _ForeignObjectError(f"text in {encoding}")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _from_bytes,
    ("_codecs", "encode"): _latin1,
}


def _flatten(content: object) -> list[Array]:
    if isinstance(content, tuple | list):
        return [array for item in content for array in _flatten(item)]
    if not isinstance(content, _Array):
        raise _ForeignObjectError(f"a {type(content).__name__}, which is no array")
    return [content.values.copy()]
