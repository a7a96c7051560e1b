"""The map on screen and what is beside it, as a part of a session."""

from typing import TYPE_CHECKING

import numpy as np

from napari_sbackprop.gui.session import State, numbers
from napari_sbackprop.gui.shown import COMPARISONS, stored_subject, subject_state
from napari_sbackprop.gui.subject import Place

if TYPE_CHECKING:
    from napari_sbackprop.gui.explorer import Explorer


class ShownMap:
    """What the map of an explorer shows, beside which other one, and in which plane its place is."""

    def __init__(self, explorer: "Explorer") -> None:
        self._explorer = explorer

    def state(self) -> State:
        """All of it."""
        explorer, model = self._explorer, self._explorer.model
        if (scene := model.scene) is None:
            return {}
        subject = explorer.subject
        if subject is None and model.anchor is not None:
            subject = Place(model.anchor, "")  # of a run without maps
        return {
            "subject": subject_state(subject, scene),
            "reference": subject_state(explorer.comparison.reference, scene),
            "comparison": model.comparison,
            "method": model.method,
            "point": None if model.point is None else [*map(float, model.point)],
            "epoch": scene.epoch,
        }

    def restore(self, state: State) -> None:
        """Show it."""
        explorer, model = self._explorer, self._explorer.model
        if (scene := model.scene) is None:
            return
        subject, reference = (stored_subject(state[name], scene) for name in ("subject", "reference"))
        if known := state["method"] in scene.projections:
            explorer.umaps.show(state["method"])
        if reference is not None:
            colouring = model.colouring  # a comparison that ends would take it back
            explorer.comparison.refer_to(reference, COMPARISONS[COMPARISONS.index(state["comparison"])])
            model.colouring = colouring
        if isinstance(subject, Place):
            place = subject.anchor.mean(scene.projections[model.method].coordinates)
            exact = known and state["epoch"] == scene.epoch and state["point"] is not None
            place = numbers(state["point"], np.float64) if exact else place
            explorer.show_place(subject, (float(place[0]), float(place[1])), final=True)
        elif subject is not None:
            explorer.show_all_of(subject)
