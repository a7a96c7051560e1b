"""The controller that moves the map along directions. Knows no Qt."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from psygnal import SignalGroupDescriptor

from napari_sbackprop.gui.comparison import Comparison
from napari_sbackprop.gui.directions import PRINCIPAL, Array, Change, Directions
from napari_sbackprop.gui.explorer_model import DIFFERENCE, ExplorerModel, in_words
from napari_sbackprop.gui.latest import Deliver, LatestWorker
from napari_sbackprop.gui.subject import Place

ShowPlace = Callable[[Place, tuple[float, float], bool], None]
CONTOUR_OF_STRONGEST = 0.25
"""First contour of a direction's map, as a part of its largest change."""
LEAST_CONTOUR = 0.1  # sigma


@dataclass
class DirectionModel:
    """Directions on screen.

    Attributes
    ----------
    kind : PRINCIPAL or BASIS.
    directions : None until they are found.
    position : (D,) place of the map along them, in standard deviations from the mean.
    change : what the direction does that was moved along or shown last.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        equality_operators={"position": lambda new, old: new is old}
    )

    kind: str = PRINCIPAL
    directions: Directions | None = None
    position: Array | None = None
    change: Change | None = None


@dataclass(frozen=True, eq=False)
class _Answer:
    directions: Directions
    position: Array
    change: Change | None


class DirectionWalk:
    """Finds directions, follows the crosshair along them, and moves it.

    Parameters
    ----------
    explored : model whose scene and crosshair count.
    comparison : shows directions as differences.
    show_place : shows a map, with the crosshair at a place of the projection.
    deliver : runs a function on the thread that owns the models.
    """

    def __init__(
        self, explored: ExplorerModel, comparison: Comparison, show_place: ShowPlace, deliver: Deliver
    ) -> None:
        self.model = DirectionModel()
        self._explored = explored
        self._comparison = comparison
        self._show_place = show_place
        self._worker = LatestWorker(deliver, "sbackprop-directions")
        self._moving = False

    @property
    def busy(self) -> bool:
        """Whether directions, or what they do, are being found."""
        return self._worker.busy

    def choose(self, kind: str) -> None:
        """Move along PRINCIPAL components or BASIS volumes."""
        self.model.kind, self.model.directions, self.model.change = kind, None, None
        self.follow()

    def follow(self) -> None:
        """Find the directions of the present epoch, and where the crosshair lies along them."""
        if not self._moving:
            self._ask(None, self._on_followed)

    def move(self, index: int, position: float, final: bool = True) -> None:
        """Move to a position along one direction; with `final` false (dragging) a coarse map will do."""
        model = self.model
        if model.position is None:
            return
        target = model.position.copy()
        target[index] = position
        self._go(target, index, final)
        if model.change is None or model.change.index != index:
            self._ask(index, self._on_changed)

    def reset(self) -> None:
        """Move to the mean of all particles."""
        if (directions := self._present()) is not None:
            self._go(np.zeros(len(directions), np.float32), None, True)

    def show(self, index: int) -> None:
        """Show what one standard deviation along a direction changes, as a difference from the mean."""
        self._ask(index, self._on_change_asked_for)

    def forget(self) -> None:
        """Have no directions until they are found anew."""
        self._worker.invalidate()
        self.model.directions = self.model.position = self.model.change = None

    def close(self) -> None:
        """End the thread."""
        self._worker.close()

    def _present(self) -> Directions | None:
        """The directions, if they are those of the scene on screen."""
        directions, scene = self.model.directions, self._explored.scene
        if directions is None or scene is None or directions.scene.decoder is not scene.decoder:
            return None
        return directions

    def _go(self, position: Array, index: int | None, final: bool) -> None:
        directions, projection = self._present(), self._explored.projection
        if directions is None or projection is None:
            return
        self.model.position = position
        title = "Mean of the particles"
        if index is not None:
            title = f"{directions.name(index)} at {position[index]:+.1f} standard deviations"
        place = directions.place(position, title)
        self._moving = True
        self._show_place(place, directions.point(position, place.anchor, projection), final)
        self._moving = False

    def _ask(self, index: int | None, on_done: Callable[[_Answer], None]) -> None:
        scene, anchor, kind = self._explored.scene, self._explored.anchor, self.model.kind
        if scene is None or not scene.has_decoder:
            return
        known = self._present()

        def work() -> _Answer:
            directions = Directions.find(scene, kind) if known is None else known
            change = None if index is None else directions.change(index)
            return _Answer(directions, directions.position_of(anchor), change)

        self._worker.submit(work, on_done, lambda error: setattr(self._explored, "error", in_words(error)))

    def _on_followed(self, answer: _Answer) -> None:
        if answer.directions.kind != self.model.kind:
            return
        if answer.directions is not self.model.directions:
            self.model.change = None
        self.model.directions, self.model.position = answer.directions, answer.position

    def _on_changed(self, answer: _Answer) -> None:
        if answer.directions is self.model.directions:
            self.model.change = answer.change

    def _on_change_asked_for(self, answer: _Answer) -> None:
        self._on_changed(answer)
        directions, change = self._present(), answer.change
        if directions is not answer.directions or directions is None or change is None:
            return
        mean = np.zeros(len(directions), np.float32)
        self._explored.difference_contour = max(LEAST_CONTOUR, CONTOUR_OF_STRONGEST * change.strength)
        self._comparison.refer_to(directions.place(mean, "Mean of the particles"), DIFFERENCE)
        self._go(directions.unit(change.index), change.index, True)
