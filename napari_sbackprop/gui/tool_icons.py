"""Icons and cursors of the scatter's tools, drawn so that no file has to be found."""

from collections.abc import Callable

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QCursor, QIcon, QPainter, QPainterPath, QPen, QPixmap

from napari_sbackprop.analysis.selection import ADD, INTERSECT, REPLACE, SUBTRACT
from napari_sbackprop.gui.scatter import BRUSH, CLUSTERS, EXPLORE, LASSO, PAN, PATH, RECTANGLE, REGION

PLAY, PAUSE, TO_AND_FRO = "play", "pause", "to and fro"
SIZE = 20  # pixels
SCALE = 2  # for screens with small pixels
INK = QColor("#f0f1f2")
FILL = QColor(240, 241, 242, 190)


def tool_icon(name: str) -> QIcon:
    """The icon of a tool, or of a way to combine selections."""
    pixmap = QPixmap(SIZE * SCALE, SIZE * SCALE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(SCALE, SCALE)
    painter.setPen(QPen(INK, 1.5, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
    _DRAWINGS[name](painter)
    painter.end()
    pixmap.setDevicePixelRatio(SCALE)
    return QIcon(pixmap)


def brush_cursor(radius: int) -> QCursor:
    """A ring as large as the brush, `radius` in pixels."""
    side = 2 * radius + 4
    pixmap = QPixmap(side, side)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    for colour, width in ((QColor(0, 0, 0, 160), 3.0), (INK, 1.2)):  # to be seen on any colour
        painter.setPen(QPen(colour, width))
        painter.drawEllipse(QPointF(side / 2, side / 2), radius, radius)
    painter.end()
    return QCursor(pixmap)


def _explore(painter: QPainter) -> None:
    centre = QPointF(10, 10)
    painter.drawEllipse(centre, 5.5, 5.5)
    for x, y in ((0, -1), (0, 1), (-1, 0), (1, 0)):
        painter.drawLine(QPointF(10 + 3.5 * x, 10 + 3.5 * y), QPointF(10 + 8.5 * x, 10 + 8.5 * y))


def _lasso(painter: QPainter) -> None:
    path = QPainterPath(QPointF(5, 12.5))
    path.cubicTo(QPointF(-1, 8), QPointF(5, 2.5), QPointF(11, 3))
    path.cubicTo(QPointF(20, 3.5), QPointF(19.5, 12), QPointF(12, 12.5))
    path.cubicTo(QPointF(8, 12.8), QPointF(4, 13), QPointF(4.5, 15))
    path.cubicTo(QPointF(5, 17), QPointF(8, 16), QPointF(7.5, 18.5))
    painter.drawPath(path)


def _rectangle(painter: QPainter) -> None:
    painter.setPen(QPen(INK, 1.5, Qt.PenStyle.DashLine))
    painter.drawRect(QRectF(3, 4, 14, 12))


def _brush(painter: QPainter) -> None:
    painter.setPen(QPen(INK, 2.5, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
    painter.drawLine(QPointF(17, 3), QPointF(10.5, 9.5))
    path = QPainterPath(QPointF(9, 10.5))
    path.cubicTo(QPointF(5, 9.5), QPointF(6, 15), QPointF(2.5, 16.5))
    path.cubicTo(QPointF(8, 18.5), QPointF(12, 15.5), QPointF(9, 10.5))
    painter.setPen(QPen(INK, 1.0))
    painter.fillPath(path, INK)
    painter.drawPath(path)


def _clusters(painter: QPainter) -> None:
    painter.setBrush(INK)
    painter.setPen(Qt.PenStyle.NoPen)
    for x, y in (
        (4, 5),
        (7.5, 3.5),
        (6.5, 7.5),
        (14, 8),
        (17, 10.5),
        (13.5, 12),
        (5, 14),
        (8, 16.5),
        (4, 17.5),
    ):
        painter.drawEllipse(QPointF(x, y), 1.5, 1.5)


def _path(painter: QPainter) -> None:
    path = QPainterPath(QPointF(4, 15.5))
    path.cubicTo(QPointF(6, 3), QPointF(12, 18), QPointF(16, 5))
    painter.drawPath(path)
    painter.setBrush(INK)
    for end in (QPointF(4, 15.5), QPointF(16, 5)):
        painter.drawEllipse(end, 2, 2)


def _region(painter: QPainter) -> None:
    painter.drawEllipse(QPointF(10, 10), 7.5, 7.5)
    painter.setPen(QPen(INK, 1.0))
    painter.drawArc(QRectF(2.5, 7, 15, 6), 180 * 16, 180 * 16)
    painter.setPen(QPen(INK, 1.0, Qt.PenStyle.DotLine))
    painter.drawArc(QRectF(2.5, 7, 15, 6), 0, 180 * 16)


def _play(painter: QPainter) -> None:
    painter.setBrush(INK)
    painter.drawPolygon([QPointF(6, 4), QPointF(16, 10), QPointF(6, 16)])


def _pause(painter: QPainter) -> None:
    for left in (5, 12):
        painter.fillRect(QRectF(left, 4, 3.5, 12), INK)


def _to_and_fro(painter: QPainter) -> None:
    for y, tip, end in ((7, 17, 3), (13, 3, 17)):
        side = 3 if tip < end else -3
        painter.drawLine(QPointF(tip, y), QPointF(end, y))
        painter.drawPolyline([QPointF(tip + side, y - 3), QPointF(tip, y), QPointF(tip + side, y + 3)])


def _pan(painter: QPainter) -> None:
    for angle in range(0, 360, 90):
        painter.save()
        painter.translate(10, 10)
        painter.rotate(angle)
        painter.drawLine(QPointF(0, 0), QPointF(8, 0))
        painter.drawPolyline([QPointF(5.5, -2.5), QPointF(8, 0), QPointF(5.5, 2.5)])
        painter.restore()


def _combining(fill: Callable[[QPainterPath, QPainterPath], QPainterPath]) -> Callable[[QPainter], None]:
    """Two overlapping squares, the old selection at the top left, with what becomes the selection filled."""

    def draw(painter: QPainter) -> None:
        old, new = QPainterPath(), QPainterPath()
        old.addRect(QRectF(3, 3, 9.5, 9.5))
        new.addRect(QRectF(7.5, 7.5, 9.5, 9.5))
        painter.fillPath(fill(old, new), FILL)
        painter.setPen(QPen(INK, 1.0))
        painter.drawPath(old)
        painter.drawPath(new)

    return draw


_DRAWINGS: dict[str, Callable[[QPainter], None]] = {
    EXPLORE: _explore,
    LASSO: _lasso,
    RECTANGLE: _rectangle,
    BRUSH: _brush,
    CLUSTERS: _clusters,
    PAN: _pan,
    PATH: _path,
    REGION: _region,
    PLAY: _play,
    PAUSE: _pause,
    TO_AND_FRO: _to_and_fro,
    REPLACE: _combining(lambda _, new: new),
    ADD: _combining(lambda old, new: old.united(new)),
    SUBTRACT: _combining(lambda old, new: old.subtracted(new)),
    INTERSECT: _combining(lambda old, new: old.intersected(new)),
}
