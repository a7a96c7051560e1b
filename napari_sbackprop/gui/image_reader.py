"""The controller of the images of a selection: single particles and averages, read in the background. Knows no Qt."""

import math
import threading
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
from psygnal import SignalGroupDescriptor

from napari_sbackprop.gui.explorer_model import Scene, in_words
from napari_sbackprop.gui.latest import Deliver, LatestWorker

if TYPE_CHECKING:
    from napari_sbackprop.data.particles import Particles
    from napari_sbackprop.training.upright import ViewAverage

DRAWN = 12
"""Single particles shown at a time."""
VIEWS = 6
_PARTICLE_RESOLUTION = 20.0  # angstrom; in one image, noise is all there is beyond
_AVERAGE_RESOLUTION = 8.0

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Gallery:
    """Images of some of a selection's particles.

    Attributes
    ----------
    rows : (n,) particles that are shown.
    images : (n, S, S) upright images of these.
    averages : of the most populated views of the selection.
    """

    rows: Indices = field(default_factory=lambda: np.empty(0, np.int64))
    images: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 1, 1), np.float32))
    averages: tuple["ViewAverage", ...] = ()


@dataclass
class ImageModel:
    """What has been read.

    Attributes
    ----------
    gallery : what there is so far.
    progress : what is being read, empty when nothing is.
    trouble : why images cannot be shown, in a sentence; empty when they can.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    gallery: Gallery = field(default_factory=Gallery)
    progress: str = ""
    trouble: str = ""


@dataclass(frozen=True, eq=False)
class _Request:
    scene: Scene
    indices: Indices
    page: int = 0
    stop: threading.Event = field(default_factory=threading.Event)


class ImageReader:
    """Reads the images of one selection at a time; asked again, it gives up what it was at.

    Parameters
    ----------
    deliver : runs a function on the thread that owns `model`.
    """

    def __init__(self, deliver: Deliver) -> None:
        self.model = ImageModel()
        self._deliver = deliver
        self._worker = LatestWorker(deliver, "sbackprop-images")
        self._request: _Request | None = None
        self._opened: tuple[Path, int, Particles] | None = None  # of the worker's thread

    def read(self, scene: Scene, indices: Indices) -> None:
        """Show some of the particles (n,), drawn at random but always the same, then averages of all of them."""
        self.clear()
        self._start(_Request(scene, indices))

    def more(self) -> None:
        """Show the next few of the particles."""
        if (last := self._request) is not None:
            self.stop()
            self._start(replace(last, page=last.page + 1, stop=threading.Event()))

    def stop(self) -> None:
        """Give up; what has been read stays."""
        if self._request is not None:
            self._request.stop.set()
        self._worker.invalidate()
        self.model.progress = ""

    def clear(self) -> None:
        """Give up and show nothing."""
        self.stop()
        self._request = None
        self.model.trouble = ""
        self.model.gallery = Gallery()

    def close(self) -> None:
        """Give up and end the thread."""
        self.stop()
        self._worker.close()

    def _start(self, request: _Request) -> None:
        self._request = request
        self.model.trouble = ""
        self.model.progress = "Looking for the images …"
        averages = self.model.gallery.averages
        self._worker.submit(partial(self._read, request, averages), self._on_read, self._on_error)

    def _read(self, request: _Request, averages: tuple["ViewAverage", ...]) -> Gallery:
        """Read on the worker's thread; what comes first is delivered first."""
        from napari_sbackprop.training.upright import upright_images, view_averages

        particles = self._particles(request.scene)
        rows = _drawn(request.indices, request.page)
        gallery = Gallery(rows, upright_images(particles, rows, _PARTICLE_RESOLUTION), averages)
        if averages:
            return gallery
        self._deliver(partial(self._on_part, request, gallery))
        work = view_averages(particles, request.indices, VIEWS, _AVERAGE_RESOLUTION)
        while not request.stop.is_set():
            try:
                line = f"Averaging views: {next(work):,} images …"
            except StopIteration as end:
                return replace(gallery, averages=tuple(end.value))
            self._deliver(partial(self._on_progress, request, line))
        return gallery

    def _particles(self, scene: Scene) -> "Particles":
        """The run's particles, kept: their poses change with the epoch where they are refined."""
        from napari_sbackprop.training.run_particles import run_particles

        if self._opened is None or self._opened[:2] != (scene.run.path, scene.epoch):
            self._opened = (scene.run.path, scene.epoch, run_particles(scene.run, scene.epoch))
        return self._opened[2]

    def _on_part(self, request: _Request, gallery: Gallery) -> None:
        if not request.stop.is_set():
            self.model.gallery = gallery

    def _on_progress(self, request: _Request, line: str) -> None:
        if not request.stop.is_set():
            self.model.progress = line

    def _on_read(self, gallery: Gallery) -> None:
        self.model.progress = ""
        self.model.gallery = gallery

    def _on_error(self, error: Exception) -> None:
        self.model.progress = ""
        self.model.trouble = in_words(error)


def _drawn(indices: Indices, page: int) -> Indices:
    """The particles on a page of all of them in random order; the last page is followed by the first."""
    order = np.random.default_rng(0).permutation(indices)
    start = page % max(math.ceil(len(order) / DRAWN), 1) * DRAWN
    return order[start : start + DRAWN]
