"""A file that the user named: it exists, can be read and holds something."""

from pathlib import Path

from napari_sbackprop.errors import InputError


def require_file(path: Path) -> None:
    """Raise InputError unless `path` is a readable file with content."""
    read_start(path, 1)


def read_start(path: Path, count: int) -> bytes:
    """Up to `count` bytes from the beginning of a file; InputError unless it is readable and has content."""
    try:
        with path.open("rb") as file:
            start = file.read(count)
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder: give the file inside it.") from error
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: check the name and the folder.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions.") from error
    if not start:
        raise InputError(f"{path} is empty (0 bytes): write or copy it again.")
    return start
