"""Maps of a series of states, as files with a ChimeraX script."""

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.analysis.reconstruction import Decoder
from napari_sbackprop.data.chimerax import write_series as write_chimerax
from napari_sbackprop.data.mrc import write_volume
from napari_sbackprop.data.output_file import new_folder

Array = npt.NDArray[np.float32]

CONTOUR = 3.0
"""First contour level in ChimeraX, in standard deviations of the consensus map."""


def write_states(
    decoder: Decoder, tables: Mapping[str, npt.NDArray[np.generic]], folder: Path
) -> Generator[float]:
    """Write the maps of a series of states, their ChimeraX script volumes.cxc, and tables, to a new folder.

    Parameters
    ----------
    tables : arrays that become .npy files; one of them is "latents" (S, Z), and each of its rows becomes a map.

    Yields
    ------
    The share of the maps that is written.
    """
    with new_folder(folder) as temporary:
        files = map_files(temporary, len(tables["latents"]))
        decode = [partial(decoder.volume, latent) for latent in tables["latents"]]
        yield from write_maps(decoder, dict(zip(files, decode, strict=True)))
        write_script(decoder, temporary / script_file(folder).name, files)
        for name, table in tables.items():
            np.save(temporary / f"{name}.npy", table)


def cluster_states(decoder: Decoder, labels: npt.NDArray[np.integer]) -> dict[str, npt.NDArray[np.generic]]:
    """Tables of `write_states` for clusters, by their labels (N,) from 0: a latent each, from its pooled evidence."""
    pooled = [decoder.pooled(np.flatnonzero(labels == cluster)) for cluster in range(int(labels.max()) + 1)]
    return {"latents": np.stack(pooled), "labels": labels}


def write_maps(decoder: Decoder, maps: Mapping[Path, Callable[[], Array]]) -> Generator[float]:
    """Decode maps one by one into their files; yields the share that is written."""
    for done, (file, decode) in enumerate(maps.items(), 1):
        write_volume(file, decode(), decoder.pixel_size)
        yield done / len(maps)


def write_script(decoder: Decoder, script: Path, maps: Sequence[Path]) -> None:
    """Write the ChimeraX script of a series of states; a single map is no series and gets none."""
    if len(maps) > 1:
        write_chimerax(script, maps, CONTOUR * float(decoder.consensus().std()))


def map_files(folder: Path, count: int) -> list[Path]:
    """Names of the maps of a series."""
    return [folder / f"volume_{index:03d}.mrc" for index in range(count)]


def script_file(folder: Path) -> Path:
    """Name of the script of a series."""
    return folder / "volumes.cxc"
