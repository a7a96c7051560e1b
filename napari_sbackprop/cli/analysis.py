"""Commands about a finished run: embed, select, evaluate, explore."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_sbackprop.cli.arrays import read_array
from napari_sbackprop.cli.console import examples, show
from napari_sbackprop.cli.options import Epoch, Json, Run, checked_method
from napari_sbackprop.errors import InputError

if TYPE_CHECKING:
    from napari_sbackprop.analysis.selection import ParticleSelection
    from napari_sbackprop.run_directory import RunDirectory

commands = typer.Typer()

Method = Annotated[str, typer.Option(help="umap or pca")]


@commands.command(epilog=examples("napari-sbackprop embed run", "napari-sbackprop embed run --method pca"))
def embed(run: Run, method: Method = "umap", epoch: Epoch = None, as_json: Json = False) -> None:
    """Map the latents to two dimensions.

    The explorer shows the result, which is kept in the run, and select --polygon refers to it.
    """
    from napari_sbackprop.analysis.embedding import embed as embed_run

    embedding = embed_run(run, epoch, checked_method(method))
    show(
        {"run": run, "method": method, "particles": len(embedding.coordinates), "epoch": embedding.epoch},
        as_json,
    )


@commands.command(
    epilog=examples(
        "napari-sbackprop select run -o state.star --kmeans 10 --cluster 3",
        "napari-sbackprop select run -o good.star --min-contrast 0.5",
        "napari-sbackprop select run -o state.star --indices chosen.npy",
        "napari-sbackprop select run -o state.star --polygon outline.json --original unbinned.star",
    )
)
def select(
    run: Run,
    output: Annotated[Path, typer.Option("-o", "--output", help="new STAR file")],
    indices: Annotated[
        Path | None, typer.Option(help=".npy file of particle numbers from 0, or of true/false")
    ] = None,
    polygon: Annotated[
        Path | None, typer.Option(help="JSON file [[x, y], ...]: an outline in the embedding")
    ] = None,
    kmeans: Annotated[int | None, typer.Option(help="number of clusters that --cluster counts in")] = None,
    cluster: Annotated[
        int | None, typer.Option(help="cluster to take, from 0, as volumes --kmeans counts")
    ] = None,
    min_contrast: Annotated[
        float | None,
        typer.Option(help="least contrast: particles score near 1, noise and wrong objects near 0"),
    ] = None,
    method: Method = "umap",
    original: Annotated[
        Path | None,
        typer.Option(help="take the rows of another STAR file of these images, e.g. unbinned ones"),
    ] = None,
    unique_images: Annotated[
        bool, typer.Option("--unique-images", help="one row per image, for symmetry-expanded particles")
    ] = False,
    epoch: Epoch = None,
    as_json: Json = False,
) -> None:
    """Write some of the particles to a STAR file.

    Rows stay as they are, byte for byte. Beside it, a .json file of the same name records how the particles were
    chosen.
    """
    from napari_sbackprop.analysis.selection import export_selection
    from napari_sbackprop.run_directory import RunDirectory

    directory = RunDirectory(run)
    given = [
        name
        for name, value in {
            "--indices": indices,
            "--polygon": polygon,
            "--cluster": cluster,
            "--min-contrast": min_contrast,
        }.items()
        if value is not None
    ]
    if len(given) != 1 or (cluster is None) != (kmeans is None):
        raise InputError(
            "Give one of --indices FILE, --polygon FILE, --min-contrast X, or --kmeans K with --cluster I."
        )
    epoch = directory.latest_epoch() if epoch is None else epoch
    if indices is not None:
        selection = _from_indices(directory, epoch, indices, output.stem)
    elif polygon is not None:
        selection = _from_polygon(directory, epoch, polygon, checked_method(method), output.stem)
    elif min_contrast is not None:
        selection = _from_contrast(directory, epoch, min_contrast, output.stem)
    else:
        selection = _from_cluster(directory, epoch, kmeans or 0, cluster or 0, output.stem)
    rows = export_selection(directory, selection, output, original, unique_images)
    show({"star": output, "particles": len(selection.indices), "rows": rows, "epoch": epoch}, as_json)


@commands.command(
    epilog=examples(
        "napari-sbackprop evaluate run toy/truth",
        "napari-sbackprop evaluate --json run toy/truth > scores.json",
    )
)
def evaluate(
    run: Run,
    truth: Annotated[Path, typer.Argument(help="folder truth/ that simulate wrote")],
    epoch: Epoch = None,
    as_json: Json = False,
) -> None:
    """Compare a run on simulated particles with the truth.

    Fourier shell correlation of each state's map, whole and within what moves, beside that of the consensus map; and
    how well the latents tell the states apart.
    """
    from napari_sbackprop.analysis.evaluation import evaluate as evaluate_run

    show(vars(evaluate_run(run, truth, epoch)), as_json)


@commands.command(epilog=examples("napari-sbackprop explore run", "napari-sbackprop explore"))
def explore(
    run: Annotated[
        Path | None, typer.Argument(help="run directory that train made", show_default=False)
    ] = None,
) -> None:
    """Open the explorer in napari.

    Drag through the latent space, and the map follows.
    """
    from napari_sbackprop.run_directory import RunDirectory

    if run is not None:
        RunDirectory(run)  # refused before a window opens
    open_explorer(run)


def has_screen() -> bool:
    """Whether a window can be opened here."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def open_explorer(run: Path | None) -> None:
    """Start napari with the explorer; returns when its window is closed."""
    if not has_screen():
        raise InputError("There is no screen to open the explorer on: copy the run to a machine with one.")
    try:
        from napari_sbackprop.gui.app import explore as explore_run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("napari_sbackprop"):
            raise
        raise InputError(
            f'The explorer needs napari and Qt ({error.name} is missing): pip install "napari-sbackprop[all]".'
        ) from error
    explore_run(run)


