"""Small plots of a selection's distributions: over views, and over a column."""

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget
from vispy.color import get_colormap

from napari_sbackprop.analysis.distribution import Histogram
from napari_sbackprop.gui.line_plot import BACKGROUND, COLOURS, FRAME, TEXT
from napari_sbackprop.gui.point_colours import NUMBER_MAP

HEIGHT = 128  # pixels
SELECTED, EVERYTHING = COLOURS[1], QColor("#59626e")
_MARGINS = (48, 18, 8, 18)  # left, top, right, bottom, pixels


class _Plot(QWidget):
    """A frame with a title and labels at its ends."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setMinimumSize(200, HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def _area(self) -> QRectF:
        left, top, right, bottom = _MARGINS
        return QRectF(self.rect()).adjusted(left, top, -right, -bottom)

    def _draw_frame(self, painter: QPainter, title: str, x: tuple[str, str], y: tuple[str, str]) -> None:
        """Draw the frame with the labels of the low and the high end of either axis."""
        area = self._area()
        painter.setPen(QPen(FRAME, 1))
        painter.drawRect(area)
        painter.setPen(TEXT)
        left, right = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight
        painter.drawText(QRectF(area.left(), 1, area.width(), 16), left, title)
        below = QRectF(area.left(), area.bottom() + 2, area.width(), 16)
        painter.drawText(below, left, x[0])
        painter.drawText(below, right, x[1])
        painter.drawText(QRectF(0, area.bottom() - 15, area.left() - 4, 16), right, y[0])
        painter.drawText(QRectF(0, area.top() - 1, area.left() - 4, 16), right, y[1])


class ViewPlot(_Plot):
    """Density of views over rot and tilt; bright where there are many."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Views of the selected particles", parent)
        self.density: npt.NDArray[np.float64] | None = None
        self.setToolTip(
            "From where the selected particles are seen: rot against cos tilt. One colour everywhere: no view is preferred."
        )

    def show_density(self, density: npt.NDArray[np.float64] | None) -> None:
        """Show a density (rows of tilt, columns of rot)."""
        self.density = density
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the density with its axes."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), BACKGROUND)
        if self.density is not None:
            level = self.density / max(self.density.max(), 1e-30)
            colours = np.asarray(get_colormap(NUMBER_MAP).map(level.ravel())[:, :3])
            pixels = np.round(255 * colours).astype(np.uint8)
            height, width = self.density.shape
            image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
            painter.drawImage(self._area(), image)
            title = f"up to {self.density.max():.1f} times the mean"
        else:
            title = "the file has no angles"
        self._draw_frame(painter, title, ("rot −180°", "180°"), ("180°", "tilt 0°"))
        painter.end()


class HistogramPlot(_Plot):
    """Histogram of a column: all particles filled, the selected ones as a line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Histogram of the selected particles", parent)
        self.histogram: Histogram | None = None
        self.setToolTip("Share of the selected particles (orange) and of all particles (grey) by value.")

    def show_histogram(self, histogram: Histogram | None) -> None:
        """Show a histogram; None where there is none."""
        self.histogram = histogram
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw both distributions with their axes."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), BACKGROUND)
        if (shown := self.histogram) is None:
            self._draw_frame(painter, "one value only", ("", ""), ("", ""))
        else:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            top = max(shown.selected.max(), shown.everything.max())
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(EVERYTHING)
            painter.drawPolygon(self._steps(shown.everything / top))
            painter.setPen(QPen(SELECTED, 2))
            painter.drawPolyline(self._steps(shown.selected / top))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            ends = f"{shown.edges[0]:.5g}", f"{shown.edges[-1]:.5g}"
            self._draw_frame(painter, "selected against all", ends, ("0", f"{100 * top:.0f} %"))
        painter.end()

    def _steps(self, heights: npt.NDArray[np.float64]) -> QPolygonF:
        """Outline of bars with heights (B,) between 0 and 1."""
        area = self._area()
        x = area.left() + np.linspace(0, area.width(), len(heights) + 1).repeat(2)
        y = area.bottom() - area.height() * np.concatenate([[0], heights.repeat(2), [0]])
        return QPolygonF([QPointF(float(a), float(b)) for a, b in zip(x, y, strict=True)])
