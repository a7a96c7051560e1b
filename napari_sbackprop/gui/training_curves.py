"""Curves of a training: its figures against its progress, and how far half sets agree."""

from collections.abc import Sequence

from qtpy.QtWidgets import QWidget

from napari_sbackprop.gui.line_plot import COLOURS, LinePlot, Lines, Series

HELD_OUT = "held_out_"
PREFERENCE = ("likelihood", "evidence", "loss")
MOST_POINTS = 4000


class LossCurve(LinePlot):
    """Plots one figure, and its value on held-out particles where there is one."""

    nothing = "The curve of the training appears here"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._series: dict[str, Series] = {}
        self.figure = ""

    @property
    def figures(self) -> list[str]:
        """Names that can be shown, the most telling first."""
        names = [name for name in self._series if not name.startswith(HELD_OUT)]
        return sorted(
            names, key=lambda name: PREFERENCE.index(name) if name in PREFERENCE else len(PREFERENCE)
        )

    def points(self, figure: str) -> Series:
        """What was added for a figure: (fraction of the run, value)."""
        return list(self._series.get(figure, []))

    def clear(self) -> None:
        """Forget everything."""
        self._series.clear()
        self.figure = ""
        self.update()

    def add(self, fraction: float, metrics: dict[str, float]) -> None:
        """Add figures at a fraction of the run; they are drawn at the next update."""
        for name, value in metrics.items():
            series = self._series.setdefault(name, [])
            series.append((fraction, value))
            if len(series) > MOST_POINTS:
                del series[1:-1:2]

    def show_figure(self, figure: str) -> None:
        """Choose what is plotted."""
        self.figure = figure
        self.update()

    def lines(self) -> Lines | None:
        """The chosen figure, up to where the run is now: of a long one little would be seen for hours."""
        names = {self.figure: self.figure.replace("_", " "), HELD_OUT + self.figure: "on held-out particles"}
        named = {label: self._series[name] for name, label in names.items() if name in self._series}
        values = [value for series in named.values() for _, value in series if value == value]
        if not values:
            return None
        now = max(series[-1][0] for series in named.values()) or 1.0
        scaled = {label: [(x / now, value) for x, value in series] for label, series in named.items()}
        return Lines(scaled, min(values), max(values), ("start", "now"))


class FscCurve(LinePlot):
    """Plots the FSC between half sets of the consensus and of the first directions."""

    nothing = "The FSC of half sets appears here"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._fsc: Sequence[Sequence[float]] = ()
        self._finest = 0.0

    def show_fsc(self, fsc: Sequence[Sequence[float]], finest: float) -> None:
        """Plot the FSC of each volume, the consensus first, in shells 0 to that of `finest` angstrom."""
        self._fsc, self._finest = fsc, finest
        self.update()

    def lines(self) -> Lines | None:
        """The curves that the colours last for."""
        if not self._fsc:
            return None
        names = ["consensus", "direction 1", *map(str, range(2, len(COLOURS)))]
        last = len(self._fsc[0]) - 1
        named = {
            name: [(shell / last, value) for shell, value in enumerate(curve)]
            for name, curve in zip(names, self._fsc, strict=False)
        }
        return Lines(named, 0.0, 1.0, ("∞", f"{self._finest:.3g} Å"))
