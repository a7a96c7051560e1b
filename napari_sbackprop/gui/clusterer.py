"""Clusters of the scene on screen, of which the last asked for count."""

import threading
from functools import partial

from napari_sbackprop.analysis.clustering import Clustering, Labels
from napari_sbackprop.analysis.query import CLUSTER
from napari_sbackprop.gui.cluster_process import ClusterProcess
from napari_sbackprop.gui.explorer_model import ExplorerModel, Scene
from napari_sbackprop.gui.latest import Deliver

SECONDS_BETWEEN_LOOKS = 0.05


class Clusterer:
    """Clusters the latents of the scene on screen; asked again, it gives up what it was at.

    Parameters
    ----------
    model : to write.
    deliver : runs a function on the thread that owns the model.
    """

    def __init__(self, model: ExplorerModel, deliver: Deliver) -> None:
        self.model = model
        self._deliver = deliver
        self._stop = threading.Event()

    def start(self, method: str, number: int) -> None:
        """Cluster by one of `clustering.METHODS`; then the particles are coloured by their clusters."""
        if (scene := self.model.scene) is None:
            return
        self.stop()
        self._stop = threading.Event()
        self.model.clustering_running = True
        work = partial(self._run, scene, method, number, self._stop)
        threading.Thread(target=work, name="sbackprop-clusters", daemon=True).start()

    def stop(self) -> None:
        """Give up."""
        self._stop.set()
        self.model.clustering_running = False

    def _run(self, scene: Scene, method: str, number: int, stop: threading.Event) -> None:
        try:
            labels = _labels_from_process(scene, method, number, stop)
        except (OSError, ValueError, EOFError) as error:  # the process failed, or its file is damaged
            self._deliver(partial(self._on_failed, stop, error))
        else:
            if labels is not None:
                made = Clustering(method, number, labels, scene.epoch)
                self._deliver(partial(self._on_clustered, stop, made))

    def _on_clustered(self, stop: threading.Event, clustering: Clustering) -> None:
        if not stop.is_set():
            self.model.clustering_running = False
            self.model.clustering = clustering
            self.model.colour = CLUSTER
            count = len(clustering.sizes)
            self.model.say(
                f"{count} clusters: click one to select it."
                if count
                else "No cluster is that large: ask for a smaller one."
            )

    def _on_failed(self, stop: threading.Event, error: Exception) -> None:
        if not stop.is_set():
            self.model.clustering_running = False
            self.model.error = f"Clustering failed: {error}."


def _labels_from_process(scene: Scene, method: str, number: int, stop: threading.Event) -> Labels | None:
    """Wait for the labels (N,); None when it was stopped."""
    process = ClusterProcess(scene.run, scene.epoch, method, number)
    try:
        while (labels := process.poll()) is None:
            if stop.wait(SECONDS_BETWEEN_LOOKS):
                return None
        return labels
    finally:
        process.close()
