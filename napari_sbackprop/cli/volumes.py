"""The command volumes: latents in, maps out."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sbackprop.cli.arrays import read_latents
from napari_sbackprop.cli.console import examples, fraction_bar, show
from napari_sbackprop.cli.options import Epoch, Json, Run
from napari_sbackprop.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_sbackprop.analysis.reconstruction import Decoder

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "napari-sbackprop volumes run -o maps --kmeans 10",
        "napari-sbackprop volumes run -o maps --particle 12 --particle 840",
        "napari-sbackprop volumes run -o maps --latents latents.npy",
        "napari-sbackprop volumes run -o movie --path corners.npy --frames 30",
        "napari-sbackprop volumes run -o movie --between 12 840",
        "napari-sbackprop volumes run -o basis --basis",
    )
)
def volumes(
    run: Run,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="folder for volume_000.mrc, volume_001.mrc ...")
    ],
    particle: Annotated[
        list[int] | None,
        typer.Option(help="map at the latent of a particle, counted from 0; repeat for more"),
    ] = None,
    latents: Annotated[
        Path | None, typer.Option(help="map at every row of an (S, Z) array in an .npy file, in that order")
    ] = None,
    kmeans: Annotated[
        int | None, typer.Option(help="map of each of so many clusters, from its pooled evidence")
    ] = None,
    path: Annotated[
        Path | None, typer.Option(help="maps along the line through the rows of an .npy file")
    ] = None,
    between: Annotated[
        tuple[int, int] | None,
        typer.Option(
            help="maps along the shortest path through dense regions from one particle to another, counted from 0"
        ),
    ] = None,
    frames: Annotated[int, typer.Option(help="number of maps along --path or --between")] = 20,
    basis: Annotated[
        bool, typer.Option("--basis", help="the consensus map (000) and the basis volumes")
    ] = False,
    epoch: Epoch = None,
    as_json: Json = False,
) -> None:
    """Decode maps of particles, clusters, a path or latents.

    The maps' latents are written beside them, to latents.npy, and so are the particles' clusters, to labels.npy. Several
    maps of states come with volumes.cxc, which shows them in ChimeraX as a series at one contour level.
    """
    from napari_sbackprop.analysis.reconstruction import Decoder
    from napari_sbackprop.analysis.volume_series import map_files, script_file, write_states
    from napari_sbackprop.run_directory import RunDirectory

    sources = {
        "--particle": particle,
        "--latents": latents,
        "--kmeans": kmeans,
        "--path": path,
        "--between": between,
        "--basis": basis or None,
    }
    given = [name for name, value in sources.items() if value is not None and value != []]
    if len(given) != 1:
        raise InputError(f"Give one of {', '.join(sources)}, not {' and '.join(given) or 'none of them'}.")

    decoder = Decoder.open(RunDirectory(run), epoch)
    if basis:
        count = len(decoder.basis)
        work = _write_basis(decoder, output)
    else:
        tables = _latents(decoder, particle or [], latents, kmeans, path, between, frames)
        count = len(tables["latents"])
        work = write_states(decoder, tables, output)
    with fraction_bar("decoding") as progress:
        for share in work:
            progress(share)
    script = script_file(output)
    show(
        {
            "volumes": map_files(output, count),
            "chimerax": script if script.is_file() else None,
            "box": decoder.box,
            "pixel_size": decoder.pixel_size,
            "epoch": decoder.latents.epoch,
        },
        as_json,
    )


def _write_basis(decoder: "Decoder", output: Path) -> Iterator[float]:
    """Write the consensus map and the basis volumes to a new folder; yields the share that is written."""
    from napari_sbackprop.analysis.volume_series import map_files, write_maps
    from napari_sbackprop.data.output_file import new_folder

    volumes: list[Callable[[], npt.NDArray[np.float32]]]
    volumes = [decoder.consensus, *(partial(decoder.basis_volume, k) for k in range(1, len(decoder.basis)))]
    with new_folder(output) as folder:
        yield from write_maps(decoder, dict(zip(map_files(folder, len(volumes)), volumes, strict=True)))


def _latents(
    decoder: "Decoder",
    particles: list[int],
    latents: Path | None,
    clusters: int | None,
    path: Path | None,
    between: tuple[int, int] | None,
    frames: int,
) -> "dict[str, npt.NDArray[np.generic]]":
    """The latents (S, Z) that the options ask for, and for clusters the particles' labels (N,)."""
    from napari_sbackprop.analysis.clustering import kmeans
    from napari_sbackprop.analysis.trajectories import path_through
    from napari_sbackprop.analysis.volume_series import cluster_states

    mean = decoder.latents.mean
    if clusters is not None:
        labels, _ = kmeans(mean, clusters)
        return cluster_states(decoder, labels)
    if latents is not None:
        return {"latents": read_latents(latents, decoder.latent_size)}
    if path is not None:
        corners = read_latents(path, decoder.latent_size)
        if len(corners) < 2:
            raise InputError(f"{path} must have at least two rows for --path, one for each corner.")
        return {"latents": path_through(corners, frames)}
    if between is not None:
        first, last = _checked("--between", between, len(mean))
        return {"latents": path_through(_dense_path(mean, first, last), frames)}
    return {"latents": mean[_checked("--particle", particles, len(mean))]}


def _dense_path(mean: "npt.NDArray[np.float32]", first: int, last: int) -> "npt.NDArray[np.float32]":
    """Latents (V, Z) from one particle to another through dense regions."""
    import numpy as np

    from napari_sbackprop.analysis.trajectories import NeighbourGraph

    if first == last:
        raise InputError(f"--between is {first} {last}, but a path needs two particles: give another one.")
    way = NeighbourGraph.build(mean).path(mean[first], mean[last]) @ mean
    return np.concatenate([mean[[first]], way[1:-1], mean[[last]]])  # the graph may lack the two themselves


def _checked(option: str, particles: Sequence[int], count: int) -> list[int]:
    for index in particles:
        if not 0 <= index < count:
            raise InputError(f"{option} is {index}, but the run has particles 0 to {count - 1}.")
    return list(particles)
