"""The command volumes: latents in, maps out."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

CONTOUR = 3.0
"""First contour level in ChimeraX, in standard deviations of the consensus map."""


@commands.command(
    epilog=examples(
        "napari-sbackprop volumes run -o maps --kmeans 10",
        "napari-sbackprop volumes run -o maps --particle 12 --particle 840",
        "napari-sbackprop volumes run -o maps --latents latents.npy",
        "napari-sbackprop volumes run -o movie --path corners.npy --frames 30",
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
    frames: Annotated[int, typer.Option(help="number of maps along --path")] = 20,
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
    import numpy as np

    from napari_sbackprop.analysis.reconstruction import Decoder
    from napari_sbackprop.run_directory import RunDirectory

    sources = {
        "--particle": particle,
        "--latents": latents,
        "--kmeans": kmeans,
        "--path": path,
        "--basis": basis or None,
    }
    given = [name for name, value in sources.items() if value is not None and value != []]
    if len(given) != 1:
        raise InputError(f"Give one of {', '.join(sources)}, not {' and '.join(given) or 'none of them'}.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output} exists and is not empty: choose another folder.")

    decoder = Decoder.open(RunDirectory(run), epoch)
    tables: dict[str, Any] = {}
    maps: list[Callable[[], npt.NDArray[np.float32]]]
    if basis:
        maps = [
            decoder.consensus,
            *(partial(decoder.basis_volume, k) for k in range(1, len(decoder.basis))),
        ]
    else:
        tables = _latents(decoder, particle or [], latents, kmeans, path, frames)
        maps = [partial(decoder.volume, latent) for latent in tables["latents"]]
    output.mkdir(parents=True, exist_ok=True)
    files = [output / f"volume_{index:03d}.mrc" for index in range(len(maps))]
    write_maps(decoder, dict(zip(files, maps, strict=True)))
    script = None if basis else write_script(decoder, output / "volumes.cxc", files)
    for name, table in tables.items():
        np.save(output / f"{name}.npy", table)
    show(
        {
            "volumes": files,
            "chimerax": script,
            "box": decoder.box,
            "pixel_size": decoder.pixel_size,
            "epoch": decoder.latents.epoch,
        },
        as_json,
    )


def write_maps(decoder: "Decoder", maps: "Mapping[Path, Callable[[], npt.NDArray[np.float32]]]") -> None:
    """Decode maps one by one into their files, with a bar."""
    from napari_sbackprop.data.mrc import write_volume

    with fraction_bar("decoding") as progress:
        for done, (file, decode) in enumerate(maps.items(), 1):
            write_volume(file, decode(), decoder.pixel_size)
            progress(done / len(maps))


def write_script(decoder: "Decoder", script: Path, maps: Sequence[Path]) -> Path | None:
    """Write the ChimeraX script of a series of states; None for a single map, which is no series."""
    from napari_sbackprop.data.chimerax import write_series

    if len(maps) < 2:
        return None
    write_series(script, maps, CONTOUR * float(decoder.consensus().std()))
    return script


def _latents(
    decoder: "Decoder",
    particles: list[int],
    latents: Path | None,
    clusters: int | None,
    path: Path | None,
    frames: int,
) -> "dict[str, npt.NDArray[np.generic]]":
    """The latents (S, Z) that the options ask for, and for clusters the particles' labels (N,)."""
    import numpy as np

    from napari_sbackprop.analysis.clustering import kmeans
    from napari_sbackprop.analysis.trajectories import path_through

    mean = decoder.latents.mean
    if clusters is not None:
        labels, _ = kmeans(mean, clusters)
        pooled = [decoder.pooled(np.flatnonzero(labels == cluster)) for cluster in range(clusters)]
        return {"latents": np.stack(pooled), "labels": labels}
    if latents is not None:
        return {"latents": read_latents(latents, decoder.latent_size)}
    if path is not None:
        return {"latents": path_through(read_latents(path, decoder.latent_size), frames)}
    for index in particles:
        if not 0 <= index < len(mean):
            raise InputError(f"--particle is {index}, but the run has particles 0 to {len(mean) - 1}.")
    return {"latents": mean[particles]}
