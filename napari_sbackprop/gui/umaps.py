"""The controller of UMAPs: when one is computed, and what becomes of it. Knows no Qt."""

from collections.abc import Callable
from dataclasses import replace

from napari_sbackprop.gui import umap_process
from napari_sbackprop.gui.explorer_model import UMAP, ExplorerModel
from napari_sbackprop.gui.projection import Projection

QUIET_LOOKS = 6
"""Looks at an epoch after which a UMAP is worth its time: none newer has come meanwhile."""


class Umaps:
    """Has the UMAP of the scene computed by a process of its own, one at a time, and puts it into the scene.

    Parameters
    ----------
    model : to write.
    on_method : called when another projection is on screen.
    """

    def __init__(self, model: ExplorerModel, on_method: Callable[[], None]) -> None:
        self._model = model
        self._on_method = on_method
        self._process: umap_process.UmapProcess | None = None
        self._looks, self._wanted = 0, False
        self._none_for: int | None = None  # the epoch whose UMAP has failed
        self.training = (
            False  # whether a training in this program writes the run on screen, and needs the cores
        )

    def show(self, method: str) -> None:
        """Show "pca", or "umap", which is computed first where it is not there yet."""
        if (scene := self._model.scene) is None:
            return
        if method in scene.projections:
            self._model.method = method
            self._on_method()
        elif method == UMAP:
            self._wanted, self._none_for = True, None
            self._start()
            if self.training:
                self._model.message = "UMAP follows when the training has ended."

    def look(self) -> None:
        """See whether a UMAP is ready, or worth being computed; call it about once a second."""
        self._poll()
        self._looks += 1
        self._start()

    def forget(self) -> None:
        """Begin with another run."""
        self.renew()
        self._wanted, self._none_for = False, None

    def renew(self) -> None:
        """Begin with another epoch."""
        self.stop()
        self._looks = 0

    def stop(self) -> None:
        """Give up what is being computed."""
        if self._process is not None:
            self._process.close()
            self._process = None
        self._model.umap_running = False

    def _start(self) -> None:
        """Compute the UMAP of the present epoch once it is wanted, or once no newer epoch has come for a while."""
        scene = self._model.scene
        if scene is None or self.training or self._process is not None or self._none_for == scene.epoch:
            return
        if UMAP in scene.projections or not (self._wanted or self._looks > QUIET_LOOKS):
            return
        try:
            self._process = umap_process.UmapProcess(scene.run, scene.epoch)
        except OSError as error:
            self._none_for = scene.epoch
            self._model.error = f"UMAP could not be started: {error}."
            return
        self._model.umap_running = True

    def _poll(self) -> None:
        if self._process is None:
            return
        model, epoch = self._model, self._process.epoch
        try:
            coordinates = self._process.poll()
        except (OSError, ValueError, EOFError) as error:  # the process failed, or its file is damaged
            self.stop()
            self._none_for = epoch
            model.error = f"UMAP failed: {error}."
            return
        if coordinates is None:
            return
        self.stop()
        if (scene := model.scene) is None or scene.epoch != epoch:
            return
        umap_process.keep(scene.run, epoch, coordinates)
        projections = {**scene.projections, UMAP: Projection.build(UMAP, coordinates)}
        model.scene = replace(scene, projections=projections)
        untouched = model.anchor is None and model.selection is None
        if self._wanted or untouched:  # don't take away the plane that somebody works in
            self.show(UMAP)
        model.say("UMAP is ready.")
