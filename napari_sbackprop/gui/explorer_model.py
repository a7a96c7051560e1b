"""What the explorer shows, as an evented model without Qt.

The controller (`explorer.Explorer`) writes it, widgets read it and connect to `events`. Arrays live inside frozen
objects that compare by identity, so that setting a field never compares megabytes.
"""

import logging
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from psygnal import SignalGroupDescriptor

from napari_sbackprop.analysis.clustering import Clustering
from napari_sbackprop.analysis.particle_set import ParticleSet
from napari_sbackprop.analysis.query import CONTRAST
from napari_sbackprop.analysis.selection import REPLACE, ParticleSelection
from napari_sbackprop.analysis.variability import standard_deviation
from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.no_decoder import NoDecoder
from napari_sbackprop.gui.projection import Anchor, Projection
from napari_sbackprop.gui.surface import MapFrame, default_contour, low_pass
from napari_sbackprop.run_directory import RunDirectory

logger = logging.getLogger(__name__)

DENSITY = "density"
REGION_DENSITY = "region_density"
PCA = "pca"
UMAP = "umap"
SURFACE, VOLUME, SLICE = "surface", "volume", "slice"
ALONE, OVERLAY, DIFFERENCE, SIDE_BY_SIDE, BLINK = "alone", "overlay", "difference", "side by side", "blink"
PLAIN, CHANGE, VARIABILITY = "one colour", "change", "variability"
DIFFERENCE_LIMIT = 2.0  # sigma, ends of the colour scale of differences
_SAMPLE = 20_000  # particles that suffice for a covariance


