"""Folders that moved since a STAR file was written: OLD=NEW replaces the beginning of an image's path."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from napari_sbackprop.errors import InputError

PathMap = Sequence[tuple[str, str]]
"""Pairs of an old folder, as the STAR file writes it or "." for the project's root, and what took its place."""


def parse_path_map(texts: Iterable[str]) -> PathMap:
    """Read `OLD=NEW` texts; a relative new folder is taken from the current one.

    Raises
    ------
    InputError
        A text has no `=`, nothing before it, or names a new folder that does not exist.
    """
    pairs = []
    for text in texts:
        old, separator, new = text.partition("=")
        if not (old and separator and new):
            raise InputError(
                f"--path-map is {text!r}, but must be OLD=NEW, such as /old/project=/new/project."
            )
        if not Path(new).is_dir():
            raise InputError(f"--path-map is {text!r}, but there is no folder {new}: check its name.")
        pairs.append((old.rstrip("/") or "/", str(Path(new).absolute())))
    return tuple(pairs)


def moved(name: str, path_map: PathMap) -> str:
    """The path of an image after the first of the pairs whose old folder it is in; else as it is written."""
    for old, new in path_map:
        if old == "." and not name.startswith("/"):
            return f"{new}/{name}"
        begin = old.rstrip("/") + "/"
        if name.startswith(begin):
            return f"{new}/{name.removeprefix(begin)}"
    return name
