"""The FSC of a selection's half maps."""

from qtpy.QtWidgets import QWidget

from napari_sbackprop.gui.explorer_model import HalfMapFsc
from napari_sbackprop.gui.line_plot import LinePlot, Lines

THRESHOLD = 0.143
HEIGHT = 170  # pixels


class HalfMapCurve(LinePlot):
    """Plots all curves of one back-projection by resolution, with the threshold."""

    nothing = "Reconstruct a selection for the FSC of its half maps"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("FSC of the selection's half maps")
        self.setMinimumHeight(HEIGHT)
        self._fsc: HalfMapFsc | None = None

    def show_fsc(self, fsc: HalfMapFsc | None) -> None:
        """Plot the curves of a back-projection; None for nothing."""
        self._fsc = fsc
        self.update()

    def lines(self) -> Lines | None:
        """The curves by name."""
        if self._fsc is None:
            return None
        named = {
            name: [(shell / (len(curve) - 1), float(value)) for shell, value in enumerate(curve)]
            for name, curve in self._fsc.curves.items()
        }
        low = min(0.0, *(value for series in named.values() for _, value in series))
        named[f"{THRESHOLD}"] = [(0.0, THRESHOLD), (1.0, THRESHOLD)]
        return Lines(named, low, 1.0, ("∞", f"{self._fsc.finest:.3g} Å"))
