"""A small line plot on a dark ground."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

BACKGROUND = QColor("#1c1f24")
FRAME = QColor("#3a404a")
TEXT = QColor("#9aa4b0")
COLOURS = tuple(map(QColor, ("#4e9ddd", "#f28e2b", "#59c99a", "#f0e442", "#d98cc0", "#e8e8e8")))
MARGINS = (54, 22, 10, 20)  # left, top, right, bottom, pixels
SPACING = 16  # between the names of lines

Series = list[tuple[float, float]]


class Lines(NamedTuple):
    """What is plotted.

    Attributes
    ----------
    named : points of each line by its name, x from 0 to 1.
    low, high : range of y.
    ends : words at the left and at the right end of x.
    dashed : points of a second line in the same colour, by the name of the first.
    """

    named: dict[str, Series]
    low: float
    high: float
    ends: tuple[str, str]
    dashed: Mapping[str, Series] = MappingProxyType({})


class LinePlot(QWidget):
    """Plots the `lines` of a subclass."""

    nothing = ""  # said where there are none

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setMinimumHeight(110)

    def lines(self) -> Lines | None:
        """What to plot; None for nothing."""
        raise NotImplementedError

    def sizeHint(self) -> QSize:
        return QSize(420, 150)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw frame, axis labels and lines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), BACKGROUND)
        left, top, right, bottom = MARGINS
        area = QRectF(self.rect()).adjusted(left, top, -right, -bottom)
        painter.setPen(QPen(FRAME, 1))
        painter.drawRect(area)
        painter.setPen(TEXT)
        lines = self.lines()
        if lines is None:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.nothing)
        else:
            _draw_labels(painter, area, lines)
            _draw_lines(painter, area, lines)
        painter.end()


def _draw_lines(painter: QPainter, area: QRectF, lines: Lines) -> None:
    def scaled(series: Sequence[tuple[float, float]]) -> list[QPointF]:
        inner, span = area.adjusted(4, 6, -4, -6), (lines.high - lines.low) or 1.0
        return [
            QPointF(
                inner.left() + x * inner.width(), inner.bottom() - (y - lines.low) / span * inner.height()
            )
            for x, y in series
            if y == y  # not NaN
        ] or [inner.center()]

    x, metrics = area.left(), painter.fontMetrics()
    room = int(area.width() / max(len(lines.named), 1)) - SPACING
    longest = max(room, area.width() - sum(map(metrics.horizontalAdvance, lines.named)))
    for (name, series), colour in zip(lines.named.items(), COLOURS, strict=False):
        text = metrics.elidedText(name, Qt.TextElideMode.ElideMiddle, int(longest))
        painter.setPen(QPen(colour, 2))
        painter.drawText(QPointF(x, area.top() - 7), text)
        x += metrics.horizontalAdvance(text) + SPACING
        if series:
            painter.drawPolyline(QPolygonF(scaled(series)))
            painter.drawEllipse(scaled(series[-1:])[0], 2.0, 2.0)
        if second := lines.dashed.get(name):
            painter.setPen(QPen(colour, 1.5, Qt.PenStyle.DashLine))
            painter.drawPolyline(QPolygonF(scaled(second)))


def _draw_labels(painter: QPainter, area: QRectF, lines: Lines) -> None:
    left, right = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight
    painter.drawText(QRectF(0, area.top(), area.left() - 6, 16), right, f"{lines.high:.4g}")
    painter.drawText(QRectF(0, area.bottom() - 16, area.left() - 6, 16), right, f"{lines.low:.4g}")
    painter.drawText(QRectF(area.left(), area.bottom() + 2, 120, 16), left, lines.ends[0])
    painter.drawText(QRectF(area.right() - 120, area.bottom() + 2, 120, 16), right, lines.ends[1])