class Decoder(Protocol):
    """Makes maps from latents (`analysis.reconstruction.Decoder`)."""

    @property
    def box(self) -> int: ...

    @property
    def pixel_size(self) -> float: ...

    @property
    def basis(self) -> npt.NDArray[np.float32]: ...

    def coefficients(self, latents: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...

    def volume(self, latent: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...

    def mixed(self, coefficients: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...

    def on_grid(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...

    def consensus(self) -> npt.NDArray[np.float32]: ...

    def mask(self) -> npt.NDArray[np.float32]: ...

    def pooled(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True, eq=False)
class Scene:
    """One epoch of a run, loaded: latents, projections and decoder always belong together.

    Attributes
    ----------
    latents : (N, Z) float32, posterior means.
    contrast : (N,) float32, scale of each particle in its image; NaN where not measured.
    projections : by method; "pca" is always there.
    decoder : a NoDecoder where the run has none.
    sigma : standard deviation of the consensus map, the unit of the contour in every state of every epoch.
    contour : first contour in sigma.
    contour_limit : largest useful contour in sigma.
    """

    run: RunDirectory
    epoch: int
    latents: npt.NDArray[np.float32]
    contrast: npt.NDArray[np.float32]
    projections: Mapping[str, Projection]
    decoder: Decoder
    sigma: float = 1.0
    contour: float = 3.0
    contour_limit: float = 3.0

    @property
    def count(self) -> int:
        """N."""
        return len(self.latents)

    @property
    def has_decoder(self) -> bool:
        """Whether maps can be made of latents."""
        return not isinstance(self.decoder, NoDecoder)

    def contoured_by(self, volume: npt.NDArray[np.float32]) -> "Scene":
        """The same scene with contours in units of a map (M, M, M)."""
        smooth = low_pass(volume)
        sigma = float(smooth.std()) or 1.0
        return replace(
            self,
            sigma=sigma,
            contour=default_contour(smooth, sigma),
            contour_limit=max(float(smooth.max()) / sigma, 2.0),
        )

    @property
    def sample(self) -> npt.NDArray[np.int64]:
        """Particles (n,), evenly drawn, that tell how all are distributed."""
        return np.arange(0, self.count, self.count // _SAMPLE + 1)

    @cached_property
    def variability(self) -> npt.NDArray[np.float32]:
        """Standard deviation (M, M, M) of the density over the particles, in sigma; takes a moment at the first use."""
        decoder = self.decoder
        coefficients = decoder.coefficients(self.latents[self.sample])[:, 1:]
        return decoder.on_grid(standard_deviation(decoder.basis[1:], coefficients) / self.sigma)

    @cached_property
    def variability_limit(self) -> float:
        """What 98 % of the particle's voxels do not vary beyond, in sigma."""
        particle = self.decoder.consensus() >= self.contour * self.sigma
        return float(np.quantile(self.variability[particle], 0.98)) if particle.any() else 1.0


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns of the particles' STAR file by name, each (N,), numbers or strings.

    Attributes
    ----------
    values : all of them, for queries.
    telling : names of those worth colouring the scatter by.
    """

    values: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    telling: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class HalfMapFsc:
    """How far half maps of some particles agree, and with what.

    Attributes
    ----------
    title : of the map.
    curves : FSC (S,) by name, in shells from 0 to that of `finest` angstrom.
    """

    title: str
    curves: Mapping[str, npt.NDArray[np.float64]]
    finest: float


@dataclass
class ExplorerModel:
    """State of one explorer.

    Attributes
    ----------
    scene : the loaded epoch, None before a run is open.
    method : projection on screen, "pca" or "umap".
    point : place of the crosshair in that projection, None while the map shows no single place.
    anchor : the same place as particles, to find it again in the next epoch.
    frame : the map on screen.
    pinned : a frame kept for comparison.
    contour : in sigma.
    smoothing : low-pass of the displayed map in voxels.
    difference_contour : of the difference to the pinned map, in sigma.
    comparison : how the map is shown beside the pinned one: ALONE, OVERLAY, DIFFERENCE, SIDE_BY_SIDE or BLINK.
    colouring : what colours the surface: PLAIN, CHANGE from the pinned map, or VARIABILITY over the particles.
    renderer : how the map is drawn, SURFACE, VOLUME or SLICE.
    slice_axis : axis across a slice, of [z, y, x].
    slice_offset : place of a slice, in angstrom from the centre of the box.
    colour : DENSITY, CONTRAST, CLUSTER (of `analysis.query`), REGION_DENSITY, or the name of a quality or a column.
    selection : the particles that are selected, None for none.
    combining : how a newly found selection goes together with that: REPLACE, ADD, SUBTRACT or INTERSECT.
    sets : selections that are kept.
    matching : particles that the query typed last holds for, None without a query that can be read.
    clustering : clusters of the particles, None before any were made.
    clustering_running : whether others are being made.
    qualities : what the epoch says of each particle (N,), by name; empty until it is known.
    region_density : (N,) density of each particle's map in the region on screen, in sigma; None without a region.
    umap_running : whether a UMAP is being computed.
    reconstructing : whether a selection is being back-projected.
    half_map_fsc : of the last back-projection in this run; None before one.
    busy : one line about what is going on, empty when nothing is.
    message : the last thing done.
    error : the last thing that went wrong, in a sentence; empty after the next success.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        equality_operators=dict.fromkeys(("sets", "point", "qualities", "region_density"), operator.is_)
    )

    scene: Scene | None = None
    method: str = PCA
    point: tuple[float, float] | None = None
    anchor: Anchor | None = None
    frame: MapFrame | None = None
    pinned: MapFrame | None = None
    contour: float = 3.0
    smoothing: float = 0.8
    difference_contour: float = 1.5
    comparison: str = ALONE
    colouring: str = PLAIN
    renderer: str = SURFACE
    slice_axis: int = 0
    slice_offset: float = 0.0
    colour: str = DENSITY
    columns: Columns = field(default_factory=Columns)
    selection: ParticleSelection | None = None
    combining: str = REPLACE
    sets: tuple[ParticleSet, ...] = ()
    matching: ParticleSelection | None = None
    clustering: Clustering | None = None
    clustering_running: bool = False
    qualities: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    region_density: npt.NDArray[np.float32] | None = None
    umap_running: bool = False
    reconstructing: bool = False
    half_map_fsc: HalfMapFsc | None = None
    busy: str = ""
    message: str = ""
    error: str = ""

    @property
    def projection(self) -> Projection | None:
        """The projection on screen."""
        return (
            None
            if self.scene is None
            else self.scene.projections.get(self.method, self.scene.projections[PCA])
        )

    @property
    def colour_values(self) -> npt.NDArray[Any] | None:
        """What colours the scatter (N,), None for the density of the points."""
        if self.colour == CONTRAST and self.scene is not None:
            return self.scene.contrast
        if self.colour == REGION_DENSITY:
            return self.region_density
        return self.qualities.get(self.colour, self.columns.values.get(self.colour))

    @property
    def draws_volume(self) -> bool:
        """Whether the map is drawn as a volume; differences are surfaces."""
        return self.renderer == VOLUME and self.comparison != DIFFERENCE

    @property
    def colourable(self) -> bool:
        """Whether there is a surface that can have other colours than one."""
        has_decoder = self.scene is not None and self.scene.has_decoder
        return has_decoder and self.renderer == SURFACE and self.comparison != DIFFERENCE

    @property
    def chosen(self) -> npt.NDArray[np.int64]:
        """The selected particles; without a selection, all of them."""
        if self.selection is not None:
            return self.selection.indices
        return np.arange(0 if self.scene is None else self.scene.count)

    def free_name(self) -> str:
        """A name that no set has yet."""
        taken = {kept.name for kept in self.sets}
        return next(name for i in range(1, len(taken) + 2) if (name := f"set_{i}") not in taken)

    def say(self, message: str) -> None:
        """Tell what was done."""
        self.error = ""
        self.message = message

    def complain(self, error: Exception) -> None:
        """Tell what went wrong."""
        self.error = in_words(error)


def in_words(error: Exception) -> str:
    """What to tell people about an exception; one that nobody expected is logged with its traceback."""
    if not isinstance(error, (InputError, OSError)):
        logger.error("the explorer failed", exc_info=error)
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
