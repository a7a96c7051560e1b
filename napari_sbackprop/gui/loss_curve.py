"""Figures of a training against its progress, as a small line plot."""

from collections.abc import Sequence

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

BACKGROUND = QColor("#1c1f24")
FRAME = QColor("#3a404a")
TEXT = QColor("#9aa4b0")
COLOURS = (QColor("#4e9ddd"), QColor("#f28e2b"))
HELD_OUT = "held_out_"
PREFERENCE = ("loss", "evidence")
MARGINS = (54, 22, 10, 20)  # left, top, right, bottom, pixels
MOST_POINTS = 4000

Series = list[tuple[float, float]]


class LossCurve(QWidget):
    """Plots one figure, and its value on held-out particles where there is one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._series: dict[str, Series] = {}
        self.figure = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setMinimumHeight(110)

    def sizeHint(self) -> QSize:
        return QSize(420, 150)

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
        """Add figures at a fraction of the run."""
        for name, value in metrics.items():
            series = self._series.setdefault(name, [])
            series.append((fraction, value))
            if len(series) > MOST_POINTS:
                del series[1:-1:2]
        self.update()

    def show_figure(self, figure: str) -> None:
        """Choose what is plotted."""
        self.figure = figure
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw frame, axis labels and lines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), BACKGROUND)
        left, top, right, bottom = MARGINS
        area = QRectF(self.rect()).adjusted(left, top, -right, -bottom)
        painter.setPen(QPen(FRAME, 1))
        painter.drawRect(area)
        lines = [
            (name, self._series[name])
            for name in (self.figure, HELD_OUT + self.figure)
            if name in self._series
        ]
        values = [value for _, series in lines for _, value in series if value == value]
        painter.setPen(TEXT)
        if not values:
            painter.drawText(
                self.rect(), Qt.AlignmentFlag.AlignCenter, "The curve of the training appears here"
            )
            painter.end()
            return
        low, high = min(values), max(values)
        _draw_labels(painter, area, low, high)
        for (name, series), colour, x in zip(lines, COLOURS, (0, 130), strict=False):
            label = name.replace("_", " ") if not name.startswith(HELD_OUT) else "on held-out particles"
            painter.setPen(QPen(colour, 2))
            painter.drawText(QPointF(area.left() + x, area.top() - 7), label)
            painter.drawPolyline(QPolygonF(_scaled(series, area, low, high)))
            painter.drawEllipse(_scaled(series[-1:], area, low, high)[0], 2.0, 2.0)
        painter.end()


def _scaled(series: Sequence[tuple[float, float]], area: QRectF, low: float, high: float) -> list[QPointF]:
    span = (high - low) or 1.0
    inner = area.adjusted(4, 6, -4, -6)
    return [
        QPointF(
            inner.left() + fraction * inner.width(), inner.bottom() - (value - low) / span * inner.height()
        )
        for fraction, value in series
        if value == value  # not NaN
    ] or [inner.center()]


def _draw_labels(painter: QPainter, area: QRectF, low: float, high: float) -> None:
    side = Qt.AlignmentFlag.AlignRight
    painter.drawText(QRectF(0, area.top(), area.left() - 6, 16), side, f"{high:.4g}")
    painter.drawText(QRectF(0, area.bottom() - 16, area.left() - 6, 16), side, f"{low:.4g}")
    painter.drawText(QRectF(area.left(), area.bottom() + 2, 60, 16), Qt.AlignmentFlag.AlignLeft, "start")
    painter.drawText(QRectF(area.right() - 120, area.bottom() + 2, 120, 16), side, "end of run")
