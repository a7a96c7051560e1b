"""The file that keeps what was on screen of a run."""

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.analysis.selection import Indices
from napari_sbackprop.data.output_file import new_file
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory

FORMAT = 1
State = dict[str, Any]
"""What a part of the window is like, JSON-able."""


def session_paths(run: RunDirectory) -> tuple[Path, Path]:
    """Where a session may be: in the run, and for a run that is read-only in the user's state folder."""
    from platformdirs import user_state_path

    place = str(run.path.resolve())
    name = f"{run.path.resolve().name}-{hashlib.sha256(place.encode()).hexdigest()[:16]}.json"
    return run.session_path, user_state_path("napari-sbackprop") / "sessions" / name


def read_session(run: RunDirectory) -> Mapping[str, State]:
    """State of each part by its name, of the newest session; empty where there is none.

    Raises
    ------
    InputError
        The file is damaged, or of another version.
    """
    known = [path for path in session_paths(run) if path.is_file()]
    if not known:
        return {}
    path = max(known, key=lambda path: path.stat().st_mtime)
    try:
        document = json.loads(path.read_bytes())
        found = document["format"]
        parts = {name: dict(state) for name, state in document["parts"].items()} if found == FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unusable(path, f"cannot be read ({type(error).__name__}: {error})") from error
    if found != FORMAT:
        raise _unusable(path, f"has format {found}, but this version reads {FORMAT}")
    return parts


def write_session(run: RunDirectory, parts: Mapping[str, State]) -> None:
    """Keep a session in the run, else in the user's state folder; a file replaces that of before when it is complete.

    Raises
    ------
    InputError
        The run is gone, or neither place can be written.
    """
    if not run.config_path.is_file():  # the state folder would keep it for the next run of that name
        raise InputError(
            f"What is on screen is not kept, as {run.path} is gone: open the run where it is now."
        )
    text = json.dumps({"format": FORMAT, "parts": parts}, separators=(",", ":"))
    inside, outside = session_paths(run)
    try:
        _write(inside, text)
        return
    except (InputError, OSError):
        pass
    try:
        outside.parent.mkdir(parents=True, exist_ok=True)
        _write(outside, text)
    except (InputError, OSError) as error:
        raise InputError(
            f"What is on screen cannot be kept ({error}): make the run's folder writable."
        ) from error


def _write(path: Path, text: str) -> None:
    with new_file(path, overwrite=True) as temporary:
        temporary.write_text(text + "\n")


def _unusable(path: Path, why: str) -> InputError:
    return InputError(
        f"{path} {why}, so that the run opens as at first, and what is on screen is not kept: move the file away."
    )


def packed(indices: Indices) -> str:
    """Particle numbers (n,), in any order, as a short text."""
    mask = np.zeros(indices.max(initial=-1) + 1, bool)
    mask[indices] = True
    return base64.b64encode(zlib.compress(np.packbits(mask).tobytes())).decode()


def unpacked(text: str) -> Indices:
    """The particle numbers of `packed`."""
    try:
        bits = zlib.decompress(base64.b64decode(text))
    except zlib.error as error:
        raise ValueError(error) from error
    return np.flatnonzero(np.unpackbits(np.frombuffer(bits, np.uint8)))


def numbers(values: Any, kind: type[np.floating[Any]]) -> npt.NDArray[Any]:
    """A row (n,) of finite numbers."""
    array = np.array(values, kind)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError("numbers are missing")
    return array
