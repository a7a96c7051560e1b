"""The controller of paths through the latent space: how they are made, and where on them the map is. Knows no Qt."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from psygnal import SignalGroupDescriptor
from scipy.sparse import csr_array, vstack

from napari_sbackprop.analysis.selection import checked_indices
from napari_sbackprop.analysis.trajectories import (
    NeighbourGraph,
    along_component,
    equal_steps,
    path_through,
)
from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.explorer_model import ExplorerModel
from napari_sbackprop.gui.latest import Deliver, LatestWorker
from napari_sbackprop.gui.projection import Anchor
from napari_sbackprop.gui.session import State, numbers, packed, unpacked

Array = npt.NDArray[np.float32]
ShowAnchor = Callable[[Anchor, str, bool], None]

DRAWN, DENSE = "drawn", "dense"
LOOP, BACK_AND_FORTH = "loop", "back and forth"
MOST_FRAMES = 500
MOST_VERTICES = 64
"""Vertices of a drawn path; between them lies a straight line in the latent space."""


@dataclass
class PathModel:
    """A path and the place on it.

    Attributes
    ----------
    weights : (V, N), the path as `analysis.trajectories` describes it; a single vertex is a path that was begun.
    kind : how places are joined: as they are DRAWN, or through DENSE regions.
    component : principal component along which the path goes, from 0; None for any other path.
    frames : number of maps along the path.
    frame : the one on screen, from 0.
    playing : whether it moves on by itself.
    ending : what it does at the end, LOOP or go BACK_AND_FORTH.
    saving : what is being written, empty when nothing is; emptied, it stops.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        equality_operators={"weights": operator.is_}
    )

    weights: csr_array | None = None
    kind: str = DRAWN
    component: int | None = None
    frames: int = 40
    frame: int = 0
    playing: bool = False
    ending: str = BACK_AND_FORTH
    saving: str = ""

    @property
    def ready(self) -> bool:
        """Whether there is a path to go along."""
        return self.weights is not None and self.weights.shape[0] > 1


