"""A file that the user named: it exists, can be read and holds something."""

from pathlib import Path

from napari_sbackprop.errors import InputError


def require_file(path: Path) -> None:
    """Raise InputError unless `path` is a readable file with content."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder: give the file inside it.")
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path} is empty (0 bytes): write or copy it again.")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: check the name and the folder.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check its permissions.") from error
