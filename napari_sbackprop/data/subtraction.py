"""Particles from which RELION has subtracted signal: rlnImageOriginalName names each image as it was before."""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.data.blocks import Block, StarText, read_star
from napari_sbackprop.data.findings import Findings
from napari_sbackprop.data.image_names import IMAGE_NAME, ORIGINAL_NAME, parse_image_names
from napari_sbackprop.data.image_search import locate_stacks
from napari_sbackprop.data.lookup import OPTICS_GROUP, match_optics
from napari_sbackprop.data.mrc import read_header
from napari_sbackprop.data.path_map import PathMap, moved
from napari_sbackprop.data.replacement import Texts, write_replaced, written_values
from napari_sbackprop.data.star_kind import optics_block, particle_block
from napari_sbackprop.errors import InputError

logger = logging.getLogger(__name__)

_SIZE = "rlnImageSize"


def write_reverted(
    source: Path, indices: npt.NDArray[np.integer], output: Path, project: Path, path_map: PathMap = ()
) -> None:
    """Write chosen particles with the names of their images before and after subtraction swapped.

    As by relion_particle_subtract --revert, the boxes of optics groups become those of the images before, and all else
    stays: shifts too, which fit these images unless the subtraction moved the centre.

    Parameters
    ----------
    source : STAR file of subtracted particles.
    indices : (n,) rows to keep, from 0.
    output : new file; an existing one is refused.
    project : folder that image names are relative to, or a file or folder below it.
    path_map : folders of images that moved.

    Raises
    ------
    InputError
        The file does not name images before subtraction, or one whose box is needed is not there.
    """
    text = read_star(source)
    block = particle_block(text)
    if ORIGINAL_NAME not in block:
        raise InputError(
            f"{source} has no {ORIGINAL_NAME}, so its images were not subtracted: leave --revert out."
        )
    after, before = written_values(text, block, (IMAGE_NAME, ORIGINAL_NAME))
    boxes = _boxes_before(text, block, indices, project, path_map)
    write_replaced(text, {IMAGE_NAME: before, ORIGINAL_NAME: after}, output, indices, boxes)


def _boxes_before(
    text: StarText, block: Block, indices: npt.NDArray[np.integer], project: Path, path_map: PathMap
) -> Texts:
    """Boxes of the chosen rows' optics groups before subtraction, where they differ from those of the file."""
    optics = optics_block(text)
    if optics is None or _SIZE not in optics:
        return {}
    findings = Findings(text.path)
    columns, table = block.columns((ORIGINAL_NAME, OPTICS_GROUP)), optics.columns((OPTICS_GROUP, _SIZE))
    names = parse_image_names(columns.texts[ORIGINAL_NAME], findings, ORIGINAL_NAME)
    group_of_row = match_optics(columns, table, findings).optics_row[indices]
    findings.raise_first()
    sizes = table.texts[_SIZE].tolist()
    for place, first in zip(*np.unique(group_of_row, return_index=True), strict=True):
        box = _box(names.stack_of(indices[first]), text.path, project, path_map)
        if box != table.numbers(_SIZE)[place]:
            logger.warning(
                "%s: images of optics group %d are %d px wide before subtraction and %s px after it. If they were also "
                "re-centred, their shifts do not fit the wide ones: take those rows by --original instead.",
                *(text.path, table.numbers(OPTICS_GROUP)[place], box, sizes[place].decode()),
            )
            sizes[place] = b"%d" % box
    return {} if sizes == table.texts[_SIZE].tolist() else {_SIZE: sizes}


def _box(name: str, source: Path, project: Path, path_map: PathMap) -> int:
    path = locate_stacks([moved(name, path_map)], project)[0]
    if path is None:
        raise InputError(
            f"{source} names {name} as an image before subtraction, but it is not there to tell its box: revert where "
            "the images are, or take the rows of the original particles by --original."
        )
    return read_header(path).shape[2]
