"""Runs that were explored last, the newest first, kept in the user's state folder. Knows no Qt."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from napari_sbackprop.data.output_file import new_file
from napari_sbackprop.errors import InputError

logger = logging.getLogger(__name__)
MOST_RUNS = 12


def recent_runs() -> list[Path]:
    """Folders of those that are there now."""
    return [path for path in _listed() if _is_run(path)]


def remember_run(run: Path) -> None:
    """Put a run first."""
    run = run.resolve()
    listed = [run, *(path for path in _listed() if path != run)]
    try:
        _path().parent.mkdir(parents=True, exist_ok=True)
        with new_file(_path(), overwrite=True) as temporary:
            temporary.write_text(json.dumps([str(path) for path in listed[:MOST_RUNS]], indent=1) + "\n")
    except (InputError, OSError) as error:
        logger.warning("%s is not listed among the recent runs: %s", run, error)


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Names of folders, with those above them where two are called the same."""
    for depth in range(1, 1 + max((len(path.parts) for path in paths), default=0)):
        names = [str(Path(*path.parts[-depth:])) for path in paths]
        if len({*names}) == len(names):
            return names
    return [str(path) for path in paths]


def _is_run(path: Path) -> bool:
    try:
        return (path / "config.json").is_file()
    except OSError:  # where nobody may look
        return False


def _listed() -> list[Path]:
    try:
        return [Path(name) for name in json.loads(_path().read_bytes())]
    except (OSError, ValueError, TypeError):  # the list is a convenience: a damaged one begins anew
        return []


def _path() -> Path:
    from platformdirs import user_state_path

    return user_state_path("napari-sbackprop") / "recent_runs.json"
