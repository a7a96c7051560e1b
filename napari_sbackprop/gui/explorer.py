"""The explorer's controller: what happens on a click, a drag, a new epoch. Knows no Qt.

It writes the model on the thread that `deliver` serves, and only there. Maps are made by a `LatestWorker`; files are
read and written one after the other on a second thread.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from napari_sbackprop.analysis.clustering import Clustering, read_clustering
from napari_sbackprop.analysis.qualities import Array, particle_qualities
from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.clusterer import Clusterer
from napari_sbackprop.gui.comparison import Comparison
from napari_sbackprop.gui.direction_walk import DirectionWalk
from napari_sbackprop.gui.distributions import Distributions
from napari_sbackprop.gui.explorer_model import DIFFERENCE, PCA, Columns, ExplorerModel, Scene
from napari_sbackprop.gui.file_worker import FileWorker
from napari_sbackprop.gui.image_reader import ImageReader
from napari_sbackprop.gui.latest import Deliver, LatestWorker
from napari_sbackprop.gui.loading import BrokenEpoch, load_columns, newer_scene
from napari_sbackprop.gui.look import Look, Picture
from napari_sbackprop.gui.next_job import next_job
from napari_sbackprop.gui.path_writer import PathWriter
from napari_sbackprop.gui.paths import Paths
from napari_sbackprop.gui.projection import Anchor
from napari_sbackprop.gui.queries import Queries
from napari_sbackprop.gui.recent_runs import remember_run
from napari_sbackprop.gui.reconstructor import Reconstruction, Reconstructor
from napari_sbackprop.gui.regions import Regions
from napari_sbackprop.gui.selections import Selections
from napari_sbackprop.gui.sessions import Sessions
from napari_sbackprop.gui.shown import Settings
from napari_sbackprop.gui.shown_map import ShownMap
from napari_sbackprop.gui.subject import Place, Pooled, Subject, consensus
from napari_sbackprop.gui.umaps import Umaps
from napari_sbackprop.run_directory import RunDirectory

REST = 30
"""Times that loading an epoch took, until a newer one is looked for: following leaves a training its cores."""


class Explorer:
    """Connects one model with the run directory, the decoder and the workers.

    Parameters
    ----------
    model : to write.
    deliver : runs a function on the thread that owns the model.
    """

    def __init__(self, model: ExplorerModel, deliver: Deliver) -> None:
        self.model = model
        self._maps = LatestWorker(deliver, "sbackprop-maps")
        self._files = FileWorker(deliver, self._on_error)
        self.selections = Selections(model, self._files)
        self.queries = Queries(model, self.selections, deliver)
        self._run: RunDirectory | None = None
        self.comparison = Comparison(model, self._make_anew, lambda: self.subject or consensus)
        self.walk = DirectionWalk(model, self.comparison, self.show_place, deliver)
        self._loading = False
        self._looked_at = self._rested_at = 0.0  # when an epoch was looked for, and when the next one may be
        self.subject: Subject | None = None  # of the map on screen, or on its way there
        self._reconstructor = Reconstructor(deliver)
        self.images = ImageReader(deliver)
        self.distributions = Distributions(model, deliver)
        self.clusterer = Clusterer(model, deliver)
        self.paths = Paths(model, self.show_anchor, deliver)
        self.path_writer = PathWriter(model, self.paths, deliver)
        self.regions = Regions(model, self.selections, deliver)
        self.umaps = Umaps(model, self._place_crosshair)
        self.sessions = Sessions(model, self._files)
        self.sessions.parts.update(
            {
                "settings": Settings(model),
                "selection": self.selections,
                "map": ShownMap(self),
                "path": self.paths,
            }
        )
        self._closed = False
        self._broken: int | None = None  # the newest epoch, if it could not be loaded: not tried again

    @property
    def busy(self) -> bool:
        """Whether files are being read or a map is being made."""
        return self._loading or self._maps.busy or self.walk.busy

    # -- runs and epochs ---------------------------------------------------------------------------------------------

    def open(self, path: Path) -> None:
        """Show a run; its newest epoch appears when it is loaded, and later ones as `follow` is called."""
        try:
            run = RunDirectory(path)
        except InputError as error:
            self.model.error = str(error)
            return
        self.sessions.keep()
        self.sessions.open(run)
        self.umaps.forget()
        self._reconstructor.stop()
        self.images.clear()
        self.clusterer.stop()
        self.paths.clear()
        self.regions.clear()
        self.walk.forget()
        self._maps.invalidate()
        self._run, self.subject = run, None
        self._broken = None
        model = self.model
        model.slice_offset, model.half_map_fsc = 0.0, None
        model.scene = model.anchor = model.point = model.frame = model.pinned = None
        model.columns, model.qualities, model.method, model.clustering = Columns(), {}, PCA, None
        self.comparison.forget()
        self.selections.open(None)
        self.queries.ask("")
        model.message = model.error = ""
        model.busy = f"Opening {run.path.name} …"
        self.refresh()

    def follow(self) -> None:
        """Refresh, unless an epoch has come just now: where they come fast some are left out, never the last one."""
        if time.monotonic() >= self._rested_at:
            self.refresh()
        else:
            self.umaps.look()
            self.sessions.look()

    def refresh(self) -> None:
        """Look for a newer epoch and for the end of a UMAP."""
        self.umaps.look()
        self.sessions.look()
        if self._run is not None and not self._loading and not self._closed:
            self._loading, self._looked_at = True, time.monotonic()
            work = partial(newer_scene, self._run, self.model.scene, self._broken)
            self._files.submit(work, self._on_scene_loaded)

    def _on_scene_loaded(self, scene: Scene | BrokenEpoch | None) -> None:
        self._loading = False
        model, previous = self.model, self.model.scene
        if scene is None:
            if previous is None and self._broken is None:
                model.busy = "Waiting for the first epoch …"
            return
        if scene.run is not self._run:  # whose session was not read either
            self.refresh()
            return
        if isinstance(scene, BrokenEpoch):
            self._broken = scene.epoch
            self._on_error(scene.error)
            return
        self._broken = None
        now = time.monotonic()
        self._rested_at = now + REST * (now - self._looked_at)
        if previous is not None:
            scene = replace(scene, sigma=previous.sigma)  # one unit in all epochs: maps stay comparable
        else:
            model.contour = scene.contour
            work = partial(load_columns, scene.run, scene.count)
            self._files.submit(work, partial(self._on_columns_loaded, scene.run))
            clusters = partial(read_clustering, scene.run, scene.epoch)
            self._files.submit(clusters, partial(self._on_clustering_loaded, scene.run))
            self.selections.open(scene.run, scene.count)
        self.umaps.renew()
        model.busy = model.error = ""
        if model.method not in scene.projections:
            model.method = PCA
        model.scene = scene
        self._files.submit(
            partial(particle_qualities, scene.run, scene.epoch),
            partial(self._on_qualities_found, scene.latents),
        )
        self._place_crosshair()
        if previous is None:
            self._show_decoded(consensus)
            self.sessions.restore()
            self._files.submit(partial(remember_run, scene.run.path), lambda _: None)
        else:
            self._decode(coarse=False)

    def _on_qualities_found(self, latents: Array, qualities: Mapping[str, Array]) -> None:
        if self.model.scene is not None and self.model.scene.latents is latents:
            self.model.qualities = qualities

    def _on_columns_loaded(self, run: RunDirectory, columns: Columns) -> None:
        if self._run is not None and run.path == self._run.path:
            self.model.columns = columns

    def _on_clustering_loaded(self, run: RunDirectory, clustering: Clustering | None) -> None:
        if self._run is not None and run.path == self._run.path and self.model.clustering is None:
            self.model.clustering = clustering

    # -- places and maps ---------------------------------------------------------------------------------------------

    def pick(self, x: float, y: float, final: bool = True) -> None:
        """Show the map at a point of the projection; with `final` false (dragging) a coarse one, sooner."""
        if (projection := self.model.projection) is not None:
            self.show_anchor(projection.anchor((x, y)), "Map at the cursor", final, (x, y))

    def show_anchor(
        self, anchor: Anchor, title: str, final: bool = True, point: tuple[float, float] | None = None
    ) -> None:
        """Show the map at a place in latent space, the crosshair at a point or else where its particles lie."""
        if (projection := self.model.projection) is not None:
            x, y = anchor.mean(projection.coordinates).tolist() if point is None else point
            self.show_place(Place(anchor, title), (x, y), final)

    def show_place(self, place: Place, point: tuple[float, float], final: bool) -> None:
        """Show the map of a place with the crosshair at a point of the projection."""
        self._move_crosshair(place.anchor, point)
        self._show_decoded(place, coarse=not final)

    def show_consensus(self) -> None:
        """Show the map of all particles."""
        self.show_all_of(consensus)

    def show_all_of(self, subject: Subject) -> None:
        """Show a map that has no place, and hence no crosshair."""
        self._move_crosshair(None, None)
        self._show_decoded(subject)

    def show_selection(self) -> None:
        """Show the map of the selection, from its particles' pooled information."""
        if self.model.selection is not None:
            self.show_all_of(Pooled(self.model.selection))

    def reconstruct_selection(self) -> None:
        """Back-project the selection from its images and show that map; called again, stop doing so."""
        model = self.model
        if model.reconstructing:
            self._reconstructor.stop()
        elif model.scene is not None and model.selection is not None:
            model.reconstructing = True
            report = partial(setattr, model, "busy")
            self._reconstructor.start(model.scene, model.selection, report, self._on_reconstructed)

    def _on_reconstructed(self, scene: Scene, result: Reconstruction | Exception | None) -> None:
        self.model.reconstructing = False
        if self._run is None or scene.run.path != self._run.path:
            return
        self.model.busy = ""
        if isinstance(result, Exception):
            self.model.complain(result)
        elif result is not None:
            self._move_crosshair(None, None)
            self.subject = lambda _: (result.volume, result.title)
            self.model.half_map_fsc = result.fsc
            self.model.say(result.sentence)
            if self.model.scene is not None and self.model.frame is None:  # no decoder has given a unit
                self.model.scene = self.model.scene.contoured_by(result.volume)
                self.model.contour = self.model.scene.contour
            self._decode(coarse=False)

    def set_contour(self, contour: float, final: bool = True) -> None:
        """Contour all maps, or the difference where that is shown, at `contour` sigma."""
        if self.model.comparison == DIFFERENCE:
            self.model.difference_contour = contour
        else:
            self.model.contour = contour
        if final or not self.model.draws_volume:  # a volume has its threshold at once
            self._remake(coarse=not final)

    def set_smoothing(self, voxels: float) -> None:
        """Low-pass the displayed maps by a Gaussian with a width of `voxels`."""
        self.model.smoothing = voxels
        self._decode(coarse=False)

    def set_renderer(self, renderer: str) -> None:
        """Draw maps as SURFACE, VOLUME or SLICE."""
        self.model.renderer = renderer

    def set_colouring(self, colouring: str) -> None:
        """Colour the surface by PLAIN, CHANGE or VARIABILITY."""
        self.model.colouring = colouring
        self._remake(coarse=False)

    def save_map(self, path: Path, overwrite: bool = False) -> None:
        """Write what is shown, a map or a difference, not low-passed, as MRC; a file is replaced with `overwrite` only."""
        from napari_sbackprop.data.mrc import write_volume

        scene, frame = self.model.scene, self.model.frame
        if scene is not None and frame is not None:
            pinned = self.model.pinned if self.model.comparison == DIFFERENCE else None
            volume = frame.volume if pinned is None else frame.volume - pinned.volume
            advice = next_job(path) if pinned is None else ""  # no program refines against a difference
            work = partial(write_volume, path, volume, scene.decoder.pixel_size, overwrite=overwrite)
            self._files.submit(work, lambda _: self.model.say(f"Saved {path}. {advice}".rstrip()))

    def _show_decoded(self, subject: Subject, coarse: bool = False) -> None:
        """Show a map of the decoder; where there is none, what is on screen stays."""
        if self.model.scene is not None and self.model.scene.has_decoder:
            self.subject = subject
            self._decode(coarse)

    def _decode(self, coarse: bool) -> None:
        """Ask for the map of the subject, in the present scene."""
        if self.subject is not None:
            self._make(self.subject, coarse)

    def _make_anew(self) -> None:
        self._maps.invalidate()
        self._decode(coarse=False)

    def _remake(self, coarse: bool) -> None:
        """Ask for the map on screen, or else the one on its way there, to look as the model says now."""
        if self._maps.busy:
            self._decode(coarse)
        elif (frame := self.model.frame) is not None:
            self._make(lambda _: (frame.volume, frame.title), coarse)

    def _make(self, subject: Subject, coarse: bool) -> None:
        if (scene := self.model.scene) is None:
            return
        look, known = Look.of(self.model, self.comparison.reference), self.model.frame

        def work() -> Picture:
            volume, title = subject(scene)
            return look.picture(scene, volume, title, coarse=coarse, known=known)

        self._maps.submit(work, self._on_picture_made, self._on_error)

    def _on_picture_made(self, picture: Picture) -> None:
        self.model.pinned, self.model.frame = picture.pinned, picture.frame

    def _move_crosshair(self, anchor: Anchor | None, point: tuple[float, float] | None) -> None:
        """Put the crosshair where the next map is asked for, None for nowhere; a path that did not ask stops."""
        self.paths.give_way()
        self.model.anchor, self.model.point = anchor, point

    def _place_crosshair(self) -> None:
        """Move the crosshair to where its particles lie in the present projection."""
        projection, anchor = self.model.projection, self.model.anchor
        if projection is None or anchor is None:
            return
        x, y = anchor.mean(projection.coordinates)
        self.model.point = (float(x), float(y))

    # -- plumbing ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop all work; the explorer is of no use afterwards."""
        self._closed = True
        self.paths.close()
        self.path_writer.close()
        self.regions.close()
        self._reconstructor.stop()
        self.images.close()
        self.distributions.close()
        self.walk.close()
        self.clusterer.stop()
        self._maps.close()
        self.queries.close()
        self.umaps.stop()
        self._files.close()

    def _on_error(self, error: Exception) -> None:
        self._loading = False
        self.model.busy = ""
        self.model.complain(error)
