"""Commands about a finished run: embed, pickles, poses, evaluate, explore."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from napari_sbackprop.cli.console import examples, show
from napari_sbackprop.cli.options import Epoch, Json, Method, Run, checked_method
from napari_sbackprop.errors import InputError

commands = typer.Typer()


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
        "napari-sbackprop pickles run -o drgn",
        "cryodrgn backproject_voxel particles.mrcs --poses drgn/poses.pkl --ctf drgn/ctf.pkl --ind state.pkl -o maps",
        "cryodrgn graph_traversal drgn/z.6.pkl --anchors 10 200 3000 -o path.txt",
    )
)
def pickles(
    run: Run,
    output: Annotated[Path, typer.Option("-o", "--output", help="new folder")],
    epoch: Epoch = None,
    as_json: Json = False,
) -> None:
    """Write a run's latents, poses and CTFs for cryoDRGN.

    The folder gets poses.pkl, ctf.pkl, z.EPOCH.pkl (mean, then log variance) and, where the run has an embedding,
    umap.pkl, one row per particle. "select -o state.pkl" writes a selection for --ind.
    """
    from napari_sbackprop.analysis.pickles import write_pickles

    files = write_pickles(run, output, epoch)
    show({"folder": output, "files": [file.name for file in files]}, as_json)


@commands.command(
    epilog=examples(
        "napari-sbackprop train particles.star run --refine-poses",
        "napari-sbackprop poses run -o refined.star",
    )
)
def poses(
    run: Run,
    output: Annotated[Path, typer.Option("-o", "--output", help="new STAR file")],
    as_json: Json = False,
) -> None:
    """Write the particles with the poses and defocus values that a run has refined.

    Of a run with --refine-poses the angles and shifts, with --refine-ctf the defocus values of the newest epoch take the
    place of those in the run's STAR file, which else stays byte for byte.
    """
    from napari_sbackprop.training.refined_star import write_refined

    columns = write_refined(run, output)
    show({"star": output, "columns": columns}, as_json)


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
