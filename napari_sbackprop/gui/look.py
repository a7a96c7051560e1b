"""How maps are to look, and frames that look so; runs on a thread of its own."""

from dataclasses import dataclass

from napari_sbackprop.gui.explorer_model import (
    ALONE,
    CHANGE,
    DIFFERENCE,
    DIFFERENCE_LIMIT,
    VARIABILITY,
    ExplorerModel,
    Scene,
)
from napari_sbackprop.gui.subject import Subject, Volume
from napari_sbackprop.gui.surface import MapFrame, coloured, compared, make_frame


@dataclass(frozen=True, eq=False)
class Picture:
    """Frames that belong together: the map, and the pinned one at the same contour, None where nothing is compared."""

    frame: MapFrame
    pinned: MapFrame | None


@dataclass(frozen=True, eq=False)
class Look:
    """What the model asks of a map at one moment.

    Attributes
    ----------
    smoothing, contour, difference_contour, comparison, colouring, pinned : as in the model.
    reference : what to pin where a comparison is asked for and nothing is pinned.
    """

    smoothing: float
    contour: float
    difference_contour: float
    comparison: str
    colouring: str
    pinned: MapFrame | None
    reference: Subject

    @classmethod
    def of(cls, model: ExplorerModel, reference: Subject) -> "Look":
        return cls(
            model.smoothing,
            model.contour,
            model.difference_contour,
            model.comparison,
            model.colouring,
            model.pinned,
            reference,
        )

    def picture(
        self, scene: Scene, volume: Volume, title: str, *, coarse: bool, known: MapFrame | None
    ) -> Picture:
        """Make the frames of a map; `known` is one of maybe the same volume."""
        threshold = self.contour * scene.sigma
        frame = make_frame(
            volume, threshold, title=title, smoothing=self.smoothing, coarse=coarse, known=known
        )
        pinned = self._pinned(scene, threshold)
        if pinned is not None and self.comparison == DIFFERENCE:
            frame = compared(frame, pinned, self.difference_contour * scene.sigma)
        elif pinned is not None and self.colouring == CHANGE:
            frame = coloured(frame, (frame.smooth - pinned.smooth) / scene.sigma, CHANGE, DIFFERENCE_LIMIT)
        elif self.colouring == VARIABILITY:
            frame = coloured(frame, scene.variability, VARIABILITY, scene.variability_limit)
        return Picture(frame, pinned)

    def _pinned(self, scene: Scene, threshold: float) -> MapFrame | None:
        """The pinned map, contoured and low-passed as the others are."""
        pinned = self.pinned
        if pinned is None:
            if self.comparison == ALONE:
                return None
            volume, title = self.reference(scene)
        elif (pinned.threshold, pinned.smoothing) == (threshold, self.smoothing):
            return pinned
        else:
            volume, title = pinned.volume, pinned.title
        return make_frame(volume, threshold, title=title, smoothing=self.smoothing, known=pinned)
