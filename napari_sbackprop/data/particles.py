"""Particles: what is known of every image, in one unit system whatever file it came from."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.image_names import image_numbers
from napari_sbackprop.errors import InputError

_SAME_SCALE = 1e-4  # relative difference of pixel sizes that moves no shell
_SAME_WIDTH = 0.02  # relative difference of widths that a new calibration, or an even box, makes


@dataclass(frozen=True)
class OpticsGroup:
    """Microscope settings that a set of particles shares.

    Attributes
    ----------
    name : str
        Name for messages; two groups may share it where rows of one RELION group differ in voltage or the like.
    pixel_size : float
        Å per pixel of the images as they are stored.
    image_size : int
        Box in pixels.
    voltage : float
        kV.
    spherical_aberration : float
        mm.
    amplitude_contrast : float
        Fraction, 0 to 1.
    ctf_premultiplied : bool
        The images were multiplied by their CTF: the model is multiplied by CTF².
    phase_flipped : bool
        The images' phases were flipped: the model is multiplied by the absolute value of the CTF.
    odd_zernikes : tuple of float
        Coefficients of antisymmetric aberrations, in radians and RELION's order; empty for none.
    even_zernikes : tuple of float
        The same of symmetric aberrations, which add to the phase of the CTF.
    magnification : tuple of float
        M by rows, (M00, M01, M10, M11): frequency k of the image shows what an undistorted one has at M k.
    contrast : float
        How strongly the images show the particle, beyond what pixel sizes explain; 1 where it was not measured.
    """

    name: str
    pixel_size: float
    image_size: int
    voltage: float
    spherical_aberration: float
    amplitude_contrast: float
    ctf_premultiplied: bool = False
    phase_flipped: bool = False
    odd_zernikes: tuple[float, ...] = ()
    even_zernikes: tuple[float, ...] = ()
    magnification: tuple[float, ...] = (1.0, 0.0, 0.0, 1.0)
    contrast: float = 1.0


@dataclass(frozen=True, eq=False)
class Particles:
    """Poses, CTF parameters and image addresses of N particles; row i is data row i of the source.

    Attributes
    ----------
    rotation : (N, 3, 3) float32
        RELION's A: takes map coordinates (x, y, z) to image coordinates.
    shift : (N, 2) float32
        Å, (x, y): the translation that, applied to the image content, centres the particle.
    defocus : (N, 3) float32
        Defocus U and V in Å (underfocus positive), angle of U in degrees from +x towards +y.
    phase_shift : (N,) float32
        Degrees.
    b_factor : (N,) float32
        Å².
    scale : (N,) float32
        Factor on the CTF.
    beam_tilt : (N, 2) float32
        mrad, (x, y).
    optics_index : (N,) int32
        Index into `optics`, from 0.
    optics : tuple of OpticsGroup
        Groups in use, in the order of the source; they may differ in pixel size and box.
    half_set : (N,) int8
        1 or 2, and 0 where unknown.
    stack_paths : tuple of Path
        Image files.
    stack_index : (N,) int32
        Index into `stack_paths`.
    slice_index : (N,) int64
        Image inside its stack, from 0.
    source : Path
        File the particles were read from.
    grid : tuple of int and float, or None
        Box and Å per pixel of the map that the particles are compared with; None for what follows from their groups.
    """

    rotation: npt.NDArray[np.float32]
    shift: npt.NDArray[np.float32]
    defocus: npt.NDArray[np.float32]
    phase_shift: npt.NDArray[np.float32]
    b_factor: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]
    beam_tilt: npt.NDArray[np.float32]
    optics_index: npt.NDArray[np.int32]
    optics: tuple[OpticsGroup, ...]
    half_set: npt.NDArray[np.int8]
    stack_paths: tuple[Path, ...]
    stack_index: npt.NDArray[np.int32]
    slice_index: npt.NDArray[np.int64]
    source: Path
    grid: tuple[int, float] | None = None

    @property
    def count(self) -> int:
        """Number of particles N."""
        return len(self.rotation)

    @property
    def image_numbers(self) -> npt.NDArray[np.int64]:
        """Number (N,) of each particle's image, the same for copies of one image."""
        return image_numbers(self.stack_index, self.slice_index)

    @property
    def has_one_scale(self) -> bool:
        """Whether all optics groups have one box and one pixel size, to within a rounding of the file."""
        first = self.optics[0]
        return not any(  # so written that a pixel size that is not a number is no other scale
            group.image_size != first.image_size
            or abs(group.pixel_size - first.pixel_size) > _SAME_SCALE * first.pixel_size
            for group in self.optics
        )

    @property
    def box(self) -> int:
        """Box M in pixels of the map: that of the images, unless `grid` has another.

        Where optics groups differ, the least even one that is as wide as the widest images at the finest pixel size, so
        that no group loses resolution and slices of the map are never finer sampled than its transform.
        """
        if self.grid is not None:
            return self.grid[0]
        if self.has_one_scale:
            return self.optics[0].image_size
        widest = max(group.image_size * group.pixel_size for group in self.optics)
        return 2 * math.ceil((1 - _SAME_SCALE) * widest / self.pixel_size / 2)

    @property
    def pixel_size(self) -> float:
        """Å per pixel of the map: of `grid`, or that of the images, the finest where optics groups differ."""
        if self.grid is not None:
            return self.grid[1]
        if self.has_one_scale:
            return self.optics[0].pixel_size
        return min(group.pixel_size for group in self.optics)

    def on_grid(self, box: int, pixel_size: float) -> Self:
        """The particles as images of a map of `box` pixels of `pixel_size` angstrom.

        Raises
        ------
        InputError
            Images show more than the map, beyond its edges.
        """
        for group in self.optics:
            width = group.image_size * group.pixel_size
            if width > (1 + _SAME_WIDTH) * box * pixel_size:
                raise InputError(
                    f"{self.source}: the images of optics group {group.name} are {width:.4g} Å wide, but the map that "
                    f"they belong to only {box * pixel_size:.4g} Å ({box} px of {pixel_size:.4g} Å): crop them, with "
                    "relion_image_handler --new_box."
                )
        return replace(self, grid=(box, pixel_size))

    def by_group(
        self, indices: npt.NDArray[np.integer]
    ) -> Iterator[tuple[OpticsGroup, npt.NDArray[np.int64]]]:
        """Each optics group of some rows, and at which of `indices` its particles are."""
        groups = self.optics_index[indices]
        for group in np.unique(groups):
            yield self.optics[group], np.flatnonzero(groups == group)
