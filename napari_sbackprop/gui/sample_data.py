"""File > Open Sample: a simulated complex that moves, trained on at once."""

from pathlib import Path
from typing import Any

from napari_sbackprop.config import Config
from napari_sbackprop.run_directory import RunDirectory

PARTICLES = 2000
BOX = 48  # small, so that the whole training takes about a minute on a laptop
PIXEL_SIZE = 5.4  # angstrom
CONFIG = Config(latent_size=4, basis_size=4, epochs=2)


def open_sample() -> list[tuple[Any, ...]]:
    """Open the trained sample, or simulate and train it in the Train dock.

    napari wants a layer at once: an empty one keeps the place of the first map.
    """
    from napari import current_viewer

    from napari_sbackprop.gui.map_view import placeholder

    if (viewer := current_viewer()) is not None:
        show_sample(viewer, sample_folder())
    return [placeholder(PIXEL_SIZE)]


def sample_folder() -> Path:
    """Where the sample is kept: the user's cache folder."""
    from platformdirs import user_cache_path

    return user_cache_path("napari-sbackprop") / "sample"


def show_sample(viewer: Any, folder: Path) -> None:
    """Explore the sample in `folder` if it was trained before, otherwise make it."""
    from napari_sbackprop.gui.docks import open_explore, open_train
    from napari_sbackprop.gui.train_widget import new_run_folder

    if (run := _trained_run(folder)) is not None:
        open_explore(viewer).open_run(run)
    else:
        text = f"Simulating {PARTICLES:,} particles of a moving complex …"
        open_train(viewer).start_after(
            lambda: simulated(folder), new_run_folder(folder / "particles.star"), CONFIG, text
        )


def simulated(folder: Path) -> Path:
    """The sample's STAR file, simulated if it is not there yet."""
    from napari_sbackprop.data.simulation import simulate

    star = folder / "particles" / "particles.star"
    return (
        star if star.is_file() else simulate(star.parent, particles=PARTICLES, box=BOX, pixel_size=PIXEL_SIZE)
    )


def _trained_run(folder: Path) -> Path | None:
    """The newest run in `folder` that has an epoch."""
    runs = sorted(path.parent for path in folder.glob("*/config.json"))
    return next((run for run in reversed(runs) if RunDirectory(run).epochs()), None)
