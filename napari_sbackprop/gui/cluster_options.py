"""How clusters are made, and how many there are."""

from typing import Any

from psygnal import SignalInstance
from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QSpinBox, QWidget

from napari_sbackprop.analysis.clustering import GMM, HDBSCAN, KMEANS, NO_CLUSTER, Clustering
from napari_sbackprop.gui.explorer import Explorer

METHOD_NAMES = {KMEANS: "k-means", GMM: "Gaussian mixture", HDBSCAN: "HDBSCAN"}
MOST_CLUSTERS = 50
FIRST_NUMBER = 6
FIRST_SHARE = 50  # of the particles make HDBSCAN's least cluster, at first
TYPING_MILLISECONDS = 300


class ClusterOptions(QWidget):
    """Asks for clusters when shown and when an option changes, and counts what was found."""

    def __init__(self, explorer: Explorer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = explorer.model
        self._clusterer = explorer.clusterer
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING_MILLISECONDS)
        self.method = QComboBox()
        for method, name in METHOD_NAMES.items():
            self.method.addItem(name, method)
        self.method.setAccessibleName("Method of clustering")
        self.method.setToolTip(
            "k-means: round clusters of like size; Gaussian mixture: they may differ in size and shape;\n"
            "HDBSCAN: as many as there are dense regions, and what lies between them in none."
        )
        self.number = QSpinBox()
        self.number.setAccessibleName("Number or least size of clusters")
        self.number.setToolTip("Clusters to make; with HDBSCAN the particles that make a cluster.")
        self.found = QLabel()
        self.found.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.method)
        layout.addWidget(self.number)
        layout.addWidget(self.found, 1)
        self._on_method_chosen()
        self.method.currentIndexChanged.connect(self._on_method_chosen)
        self.number.valueChanged.connect(lambda _: self._typing.start())
        self._typing.timeout.connect(self.ask)
        for signal, slot in self._slots():
            signal.connect(slot)

    def disconnect_model(self) -> None:
        """Follow the model no longer."""
        self._typing.stop()
        for signal, slot in self._slots():
            signal.disconnect(slot)

    def _slots(self) -> tuple[tuple[SignalInstance, Any], ...]:
        events = self._model.events
        return ((events.clustering, self._count), (events.clustering_running, self._count))

    def ask(self) -> None:
        """Make clusters by the options on screen."""
        self._clusterer.start(self.method.currentData(), self.number.value())

    def ask_once(self) -> None:
        """Make clusters, unless there are some."""
        if self._model.clustering is None and not self._model.clustering_running:
            self._on_method_chosen()

    def _on_method_chosen(self) -> None:
        count = 0 if self._model.scene is None else self._model.scene.count
        with QSignalBlocker(self.number):
            if self.method.currentData() == HDBSCAN:
                self.number.setPrefix("≥ ")
                self.number.setRange(2, max(count, 2))
                self.number.setValue(max(count // FIRST_SHARE, 5))
            else:
                self.number.setPrefix("")
                self.number.setRange(2, MOST_CLUSTERS)
                self.number.setValue(FIRST_NUMBER)
        if count:
            self.ask()

    def _count(self) -> None:
        clustering = self._model.clustering
        if self._model.clustering_running:
            self.found.setText("Clustering …")
        elif clustering is None:
            self.found.clear()
        else:
            self.found.setText(summary(clustering))
            sizes = [f"{number}: {size:,} particles" for number, size in enumerate(clustering.sizes)]
            outside = int((clustering.labels == NO_CLUSTER).sum())
            self.found.setToolTip(
                "\n".join([f"Clusters of epoch {clustering.epoch}; click one.", *sizes, f"none: {outside:,}"])
            )


def summary(clustering: Clustering) -> str:
    """How many clusters there are, and how large."""
    sizes = clustering.sizes
    if not len(sizes):
        return "No cluster is that large."
    return f"<b>{len(sizes)}</b> clusters of {sizes.min():,} to {sizes.max():,}"