def _from_indices(run: "RunDirectory", epoch: int, path: Path, name: str) -> "ParticleSelection":
    from napari_sbackprop.analysis.selection import ParticleSelection, checked_indices

    count = len(run.read_latents(epoch).mean)
    return ParticleSelection(
        name, checked_indices(read_array(path), count, str(path)), {"indices_file": str(path)}
    )


def _from_polygon(run: "RunDirectory", epoch: int, path: Path, method: str, name: str) -> "ParticleSelection":
    from napari_sbackprop.analysis.embedding import embed as embed_run
    from napari_sbackprop.analysis.selection import ParticleSelection, inside_polygon

    try:
        vertices: Any = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}): write [[x, y], [x, y], ...].") from error
    chosen = inside_polygon(embed_run(run.path, epoch, method).coordinates, vertices)
    return ParticleSelection(name, chosen, {"polygon": vertices, "method": method, "epoch": epoch})


def _from_contrast(run: "RunDirectory", epoch: int, least: float, name: str) -> "ParticleSelection":
    import numpy as np

    from napari_sbackprop.analysis.selection import ParticleSelection

    contrast = run.read_latents(epoch).contrast
    if np.isnan(contrast).all():
        raise InputError(
            f"{run.path} has no contrast in epoch {epoch}: only the default recipe measures it; train again with it."
        )
    chosen = np.flatnonzero(contrast >= least)
    if not len(chosen):
        raise InputError(
            f"--min-contrast is {least:g}, but the highest contrast is {np.nanmax(contrast):.3g}: lower it."
        )
    return ParticleSelection(name, chosen, {"min_contrast": least, "epoch": epoch})


def _from_cluster(
    run: "RunDirectory", epoch: int, clusters: int, cluster: int, name: str
) -> "ParticleSelection":
    import numpy as np

    from napari_sbackprop.analysis.selection import ParticleSelection, kmeans

    if not 0 <= cluster < clusters:
        raise InputError(f"--cluster is {cluster}, but must be from 0 to {clusters - 1}.")
    labels, _ = kmeans(run.read_latents(epoch).mean, clusters)
    return ParticleSelection(
        name, np.flatnonzero(labels == cluster), {"kmeans": clusters, "cluster": cluster, "epoch": epoch}
    )
