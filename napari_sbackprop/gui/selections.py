"""The controller of selections: what a lasso and the list of selections do to the model. Knows no Qt."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.analysis.selection import ParticleSelection, export_selection, inside_polygon
from napari_sbackprop.gui.explorer_model import ExplorerModel
from napari_sbackprop.gui.file_worker import FileWorker


class Selections:
    """Selects particles of the scene on screen.

    Parameters
    ----------
    model : to write.
    files : writes what is exported.
    """

    def __init__(self, model: ExplorerModel, files: FileWorker) -> None:
        self.model = model
        self._files = files

    def select_polygon(self, vertices: npt.NDArray[np.float64]) -> None:
        """Mark the particles inside a polygon (V, 2) of the present projection as a new selection."""
        scene, projection = self.model.scene, self.model.projection
        if scene is None or projection is None or len(vertices) < 3:
            return
        indices = inside_polygon(projection.coordinates, vertices)
        if len(indices) == 0:
            self.model.message = "No particle lies inside this outline."
            return
        provenance = {
            "polygon": np.round(vertices, 5).tolist(),
            "method": projection.method,
            "epoch": scene.epoch,
        }
        selection = ParticleSelection(self.model.free_name(), indices, provenance)
        self.model.selections = (*self.model.selections, selection)
        self.model.active = len(self.model.selections) - 1
        self.model.say(f"{len(indices):,} of {scene.count:,} particles selected.")

    def activate(self, row: int) -> None:
        """Mark another selection; -1 for none."""
        self.model.active = row

    def rename(self, row: int, name: str) -> None:
        """Give a selection another name; it is also its file name."""
        selections = list(self.model.selections)
        name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name.strip())
        if name and all(name != other.name for i, other in enumerate(selections) if i != row):
            selections[row] = replace(selections[row], name=name)
        else:
            self.model.error = "A selection needs a name that no other selection has."
        self.model.selections = tuple(selections)

    def remove(self, row: int) -> None:
        selections = self.model.selections
        self.model.active = -1
        self.model.selections = selections[:row] + selections[row + 1 :]

    def export(self, output: Path, original: Path | None = None) -> None:
        """Write the marked selection as a STAR file: the original rows, byte for byte."""
        scene, selection = self.model.scene, self.model.selection
        if scene is None or selection is None:
            return
        output.parent.mkdir(parents=True, exist_ok=True)
        self._files.submit(
            partial(export_selection, scene.run, selection, output, original),
            lambda count: self.model.say(f"Wrote {count:,} particles to {output}."),
        )
