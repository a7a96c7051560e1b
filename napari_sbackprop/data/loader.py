"""Images of chosen particles, read from their stacks."""

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.mrc import open_stack
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.errors import InputError


def read_images(particles: Particles, indices: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """Read the images of some particles, in the order of `indices`.

    Each stack is opened once, and read from front to back.

    Parameters
    ----------
    particles : where the images are.
    indices : (n,) rows of `particles`, whose images have one size; any order, repetitions allowed.

    Returns
    -------
    (n, M, M) float32 [y, x], as stored.

    Raises
    ------
    InputError
        A stack cannot be read, or an image holds values that are not finite.
    """
    rows = indices.astype(np.int64)
    sizes = {particles.optics[group].image_size for group in np.unique(particles.optics_index[rows])}
    if len(sizes) > 1:
        raise ValueError(
            f"the images are of several sizes, {sorted(sizes)} px: read each optics group by itself"
        )
    size = sizes.pop() if sizes else particles.box
    images = np.empty((len(rows), size, size), dtype=np.float32)
    order = np.lexsort((particles.slice_index[rows], particles.stack_index[rows]))
    stacks = particles.stack_index[rows][order]
    starts = np.flatnonzero(np.diff(stacks, prepend=-1))
    for positions in np.split(order, starts[1:]):
        if len(positions):
            path = particles.stack_paths[particles.stack_index[rows[positions[0]]]]
            images[positions] = open_stack(path)[particles.slice_index[rows[positions]]]
    _refuse_not_finite(particles, rows, images)
    return images


def _refuse_not_finite(
    particles: Particles, rows: npt.NDArray[np.int64], images: npt.NDArray[np.float32]
) -> None:
    finite = np.isfinite(images).all(axis=(1, 2))
    if not finite.all():
        row = int(rows[np.flatnonzero(~finite)[0]])
        path = particles.stack_paths[particles.stack_index[row]]
        raise InputError(
            f"{path}: image {particles.slice_index[row] + 1} (row {row + 1} of {particles.source}) holds "
            "values that are not finite; remove the row or extract the image again."
        )
