"""The controller of comparisons: the map on screen beside one that is pinned. Knows no Qt."""

from collections.abc import Callable

from napari_sbackprop.gui.explorer_model import ALONE, CHANGE, OVERLAY, PLAIN, ExplorerModel
from napari_sbackprop.gui.subject import Subject, consensus
from napari_sbackprop.gui.surface import plain


class Comparison:
    """Pins maps, and chooses how the present one is shown beside them.

    Parameters
    ----------
    model : to write.
    make_anew : forgets the map that is being made, which was asked for beside another one, and asks for it again.
    present : what the map on screen shows.
    """

    def __init__(
        self, model: ExplorerModel, make_anew: Callable[[], None], present: Callable[[], Subject]
    ) -> None:
        self._model = model
        self._present = present
        self._make_anew = make_anew
        self.reference: Subject = consensus
        """What the pinned map shows; where nothing is pinned, what a comparison pins."""

    def pin(self) -> None:
        """Keep the present map on screen beside those to come; without a map, nothing happens."""
        model = self._model
        if (frame := model.frame) is None or model.scene is None:
            return
        if model.comparison == ALONE:
            model.comparison = OVERLAY
        if model.colouring == PLAIN and model.colourable:
            model.colouring = CHANGE
        self.reference = self._present()
        model.pinned = plain(frame)  # contoured anew with the next map, where its contour is another one
        self._make_anew()

    def unpin(self) -> None:
        """Show the present map alone."""
        self.forget()
        self._make_anew()

    def choose(self, comparison: str) -> None:
        """Show the map beside the pinned one in one of the ways; where nothing is pinned, the consensus gets it."""
        self._model.comparison = comparison
        self._make_anew()

    def refer_to(self, reference: Subject, comparison: str) -> None:
        """Have a map pinned that is not on screen, with the next one that is asked for."""
        self.forget()
        self.reference, self._model.comparison = reference, comparison

    def forget(self) -> None:
        """Pin nothing, and compare nothing."""
        model = self._model
        model.pinned, model.comparison, self.reference = None, ALONE, consensus
        if model.colouring == CHANGE:
            model.colouring = PLAIN
