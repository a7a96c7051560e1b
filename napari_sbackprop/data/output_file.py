"""A new file that gets its name only when everything in it is written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_sbackprop.errors import InputError


@contextmanager
def new_file(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `path`; it becomes `path` when the block succeeds, else it disappears.

    Raises
    ------
    InputError
        `path` exists and may not be overwritten, or its folder does not exist or cannot be written.
    """
    _refuse_existing(path, overwrite)
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: the folder {path.parent} does not exist; make it first.")
    if not os.access(path.parent, os.W_OK):
        raise InputError(
            f"{path} cannot be written: the folder {path.parent} is read-only; choose another one."
        )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        _refuse_existing(path, overwrite)  # it may have appeared meanwhile
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder: give a file name.")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already: choose another name or remove it.")
