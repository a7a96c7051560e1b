"""One figure of several runs."""

from collections.abc import Sequence

from qtpy.QtCore import QSize
from qtpy.QtWidgets import QWidget

from napari_sbackprop.gui.line_plot import COLOURS, LinePlot, Lines, Series
from napari_sbackprop.gui.recent_runs import unique_names
from napari_sbackprop.gui.run_figures import RunFigures
from napari_sbackprop.gui.training_curves import HELD_OUT, PREFERENCE

MOST_RUNS = len(COLOURS)
FSC = "FSC of half sets"
_NO_FIGURE = ("seconds", "information_", HELD_OUT)  # beginnings of what is no figure of its own


class RunCurves(LinePlot):
    """Plots a figure by epoch, dashed on held-out particles, or the FSC of the consensus, dashed of the first direction."""

    nothing = "Choose runs to draw beside each other"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._runs: Sequence[RunFigures] = ()
        self._figure = PREFERENCE[0]

    @property
    def figures(self) -> list[str]:
        """Names of what at least one run has, the most telling first."""
        known = {name for run in self._runs for name in run.metrics if not name.startswith(_NO_FIGURE)}
        first = [name for name in PREFERENCE if name in known]
        fsc = [FSC] if any(run.fsc for run in self._runs) else []
        return [*first, *sorted(known - {*first}), *fsc]

    def show_runs(self, runs: Sequence[RunFigures]) -> None:
        """Plot these runs, as many as there are colours."""
        self._runs = runs[:MOST_RUNS]
        self.update()

    def show_figure(self, figure: str) -> None:
        """Choose what is plotted."""
        self._figure = figure
        self.update()

    def sizeHint(self) -> QSize:
        """Higher than the curve of one run."""
        return QSize(420, 260)

    def lines(self) -> Lines | None:
        """The chosen figure of each run."""
        names = unique_names([run.path for run in self._runs])
        return self._fsc(names) if self._figure == FSC else self._epochs(names)

    def _epochs(self, names: Sequence[str]) -> Lines | None:
        pairs = list(zip(names, self._runs, strict=True))
        shown = {name: run.metrics.get(self._figure, []) for name, run in pairs}
        held_out = {name: run.metrics.get(HELD_OUT + self._figure, []) for name, run in pairs}
        points = [point for series in (*shown.values(), *held_out.values()) for point in series]
        values = [value for _, value in points if value == value]
        if not values:
            return None
        first, last = (function(epoch for epoch, _ in points) for function in (min, max))

        def scaled(series: Series) -> Series:
            return [((epoch - first) / max(last - first, 1), value) for epoch, value in series]

        return Lines(
            {name: scaled(series) for name, series in shown.items()},
            min(values),
            max(values),
            (f"epoch {first:g}", f"epoch {last:g}"),
            {name: scaled(series) for name, series in held_out.items() if series},
        )

    def _fsc(self, names: Sequence[str]) -> Lines | None:
        measured = [run.finest for run in self._runs if run.fsc]
        if not measured:
            return None
        finest = min(measured)

        def curve(run: RunFigures, index: int) -> Series:
            if index >= len(run.fsc):
                return []
            last = len(run.fsc[index]) - 1
            return [(shell / last * finest / run.finest, value) for shell, value in enumerate(run.fsc[index])]

        pairs = list(zip(names, self._runs, strict=True))
        return Lines(
            {name: curve(run, 0) for name, run in pairs},
            0.0,
            1.0,
            ("∞", f"{finest:.3g} Å"),
            {name: curve(run, 1) for name, run in pairs},
        )
