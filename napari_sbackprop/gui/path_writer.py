"""Writing the path on screen as maps or as latents. Knows no Qt."""

from collections.abc import Generator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.output_file import new_file
from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.explorer_model import ExplorerModel
from napari_sbackprop.gui.file_worker import FileWorker
from napari_sbackprop.gui.latest import Deliver
from napari_sbackprop.gui.no_decoder import NO_MAP
from napari_sbackprop.gui.paths import Paths


class PathWriter:
    """Writes on a thread of its own, one step after the other; nothing that exists is replaced.

    Parameters
    ----------
    model : to tell what was done.
    paths : has the path; `saving` of its model says what is being written, and stops it when emptied.
    deliver : runs a function on the thread that owns the models.
    """

    def __init__(self, model: ExplorerModel, paths: Paths, deliver: Deliver) -> None:
        self._model = model
        self._paths = paths
        self._files = FileWorker(deliver, self._on_error)

    def save_maps(self, folder: Path) -> None:
        """Write the maps of the frames, their ChimeraX script and their latents to a new folder."""
        from napari_sbackprop.analysis.reconstruction import Decoder
        from napari_sbackprop.analysis.volume_series import write_states

        if (scene := self._model.scene) is None or not self._paths.model.ready or self._paths.model.saving:
            return
        if not isinstance(scene.decoder, Decoder):
            self._model.complain(InputError(NO_MAP))
            return
        latents = self._paths.latents()
        self._paths.play(False)
        self._paths.model.saving = "maps"
        said = f"Saved {len(latents)} maps to {folder}; in ChimeraX, open its volumes.cxc."
        self._go_on(write_states(scene.decoder, {"latents": latents}, folder), said)

    def save_latents(self, path: Path) -> None:
        """Write the latents of the frames (F, Z) to a new .npy file."""
        if self._model.scene is None or not self._paths.model.ready:
            return
        said = f"Saved {path}; volumes takes it with --latents or --path."
        self._files.submit(partial(_save_array, path, self._paths.latents()), lambda _: self._model.say(said))

    def close(self) -> None:
        """Take no more requests; what was begun is given up."""
        self._paths.model.saving = ""
        self._files.close()

    def _go_on(self, work: Generator[float], said: str) -> None:
        self._files.submit(partial(next, work, None), partial(self._on_step, work, said))

    def _on_step(self, work: Generator[float], said: str, share: float | None) -> None:
        if share is None:
            self._end(said)
        elif self._paths.model.saving:
            self._model.busy = f"Writing maps: {100 * share:.0f} %"
            self._go_on(work, said)
        else:
            self._files.submit(work.close, lambda _: self._end("Stopped: no map was kept."))

    def _on_error(self, error: Exception) -> None:
        self._paths.model.saving = self._model.busy = ""
        self._model.complain(error)

    def _end(self, said: str) -> None:
        self._paths.model.saving = self._model.busy = ""
        self._model.say(said)


def _save_array(path: Path, array: npt.NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)
