"""Files dropped on napari: particles go to the Train dock, a run to the Explore dock. No layer is made from them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PathOrPaths = str | Sequence[str]
LayerData = list[tuple[None]]
Reader = Callable[[PathOrPaths], LayerData]

PEEK_BYTES = 65536
MARKS = {".cs": b"alignments3D/pose", ".csg": b"alignments3D"}
"""What the head of a file holds if particles can be trained on; STAR files name images."""
CLAIMED: LayerData = [(None,)]


def get_particle_reader(path: PathOrPaths) -> Reader | None:
    """Reader for a STAR file with images, or for a .cs or .csg file with poses; None for anything else."""
    particles = _single(path)
    try:
        with particles.open("rb") as file:
            head = file.read(PEEK_BYTES)
    except OSError:
        return None
    return _open_particles if MARKS.get(particles.suffix, b"_rlnImageName") in head else None


def get_run_reader(path: PathOrPaths) -> Reader | None:
    """Reader for a folder that a training has written; None for anything else."""
    folder = _single(path)
    return _open_run if (folder / "config.json").is_file() and (folder / "particles.star").is_file() else None


def _open_particles(path: PathOrPaths) -> LayerData:
    from napari_sbackprop.gui.docks import open_train

    if (viewer := _viewer()) is not None:
        open_train(viewer).set_particles(_single(path))
    return CLAIMED


def _open_run(path: PathOrPaths) -> LayerData:
    from napari_sbackprop.gui.docks import open_explore

    if (viewer := _viewer()) is not None:
        open_explore(viewer).open_run(_single(path))
    return CLAIMED


def _viewer() -> Any:
    from napari import current_viewer

    return current_viewer()


def _single(path: PathOrPaths) -> Path:
    return Path(path if isinstance(path, str) else path[0])
