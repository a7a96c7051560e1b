"""Grey images side by side, each with a caption."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_sbackprop.gui.controls import ThemedLabel

COLUMNS = 6
SIDE = 76  # pixels
_OUTLIERS = (0.5, 99.5)  # per cent, black and white


class PictureGrid(QWidget):
    """Shows images in rows of six."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.pictures: list[QLabel] = []
        self._captions: list[QLabel] = []

    def show_images(
        self, images: Sequence[npt.NDArray[np.float32]], captions: Sequence[str], tips: Sequence[str]
    ) -> None:
        """Show images (S, S), row 0 at the top; a tip says what an image is."""
        self._make_room(len(images))
        for row, (picture, caption) in enumerate(zip(self.pictures, self._captions, strict=True)):
            present = row < len(images)
            picture.setVisible(present)
            caption.setVisible(present and bool(captions[row]))
            if present:
                picture.setPixmap(_pixmap(images[row]))
                picture.setToolTip(tips[row])
                picture.setAccessibleName(tips[row])
                caption.setText(captions[row])

    def _make_room(self, count: int) -> None:
        layout = self.layout()
        assert isinstance(layout, QGridLayout)
        for position in range(len(self.pictures), count):
            picture, caption = QLabel(), ThemedLabel()
            picture.setFixedSize(SIDE, SIDE)
            row, column = divmod(position, COLUMNS)
            layout.addWidget(picture, 2 * row, column)
            layout.addWidget(caption, 2 * row + 1, column, Qt.AlignmentFlag.AlignHCenter)
            self.pictures.append(picture)
            self._captions.append(caption)


def _pixmap(image: npt.NDArray[np.float32]) -> QPixmap:
    """The image in grey, at the size of the grid's pictures; what is masked, and so 0, is transparent."""
    inside = image != 0
    black, white = np.percentile(image[inside], _OUTLIERS) if inside.any() else (0.0, 1.0)
    grey = np.clip(255 * (image - black) / max(white - black, 1e-30), 0, 255).astype(np.uint8)
    height, width = grey.shape
    pixels = np.stack([grey, grey, grey, np.uint8(255) * inside], axis=-1)
    picture = QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888)
    return QPixmap.fromImage(picture).scaled(
        SIDE, SIDE, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    )
