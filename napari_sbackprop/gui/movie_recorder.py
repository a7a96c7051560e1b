"""Recording the maps along a path as a movie of the 3D view."""

from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QCoreApplication, QTimer

from napari_sbackprop.data.movie import new_movie
from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.explorer import Explorer
from napari_sbackprop.gui.file_worker import FileWorker
from napari_sbackprop.gui.latest import Deliver
from napari_sbackprop.gui.no_decoder import NO_MAP
from napari_sbackprop.gui.surface import MapFrame

Image = npt.NDArray[np.uint8]


class MovieRecorder:
    """Shows one frame after the other, takes its picture, and has it encoded on a thread of its own.

    Parameters
    ----------
    viewer : napari viewer whose canvas is recorded.
    deliver : runs a function on the main thread.
    """

    def __init__(self, viewer: Any, explorer: Explorer, deliver: Deliver) -> None:
        self._viewer = viewer
        self._model = explorer.model
        self._paths = explorer.paths
        self._files = FileWorker(deliver, self._on_error)
        self._movie: ExitStack | None = None
        self._path = Path()
        self._append: Any = None
        self._next, self._awaited = 0, False
        self._model.events.frame.connect(self._on_map_shown)

    def record(self, path: Path) -> None:
        """Record the present path to a new .mp4 or .gif file."""
        if self._movie is not None or self._paths.model.saving or not self._paths.model.ready:
            return
        if self._model.scene is None or not self._model.scene.has_decoder:
            self._model.complain(InputError(NO_MAP))
            return
        self._movie, self._path, self._next = ExitStack(), path, 0
        self._paths.play(False)
        self._paths.model.saving = "movie"
        if (application := QCoreApplication.instance()) is not None:
            application.aboutToQuit.connect(self.close)
        self._files.submit(partial(_open, self._movie, path), self._on_opened)

    def close(self) -> None:
        """Give up what is being recorded."""
        self._model.events.frame.disconnect(self._on_map_shown)
        if self._movie is not None:
            self._give_up()
        self._files.close()

    def _on_opened(self, append: Any) -> None:
        self._append = append
        self._ask()

    def _ask(self) -> None:
        """Show the next frame."""
        if not self._paths.model.saving:
            self._give_up()
            return
        self._awaited = True
        self._model.busy = f"Recording {self._path.name}: {self._next + 1} of {self._paths.model.frames}"
        self._paths.show(self._next)

    def _on_map_shown(self, frame: MapFrame | None) -> None:
        if not self._awaited:
            return
        if self._shown(frame):
            self._awaited = False
            QTimer.singleShot(0, self._take_picture)  # when the layers have followed
        else:  # somebody has asked for another map in between
            self._ask()

    def _take_picture(self) -> None:
        if self._append is None:
            return
        if not self._shown(self._model.frame):
            self._ask()
            return
        image = np.asarray(self._viewer.screenshot(canvas_only=True, flash=False))[..., :3]
        self._files.submit(partial(self._append, image), self._on_appended)

    def _shown(self, frame: MapFrame | None) -> bool:
        return frame is not None and frame.title == self._paths.title(self._next) and not frame.coarse

    def _on_appended(self, _: None) -> None:
        self._next += 1
        if self._movie is None or self._append is None:
            return
        if self._next < self._paths.model.frames:
            self._ask()
            return
        self._append = None
        self._files.submit(self._movie.close, self._on_finished)

    def _on_finished(self, _: None) -> None:
        self._end()
        self._model.say(f"Saved {self._path}.")

    def _give_up(self) -> None:
        if self._movie is not None:
            self._append = None
            self._files.submit(
                partial(_discard, self._movie), lambda _: self._model.say("No movie was kept.")
            )
            self._end()

    def _on_error(self, error: Exception) -> None:
        if self._movie is not None:
            self._files.submit(partial(_discard, self._movie), lambda _: None)
        self._end()
        self._model.complain(error)

    def _end(self) -> None:
        if self._movie is not None and (application := QCoreApplication.instance()) is not None:
            application.aboutToQuit.disconnect(self.close)
        self._movie = self._append = None
        self._awaited = False
        self._paths.model.saving = self._model.busy = ""


class _Stopped(Exception):
    """Ends a movie that is not to be kept."""


def _open(movie: ExitStack, path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    return movie.enter_context(new_movie(path))


def _discard(movie: ExitStack) -> None:
    with suppress(_Stopped), movie:
        raise _Stopped