class Paths:
    """Makes one path at a time in the scene of the explorer, and moves along it; none is made while one is written.

    Parameters
    ----------
    scenes : model of the explorer.
    show_anchor : shows the map at a place, with a title, and whether the place stays.
    deliver : runs a function on the thread that owns the models.
    """

    def __init__(self, scenes: ExplorerModel, show_anchor: ShowAnchor, deliver: Deliver) -> None:
        self.model = PathModel()
        self._scenes = scenes
        self._show_anchor = show_anchor
        self._worker = LatestWorker(deliver, "sbackprop-paths")
        self._graph: NeighbourGraph | None = None  # of the worker's thread
        self._onwards = 1
        self._showing = False
        self._root: csr_array | None = None  # the path that is being joined to places
        self._places: list[csr_array] = []  # which it does not reach yet

    def state(self) -> State:
        """The path and the place on it, for a session."""
        model, path = self.model, self.model.weights
        settings = {"kind": model.kind, "ending": model.ending, "frames": model.frames, "frame": model.frame}
        if path is None:
            return settings
        if model.component is not None:
            return {**settings, "component": model.component, "particles": packed(path.indices)}
        ends = path.indptr.tolist(), path.indices.tolist(), path.data.tolist()
        return {**settings, **dict(zip(("ends", "particles", "weights"), ends, strict=True))}

    def restore(self, state: State) -> None:
        """Have the path of a session; the map stays."""
        model, count = self.model, len(self._latents)
        path, component = None, state.get("component")
        if component is not None:
            members = checked_indices(unpacked(state["particles"]), count, "the path")
            path = along_component(self._latents, members, int(component))
        elif "particles" in state:
            shape = (len(state["ends"]) - 1, count)
            weights = numbers(state["weights"], np.float64)
            path = csr_array((weights, np.array(state["particles"]), np.array(state["ends"])), shape=shape)
            path.check_format()
        kinds, endings = (DRAWN, DENSE), (LOOP, BACK_AND_FORTH)
        model.kind, model.ending = (
            choices[choices.index(state[name])] for name, choices in (("kind", kinds), ("ending", endings))
        )
        model.frames = min(max(int(state["frames"]), 2), MOST_FRAMES)
        model.frame = min(max(int(state["frame"]), 0), model.frames - 1)
        model.component, model.weights = component, path

    # -- making a path -----------------------------------------------------------------------------------------------

    def draw(self, trail: npt.NDArray[np.float64]) -> None:
        """Take a line (V, 2) drawn in the present projection as the path, or its ends as those of a dense path."""
        if (projection := self._scenes.projection) is None or self.model.saving:
            return
        line = trail.astype(np.float32)
        ends_only = self.model.kind == DENSE
        places = line[[0, -1]] if ends_only else path_through(line, min(len(line), MOST_VERTICES))
        weights = self._weights([projection.anchor((float(x), float(y))) for x, y in places])
        self._join_no_more()
        if ends_only:
            self._join(weights[[0]], weights[[1]], 0)
        else:
            self._begin(weights, 0)

    def extend(self, x: float, y: float) -> None:
        """Go on from the end of the path to a point of the present projection, or begin one there."""
        if (projection := self._scenes.projection) is None or self.model.saving:
            return
        end, before = self._weights([projection.anchor((x, y))]), self.model.weights
        if before is None:
            self._begin(end, 0)
        elif self.model.kind == DENSE:
            self._join(before, end, self.model.frames)
        else:
            self._begin(csr_array(vstack([before, end])), self.model.frames)

    def along_component(self, component: int) -> None:
        """Go along a principal component, from 0, of the selected particles; without a selection, of all."""
        if (scene := self._scenes.scene) is None or self.model.saving:
            return
        self._join_no_more()
        try:
            self._begin(along_component(scene.latents, self._scenes.chosen, component), 0, component)
        except InputError as error:
            self._scenes.complain(error)

    def clear(self) -> None:
        """Forget the path; what is being written ends."""
        self._join_no_more()
        self.model.component = None
        self.model.playing, self.model.saving, self.model.weights = False, "", None

    def _weights(self, anchors: list[Anchor]) -> csr_array:
        rows = np.repeat(np.arange(len(anchors)), [len(anchor.indices) for anchor in anchors])
        columns = np.concatenate([anchor.indices for anchor in anchors])
        values = np.concatenate([anchor.weights for anchor in anchors])
        return csr_array((values, (rows, columns)), shape=(len(anchors), len(self._latents)))

    def _join(self, before: csr_array, end: csr_array, frame: int) -> None:
        """Go on from a path to `end` (1, N) through dense regions."""
        self._scenes.busy = "Looking for a path through dense regions …"
        if not self._places:
            self._root = before
        self._places.append(end)  # one after the other, however fast they are clicked
        places = tuple(self._places)
        work = partial(self._dense, self._latents, self._root, places)
        self._worker.submit(work, partial(self._on_joined, frame, len(places)), self._on_error)

    def _join_no_more(self) -> None:
        self._worker.invalidate()
        self._places.clear()
        self._scenes.busy = ""

    def _dense(self, latents: Array, path: csr_array, places: tuple[csr_array, ...]) -> csr_array:
        if self._graph is None or self._graph.source is not latents:
            self._graph = NeighbourGraph.build(latents)
        for end in places:
            between = self._graph.path((path[[-1]] @ latents)[0], (end @ latents)[0])
            path = csr_array(vstack([path, between[1:-1], end]))  # not the particles nearest to its ends
        return path

    def _on_joined(self, frame: int, count: int, weights: csr_array) -> None:
        if count == len(self._places):
            self._places.clear()
            self._scenes.busy = ""
        self._begin(weights, frame)

    def _on_error(self, error: Exception) -> None:
        self._places.clear()
        self._scenes.busy = ""
        self._scenes.complain(error)

    def _begin(self, weights: csr_array, frame: int, component: int | None = None) -> None:
        """Have a path, and show one of its frames."""
        self.model.playing, self.model.component = False, component
        self.model.weights = weights
        self._onwards = 1
        if self.model.ready:
            self._scenes.say("Play the path, drag its slider, or save it.")
            self.show(frame)
        else:
            self._scenes.say("Click where the path goes on.")
            self._show_anchor(_anchor(weights), "Begin of the path", True)

    # -- moving along it ---------------------------------------------------------------------------------------------

    def show(self, frame: int, final: bool = True) -> None:
        """Show the map of a frame; with `final` false (dragging) a coarse one, sooner."""
        model = self.model
        if model.weights is None or not model.ready:
            return
        model.frame = min(max(frame, 0), model.frames - 1)
        position = equal_steps(self._vertices(), model.frames)[model.frame]
        before = min(int(position), model.weights.shape[0] - 2)
        share = position - before
        blended = (1 - share) * model.weights[[before]] + share * model.weights[[before + 1]]
        self._showing = True
        self._show_anchor(_anchor(blended), self.title(model.frame), final)
        self._showing = False

    def title(self, frame: int) -> str:
        """What the map of a frame is called."""
        return f"Frame {frame + 1} of {self.model.frames}"

    def set_frames(self, frames: int) -> None:
        """Have another number of maps along the path; the place on it stays."""
        if self.model.saving:
            return
        share = self.model.frame / max(self.model.frames - 1, 1)
        self.model.frames = frames
        self.show(round(share * (frames - 1)))

    def play(self, playing: bool) -> None:
        """Move along the path, or stop there."""
        self.model.playing = playing and self.model.ready and not self.model.saving

    def give_way(self) -> None:
        """Stop playing, unless it is the path that asks for a map."""
        if not self._showing:
            self.play(False)

    def step(self) -> None:
        """Show the next frame, coarsely."""
        model = self.model
        last = model.frames - 1
        if model.ending == LOOP:
            self.show((model.frame + 1) % model.frames, final=False)
            return
        if not 0 <= model.frame + self._onwards <= last:
            self._onwards = -self._onwards
        self.show(model.frame + self._onwards, final=False)

    # -- what it is --------------------------------------------------------------------------------------------------

    @property
    def _latents(self) -> Array:
        """Latents (N, Z) of the present epoch."""
        scene = self._scenes.scene
        return np.zeros((0, 0), np.float32) if scene is None else scene.latents

    def _vertices(self) -> Array:
        """Latents (V, Z) of the path in the present epoch."""
        return np.zeros((0, 0), np.float32) if (path := self.model.weights) is None else path @ self._latents

    def latents(self) -> Array:
        """Latents (F, Z) of the frames in the present epoch."""
        return path_through(self._vertices(), self.model.frames)

    def line(self) -> Array:
        """The path (V, 2) in the present projection; empty while there is none."""
        projection, weights = self._scenes.projection, self.model.weights
        if projection is None or weights is None:
            return np.zeros((0, 2), np.float32)
        return np.asarray(weights @ projection.coordinates)

    def close(self) -> None:
        """End the thread."""
        self.model.saving = ""
        self._worker.close()


def _anchor(row: csr_array) -> Anchor:
    return Anchor(row.indices.astype(np.int64), row.data)
