"""What the images say of a selection: single particles, averages, views, and a column."""

from typing import Any

from psygnal import SignalInstance
from qtpy.QtCore import QSignalBlocker
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_sbackprop.gui.controls import StatusLine, tool_button
from napari_sbackprop.gui.distribution_plots import HistogramPlot, ViewPlot
from napari_sbackprop.gui.explorer import Explorer
from napari_sbackprop.gui.half_map_curve import HalfMapCurve
from napari_sbackprop.gui.picture_grid import PictureGrid


class ImagesPanel(QWidget):
    """Shows images and distributions of the model's selection; reads nothing while nobody looks."""

    def __init__(self, explorer: Explorer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._explorer = explorer
        self._shown: tuple[Any, Any] = (None, None)  # run and selection
        self._build()
        for signal, slot in self._slots():
            signal.connect(slot)
        self._on_reading_changed()
        self._on_fsc_changed()

    def _build(self) -> None:
        self.status = StatusLine()
        self.more = tool_button("More", "Show other particles of the selection.")
        self.stop = tool_button("Stop", "Read no more images; what is shown stays.")
        self.particles, self.averages = PictureGrid(), PictureGrid()
        self.particles.setAccessibleName("Particles of the selection")
        self.averages.setAccessibleName("Averages of the selection's views")
        self.average_title = QLabel("Averages of the most populated views")
        self.average_title.setToolTip(
            "Each from particles within about 10° of a view, corrected for their CTF; below, how many have that view."
        )
        self.views, self.histogram = ViewPlot(), HistogramPlot()
        self.column = QComboBox()
        self.column.setAccessibleName("Column of the histogram")
        self.column.setToolTip("Column whose values are counted.")
        self.fsc_title, self.fsc = QLabel(), HalfMapCurve()
        self.fsc_title.setToolTip("Back-projection of the selection that Reconstruct was last asked for.")
        self.fsc.setToolTip(
            "Fourier shell correlation of the half maps: less what the mask brings about, inside it, and as they are; and "
            "of their average with the decoded map and with the consensus, of which the first should be higher."
        )
        self.more.clicked.connect(lambda: self._explorer.images.more())
        self.stop.clicked.connect(lambda: self._explorer.images.stop())
        self.column.activated.connect(self._on_column_chosen)
        top, plots, inside = QHBoxLayout(), QGridLayout(), QWidget()
        top.addWidget(self.status, 1)
        top.addWidget(self.stop)
        top.addWidget(self.more)
        plots.addWidget(QLabel("Views"), 0, 0)
        plots.addWidget(self.views, 1, 0)
        plots.addWidget(self.column, 0, 1)
        plots.addWidget(self.histogram, 1, 1)
        content = QVBoxLayout(inside)
        content.setContentsMargins(0, 0, 0, 0)
        content.setSpacing(6)
        for widget in (self.particles, self.average_title, self.averages):
            content.addWidget(widget)
        content.addLayout(plots)
        content.addWidget(self.fsc_title)
        content.addWidget(self.fsc)
        content.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(inside)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(scroll, 1)

    def disconnect_model(self) -> None:
        """Follow the models no longer."""
        for signal, slot in self._slots():
            signal.disconnect(slot)

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with the selection."""
        super().showEvent(event)
        self._follow()

    def _slots(self) -> tuple[tuple[SignalInstance, Any], ...]:
        events, images = self._explorer.model.events, self._explorer.images.model.events
        return (
            (events.scene, self._follow),
            (events.selection, self._follow),
            (events.columns, self._on_columns_changed),
            (events.half_map_fsc, self._on_fsc_changed),
            (images.gallery, self._on_gallery_changed),
            (images.progress, self._on_reading_changed),
            (images.trouble, self._on_reading_changed),
            (self._explorer.distributions.model.events.distribution, self._on_distribution_changed),
        )

    # -- from the models ---------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Show the present selection, unless it is shown already or nobody looks."""
        model = self._explorer.model
        if model.scene is None or not self.isVisible():
            return
        wanted = (model.scene.run, model.selection)
        if wanted != self._shown:  # neither compares by content
            self._shown = wanted
            self._explorer.images.read(model.scene, model.chosen)
            self._explorer.distributions.count()

    def _on_columns_changed(self) -> None:
        distributions = self._explorer.distributions
        distributions.relist()
        with QSignalBlocker(self.column):
            self.column.clear()
            self.column.addItems(distributions.names)
            self.column.setCurrentText(distributions.model.column)

    def _on_gallery_changed(self) -> None:
        gallery = self._explorer.images.model.gallery
        tips = [f"Particle {row + 1:,}" for row in gallery.rows.tolist()]
        self.particles.show_images(list(gallery.images), [""] * len(tips), tips)
        averages = gallery.averages
        self.average_title.setVisible(bool(averages))
        self.averages.show_images(
            [average.image for average in averages],
            [f"{average.members:,}" for average in averages],
            [
                f"{average.members:,} particles seen from rot {average.angles[0]:.0f}°, tilt {average.angles[1]:.0f}°"
                for average in averages
            ],
        )
        self._on_reading_changed()

    def _on_reading_changed(self) -> None:
        images, model = self._explorer.images.model, self._explorer.model
        shown, count = len(images.gallery.rows), len(model.chosen)
        self.stop.setVisible(bool(images.progress))
        self.more.setEnabled(0 < shown < count and not images.progress)
        if images.trouble:
            self.status.complain(images.trouble)
        else:
            chosen = f"all {count:,}" if model.selection is None else f"{count:,} selected"
            title = f"{shown} of {chosen} particles, upright, without CTF" if shown else ""
            self.status.say(images.progress or title)

    def _on_fsc_changed(self) -> None:
        found = self._explorer.model.half_map_fsc
        self.fsc_title.setText("Half maps" if found is None else f"Half maps: {found.title}")
        self.fsc.show_fsc(found)

    def _on_distribution_changed(self) -> None:
        distribution = self._explorer.distributions.model.distribution
        self.views.show_density(distribution.views)
        self.histogram.show_histogram(distribution.column)

    # -- from the user -----------------------------------------------------------------------------------------------

    def _on_column_chosen(self) -> None:
        self._explorer.distributions.choose(self.column.currentText())
