"""The mark of a place on a canvas."""

from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

SIZE = 27  # pixels


class Crosshair(QWidget):
    """A ring with a dot, above a canvas: it moves without drawing the canvas anew. The mouse goes through it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.resize(SIZE, SIZE)
        self.hide()

    def show_at(self, x: float, y: float) -> None:
        """Mark a pixel of the canvas."""
        self.move(round(x - SIZE / 2), round(y - SIZE / 2))
        self.show()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw white on a dark rim, to be seen on any colour."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        centre = QPointF(SIZE / 2, SIZE / 2)
        for colour, width in ((QColor(0, 0, 0, 200), 4.5), (QColor(255, 255, 255), 2.0)):
            painter.setPen(QPen(colour, width))
            painter.drawEllipse(centre, 9.5, 9.5)
        painter.setPen(QPen(QColor(0, 0, 0), 1.0))
        painter.setBrush(QColor(255, 255, 255))
        painter.drawEllipse(centre, 3.5, 3.5)
        painter.end()
