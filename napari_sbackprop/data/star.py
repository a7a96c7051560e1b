"""Particles in RELION's STAR files, of RELION 3.0 to 5, or in files that are understood as one."""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.blocks import read_star, readable
from napari_sbackprop.data.image_search import find_images
from napari_sbackprop.data.optics import check_groups
from napari_sbackprop.data.particle_table import read_particle_table
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.path_map import PathMap
from napari_sbackprop.data.source import ParticleSource, open_source
from napari_sbackprop.data.star_kind import particle_block

logger = logging.getLogger(__name__)


def read_particles(
    source: Path | ParticleSource, project: Path | None = None, path_map: PathMap = ()
) -> Particles:
    """Read particles and find their images.

    Parameters
    ----------
    source : STAR file of a refinement, as RELION 3.0, 3.1, 4 or 5 writes it; or what `open_source` gave.
    project : folder that image names are relative to, or a file or folder below it; by default the file.
    path_map : folders of images that moved since the file was written.

    Raises
    ------
    InputError
        Something cannot be used; the sentence names the file, the row and what to do.
    """
    opened = source if isinstance(source, ParticleSource) else open_source(source)
    findings = opened.findings
    table = read_particle_table(opened.text, findings)
    findings.raise_first()
    particles = find_images(table, project or opened.path, findings, path_map)
    check_groups(particles.optics, findings)
    findings.raise_first()
    for warning in findings.warnings:
        logger.warning(warning)
    return particles


def read_columns(path: Path, labels: Iterable[str] | None = None) -> dict[str, npt.NDArray[np.generic]]:
    """Columns of the particle table by label, such as rlnDefocusU, for colouring and choosing.

    Parameters
    ----------
    path : STAR file with particles; its images need not be there.
    labels : columns to read; by default all. Labels that the table lacks are left out.

    Returns
    -------
    (N,) int64, float64 or object (str) arrays, the first of these that fits all rows.
    """
    block = particle_block(read_star(Path(path)))
    columns = block.columns(block.labels if labels is None else labels)
    return {label: _best_type(texts) for label, texts in columns.texts.items()}


def _best_type(texts: npt.NDArray[np.bytes_]) -> npt.NDArray[np.generic]:
    if not (np.char.find(texts, b"_") >= 0).any():  # Python reads 2018_10 as a number
        for dtype in (np.int64, np.float64):
            try:
                return texts.astype(dtype)
            except (ValueError, OverflowError):
                continue
    values = np.empty(len(texts), dtype=object)
    values[:] = [
        sys.intern(readable(text)) for text in texts.tolist()
    ]  # most strings repeat: one copy of each
    return values
