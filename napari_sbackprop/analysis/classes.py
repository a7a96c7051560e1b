"""Clusters as classes of RELION: a STAR file of all particles, each with the number of its cluster."""

import json
from pathlib import Path

import numpy as np

from napari_sbackprop.analysis.clustering import NO_CLUSTER, Clustering
from napari_sbackprop.analysis.selection import note_path
from napari_sbackprop.data.blocks import read_star
from napari_sbackprop.data.output_file import new_file, require_ending, require_room
from napari_sbackprop.data.replacement import write_replaced
from napari_sbackprop.run_directory import RunDirectory

LABEL = "rlnClassNumber"


def export_classes(run: RunDirectory, clustering: Clustering, output: Path) -> list[int]:
    """Write all particles of a run with their clusters as classes, beside a note that says how they were made.

    Cluster i is class i + 1, for RELION counts from 1; particles in no cluster are the class after the last. The column
    is replaced, or added as the last one; all other bytes stay as they are.

    Parameters
    ----------
    output : new STAR file; an existing one is refused.

    Returns
    -------
    Particles in each class, from the first.
    """
    require_ending(output, ".star")
    labels = np.where(clustering.labels == NO_CLUSTER, len(clustering.sizes), clustering.labels)
    counts = np.bincount(labels).tolist()
    note = {"run": str(run.path), "source": str(run.star_path), **clustering.provenance, "classes": counts}
    require_room(output)  # neither file is written where one of them cannot be
    with new_file(note_path(output)) as temporary:
        temporary.write_text(json.dumps(note) + "\n")
        classes = [b"%d" % (label + 1) for label in labels.tolist()]
        write_replaced(read_star(run.star_path), {LABEL: classes}, output)
    return counts
