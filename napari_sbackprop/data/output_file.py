"""A new file or folder that gets its name only when everything in it is written."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_sbackprop.errors import NO_SPACE, InputError


@contextmanager
def new_file(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `path`; it becomes `path` when the block succeeds, else it disappears.

    Raises
    ------
    InputError
        `path` exists and may not be overwritten, or its folder does not exist or cannot be written.
    OSError
        The disk is full; the error names `path`.
    """
    require_room(path, overwrite)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _named_if_full(path):
            yield temporary
        refuse_existing(path, overwrite)  # it may have appeared meanwhile
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder; it becomes `path` when the block succeeds, else it disappears with its files.

    Where `path` exists, perhaps as a link or on another disk, it stays, and gets the files.

    Raises
    ------
    InputError
        `path` exists and is not an empty folder.
    OSError
        The disk is full; the error names `path`.
    """
    refuse_used_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    exists = path.is_dir()
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path if exists else path.parent))
    try:
        with _named_if_full(path):
            yield temporary
        if not exists:
            temporary.chmod(0o755)  # mkdtemp's folders are for their owner alone
            temporary.rename(path)
            return
        if list(path.iterdir()) != [temporary]:
            raise InputError(f"{path} is not empty any more: choose another folder.")
        for item in temporary.iterdir():
            item.rename(path / item.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_room(path: Path, overwrite: bool = False) -> None:
    """Raise an InputError where a file could not be made, or would take the place of another."""
    refuse_existing(path, overwrite)
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: the folder {path.parent} does not exist; make it first.")
    if not os.access(path.parent, os.W_OK):
        raise InputError(
            f"{path} cannot be written: the folder {path.parent} is read-only; choose another one."
        )


def refuse_existing(path: Path, overwrite: bool = False) -> None:
    """Raise an InputError where `path` is a folder, or a file that may not be overwritten."""
    if path.is_dir():
        raise InputError(f"{path} is a folder: give a file name.")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already: choose another name or remove it.")


def refuse_used_folder(path: Path) -> None:
    """Raise an InputError where `path` is anything but a new or an empty folder."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} exists and is not empty: choose another folder.")


def require_ending(path: Path, *endings: str) -> None:
    """Raise an InputError where `path` has none of the endings by which other programs know a format."""
    if path.suffix not in endings:
        raise InputError(f"{path} does not end in {', '.join(endings)}, which tells the format: name it so.")


@contextmanager
def _named_if_full(path: Path) -> Iterator[None]:
    """Let the error of a full disk name what could not be written."""
    try:
        yield
    except OSError as error:
        # numpy says that bytes are missing, but gives no number
        code = errno.ENOSPC if type(error) is OSError and error.errno is None else error.errno
        if code not in NO_SPACE:
            raise
        raise OSError(code, os.strerror(code), str(path)) from error
