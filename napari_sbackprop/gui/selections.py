"""The controller of selections: what tools and the table of sets do to the model. Knows no Qt."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.analysis.classes import export_classes
from napari_sbackprop.analysis.clustering import NO_CLUSTER
from napari_sbackprop.analysis.particle_set import SET_COLOURS, ParticleSet, read_sets, replace_sets
from napari_sbackprop.analysis.selection import (
    SELECTION,
    ParticleSelection,
    along_path,
    combined,
    export_selection,
    inside_polygon,
    inverted,
    nearest,
)
from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.explorer_model import ExplorerModel
from napari_sbackprop.gui.file_worker import FileWorker
from napari_sbackprop.gui.history import History
from napari_sbackprop.gui.next_job import next_job
from napari_sbackprop.gui.session import State
from napari_sbackprop.gui.shown import selection_state, stored_selection
from napari_sbackprop.run_directory import RunDirectory

LONGEST_NAME = 100  # letters


@dataclass(frozen=True, eq=False)
class _State:
    """What undo brings back."""

    selection: ParticleSelection | None = None
    sets: tuple[ParticleSet, ...] = ()


class Selections:
    """Selects particles of the scene on screen, and keeps selections as sets.

    Every way to select takes `how` the found particles go together with those selected before; by default as
    the model's `combining` says.

    Parameters
    ----------
    model : to write.
    files : reads and writes what is kept and exported.
    """

    def __init__(self, model: ExplorerModel, files: FileWorker) -> None:
        self.model = model
        self._files = files
        self._run: RunDirectory | None = None
        self._count = 0
        self._stored: tuple[ParticleSet, ...] | None = None  # None: those in the run were not read yet
        self._unreadable: InputError | None = None
        self.history = History(_State())

    def open(self, run: RunDirectory | None, count: int = 0) -> None:
        """Begin with another run of N = `count` particles, and the sets that are kept there; None for no run."""
        self._run, self._count, self._stored, self._unreadable = run, count, None, None
        self.history = History(_State())
        self._show()
        if run is not None:
            self._files.submit(partial(_read, run, count), partial(self._on_sets_read, run))

    def _on_sets_read(self, run: RunDirectory, sets: tuple[ParticleSet, ...] | InputError) -> None:
        if run is not self._run:
            return
        if isinstance(sets, InputError):
            self._unreadable = sets
            self.model.complain(sets)
        else:
            self._stored = sets
            self.history = History(_State(self.model.selection, sets + self.model.sets))
            self._show()

    def state(self) -> State:
        """The selection, for a session; sets have a file of their own."""
        return selection_state(self.model.selection)

    def restore(self, state: State) -> None:
        """Select what a session had selected; there is nothing to undo."""
        if self.model.scene is not None:
            selection = stored_selection(state, self.model.scene.count)
            self.history = History(replace(self.history.present, selection=selection))
            self._show()

    # -- the selection -----------------------------------------------------------------------------------------------

    def select_polygon(self, vertices: npt.NDArray[np.float64], how: str = "") -> None:
        """Select the particles inside a polygon (V, 2) of the present projection."""
        if (projection := self.model.projection) is not None and len(vertices) > 2:
            found = inside_polygon(projection.coordinates, vertices)
            self.select(found, {"polygon": np.round(vertices, 5).tolist(), "method": projection.method}, how)

    def select_stroke(self, path: npt.NDArray[np.float64], radii: tuple[float, float], how: str = "") -> None:
        """Select the particles that a brush with radii (x, y) passes on its path (V, 2) in the present projection."""
        if (projection := self.model.projection) is not None:
            found = along_path(projection.coordinates, path, radii)
            brush = {"stroke": np.round(path, 5).tolist(), "radii": list(radii)}
            self.select(found, {**brush, "method": projection.method}, how)

    def select_nearest(self, count: int, how: str = "") -> None:
        """Select the `count` particles whose latents are nearest to the place under the crosshair."""
        scene, anchor = self.model.scene, self.model.anchor
        if scene is None or anchor is None:
            self.model.say(
                "Click a place in the scatter first: the nearest particles are counted from there."
            )
            return
        place = anchor.mean(scene.latents)
        self.select(nearest(scene.latents, place, count), {"nearest": count, "latent": place.tolist()}, how)

    def select_cluster_at(self, x: float, y: float, how: str = "") -> None:
        """Select the cluster of the particle nearest to a point of the present projection."""
        projection, clustering = self.model.projection, self.model.clustering
        if projection is None or clustering is None:
            return
        label = int(clustering.labels[projection.tree.query((x, y))[1]])
        if label == NO_CLUSTER:
            self.model.say("This particle belongs to no cluster.")
        else:
            found = np.flatnonzero(clustering.labels == label)
            self.select(found, {**clustering.provenance, "cluster": label}, how)

    def use(self, row: int, how: str = "") -> None:
        """Select the particles of a set."""
        kept = self.model.sets[row]
        self._combine(ParticleSelection(kept.name, kept.indices, kept.provenance), how)

    def invert(self) -> None:
        """Select what is not selected."""
        if self.model.scene is not None:
            self._change(selection=inverted(self.model.selection, self.model.scene.count))

    def clear(self) -> None:
        """Select nothing."""
        self._change(selection=None)

    def select(self, found: npt.NDArray[np.int64], provenance: dict[str, Any], how: str = "") -> None:
        """Select particles that were found in a way that `provenance` tells."""
        if (scene := self.model.scene) is None:
            return
        if len(found) == 0:
            self.model.say("No particle was found.")
            return
        self._combine(ParticleSelection(SELECTION, found, {"epoch": scene.epoch, **provenance}), how)

    def _combine(self, found: ParticleSelection, how: str) -> None:
        self._change(selection=combined(self.model.selection, found, how or self.model.combining))

    # -- sets --------------------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Keep the selection as a set, with a name and a colour that no other set has."""
        selection, sets = self.model.selection, self.model.sets
        if selection is None:
            return
        used = {kept.colour for kept in sets}
        free = [colour for colour in SET_COLOURS if colour not in used]
        colour = free[0] if free else SET_COLOURS[len(sets) % len(SET_COLOURS)]
        kept = ParticleSet(self.model.free_name(), selection.indices, selection.provenance, colour)
        self._change(sets=(*sets, kept), selection=replace(selection, name=kept.name))
        if self._unreadable is not None:
            self.model.complain(self._unreadable)  # again, lest somebody rely on a set that is not stored

    def rename(self, row: int, name: str) -> None:
        """Give a set another name; it is also its file name."""
        model = self.model
        name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name.strip())
        name = name[:LONGEST_NAME]
        if not name or any(name == kept.name for i, kept in enumerate(model.sets) if i != row):
            model.events.sets.emit(model.sets, model.sets)  # so that the old name is shown again
            model.error = "A set needs a name that no other set has."
        else:
            self._change_set(row, name=name)

    def recolour(self, row: int, colour: str) -> None:
        """Give a set another colour, "#rrggbb"."""
        self._change_set(row, colour=colour)

    def set_visible(self, row: int, visible: bool) -> None:
        """Show or hide the colour of a set."""
        self._change_set(row, visible=visible)

    def remove(self, row: int) -> None:
        """Forget a set."""
        sets = self.model.sets
        self._change(sets=sets[:row] + sets[row + 1 :])

    def _change_set(self, row: int, **fields: Any) -> None:
        sets = list(self.model.sets)
        if all(getattr(sets[row], name) == value for name, value in fields.items()):
            return
        sets[row] = replace(sets[row], **fields)
        self._change(sets=tuple(sets))

    # -- states ------------------------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Take back the last change of the selection or of the sets."""
        self.history.undo()
        self._show()

    def redo(self) -> None:
        """Do again what was taken back."""
        self.history.redo()
        self._show()

    def _change(self, **fields: Any) -> None:
        state = replace(self.history.present, **fields)
        if state.selection is not None and not len(state.selection.indices):
            state = replace(state, selection=None)
        self.history.record(state)
        self._show()

    def _show(self) -> None:
        state, model = self.history.present, self.model
        before, model.selection, model.sets = model.selection, state.selection, state.sets
        if self._run is not None and self._stored is not None and state.sets != self._stored:
            work = partial(replace_sets, self._run, self._count, self._stored, state.sets)
            self._files.submit(work, lambda _: None)
            self._stored = state.sets
        if model.scene is not None and state.selection is not before:
            count = 0 if state.selection is None else len(state.selection.indices)
            model.say(f"{count:,} of {model.scene.count:,} particles selected.")

    def export(self, output: Path, original: Path | None = None, revert: bool = False) -> None:
        """Write the selection to a file, as `export_selection` does."""
        scene, selection = self.model.scene, self.model.selection
        if scene is None or selection is None:
            return
        work = partial(export_selection, scene.run, selection, output, original, revert=revert)
        self._files.submit(
            partial(_in_folder_of, output, work),
            lambda count: self.model.say(f"Wrote {count:,} particles to {output}. {next_job(output)}"),
        )

    def export_classes(self, output: Path) -> None:
        """Write all particles with their clusters as classes."""
        scene, clustering = self.model.scene, self.model.clustering
        if scene is None or clustering is None:
            return
        self._files.submit(
            partial(_in_folder_of, output, partial(export_classes, scene.run, clustering, output)),
            lambda counts: self.model.say(
                f"Wrote {sum(counts):,} particles in {len(counts)} classes to {output}. "
                + next_job(output, classes=True)
            ),
        )


def _in_folder_of(output: Path, write: Callable[[], Any]) -> Any:
    output.parent.mkdir(parents=True, exist_ok=True)
    return write()


def _read(run: RunDirectory, count: int) -> tuple[ParticleSet, ...] | InputError:
    try:
        return read_sets(run, count)
    except InputError as error:
        return error
