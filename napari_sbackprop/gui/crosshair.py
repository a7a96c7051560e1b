"""The mark of a place on a canvas."""

from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

SIZE = 27  # pixels
INSIDE, OUTSIDE = QColor(255, 255, 255), QColor(240, 150, 60)


class Crosshair(QWidget):
    """A ring with a dot, above a canvas: it moves without drawing the canvas anew. The mouse goes through it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.resize(SIZE, SIZE)
        self._colour = INSIDE
        self.hide()

    def show_at(self, x: float, y: float, outside: bool = False) -> None:
        """Mark a pixel of the canvas, in orange where it lies outside what is drawn there."""
        colour = OUTSIDE if outside else INSIDE
        if colour != self._colour:
            self._colour = colour
            self.update()
        self.move(round(x - SIZE / 2), round(y - SIZE / 2))
        self.show()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw light on a dark rim, to be seen on any colour."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        centre = QPointF(SIZE / 2, SIZE / 2)
        for colour, width in ((QColor(0, 0, 0, 200), 4.5), (self._colour, 2.0)):
            painter.setPen(QPen(colour, width))
            painter.drawEllipse(centre, 9.5, 9.5)
        painter.setPen(QPen(QColor(0, 0, 0), 1.0))
        painter.setBrush(self._colour)
        painter.drawEllipse(centre, 3.5, 3.5)
        painter.end()
