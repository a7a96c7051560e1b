"""Commands that make runs, or run a model over particles: train, encode, adopt."""

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from napari_sbackprop.cli.console import examples, follow, show, stop_on_signal
from napari_sbackprop.cli.options import (
    Ctf,
    Epoch,
    Json,
    Moved,
    Passthrough,
    Poses,
    Run,
    Star,
    chosen,
    with_config_flags,
)
from napari_sbackprop.config import RESUMABLE, Config
from napari_sbackprop.errors import InputError

commands = typer.Typer()

STOPPED = 130
"""Exit code of a training that was asked to stop, the shell's code for Ctrl-C."""


@commands.command(
    epilog=examples(
        "napari-sbackprop train particles.star run",
        "napari-sbackprop train particles.star run --resolution 8 --mask-diameter 180 --device cuda",
        "napari-sbackprop train J24/cryosparc_P12_J24_001_particles.cs run",
        "napari-sbackprop train particles.mrcs run --poses pose.pkl --ctf ctf.pkl",
        "napari-sbackprop train particles.star run --resume --epochs 20",
    )
)
@with_config_flags
def train(
    context: typer.Context,
    star: Star,
    run: Annotated[Path, typer.Argument(help="run directory: a new one, or with --resume an existing one")],
    passthrough: Passthrough = None,
    poses: Poses = None,
    ctf: Ctf = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with a run from its last epoch")] = False,
    path_map: Moved = None,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Learn the conformations of particles.

    Every finished epoch is complete in itself, so the run can be explored meanwhile, here or on another machine.
    Ctrl-C stops after the step and keeps the last epoch; --resume goes on from there, with the options of the run.
    """
    from napari_sbackprop.data.path_map import parse_path_map
    from napari_sbackprop.data.source import open_source
    from napari_sbackprop.run_directory import RunDirectory
    from napari_sbackprop.training.trainer import train as train_run

    config = _resumed(RunDirectory(run).config, chosen(context, options)) if resume else Config(**options)
    moved = parse_path_map(path_map or [])
    source = star if resume else open_source(star, passthrough or (), poses, ctf, path_map=moved)
    start = perf_counter()
    with stop_on_signal() as stop:
        published = follow(train_run(source, run, config, stop=stop, resume=resume, path_map=moved))
    show(
        {
            "run": run,
            "epochs": [record.epoch for record in published],
            "stopped": stop.is_set(),
            "seconds": perf_counter() - start,
            "metrics": published[-1].metrics if published else {},
        },
        as_json,
    )
    if stop.is_set():
        raise typer.Exit(STOPPED)


def refuse_changes(stored: Config, asked: Config) -> None:
    """Refuse options that differ from those of the run that goes on; what its model is made of cannot change."""
    before, after = stored.to_json(), asked.to_json()
    for name in sorted(set(before) - RESUMABLE):
        if before[name] != after[name]:
            raise InputError(
                f"--{name} is {after[name]}, but the run to go on with has {before[name]}: start a new one to change it."
            )


def _resumed(stored: Config, given: dict[str, Any]) -> Config:
    """Options of a run that goes on; what its model is made of cannot change."""
    if fixed := sorted(set(given) - RESUMABLE):
        name = fixed[0].replace("_", "-")
        raise InputError(
            f"--{name} cannot be given with --resume: the run keeps its own; start a new run to change it."
        )
    return replace(stored, **given)


@commands.command(
    epilog=examples(
        "napari-sbackprop encode run new_particles.star -o latents.npz",
        "napari-sbackprop encode run new_particles.star -o latents.npz --amortised",
    )
)
def encode(
    run: Run,
    star: Star,
    output: Annotated[Path, typer.Option("-o", "--output", help="new .npz file")],
    passthrough: Passthrough = None,
    poses: Poses = None,
    ctf: Ctf = None,
    exact: Annotated[
        bool, typer.Option("--exact/--amortised", help="refine the encoder's answer to the exact posterior")
    ] = True,
    path_map: Moved = None,
    epoch: Epoch = None,
    as_json: Json = False,
) -> None:
    """Find the latents of particles not trained on.

    The file gets "mean" and "log_variance" of shape (N, Z) and "contrast" and "scale" (N), one row per particle.
    """
    import numpy as np

    from napari_sbackprop.data.output_file import new_file, require_ending
    from napari_sbackprop.data.path_map import parse_path_map
    from napari_sbackprop.data.source import open_source
    from napari_sbackprop.training.encoding import encode as encode_particles

    require_ending(output, ".npz")
    moved = parse_path_map(path_map or [])
    with new_file(output) as temporary:
        source = open_source(star, passthrough or (), poses, ctf, path_map=moved)
        latents = encode_particles(run, source, exact, epoch, moved)
        with temporary.open("wb") as file:
            arrays = {name: getattr(latents, name) for name in ("mean", "log_variance", "contrast", "scale")}
            np.savez(file, **arrays)
    count, size = latents.mean.shape
    show({"latents": output, "particles": count, "latent_size": size, "epoch": latents.epoch}, as_json)


@commands.command(
    epilog=examples(
        "napari-sbackprop adopt drgn particles.star run",
        "napari-sbackprop adopt drgn particles.mrcs run --poses pose.pkl --ctf ctf.pkl --epoch 20",
        "napari-sbackprop select run -o state.star --cluster 3",
        "napari-sbackprop explore run",
    )
)
def adopt(
    results: Annotated[Path, typer.Argument(help="folder that cryoDRGN's training wrote, with z.N.pkl")],
    star: Star,
    run: Annotated[Path, typer.Argument(help="new run directory")],
    passthrough: Passthrough = None,
    poses: Poses = None,
    ctf: Ctf = None,
    path_map: Moved = None,
    epoch: Epoch = None,
    as_json: Json = False,
) -> None:
    """Make a run from a finished one of cryoDRGN, to explore and to select particles.

    It holds latents, the UMAP embedding and the k-means clusters, and no decoder: explore, embed, select, classes and
    reconstruct work on it, and select writes the particles in the format they came in.
    """
    from napari_sbackprop.analysis.adoption import adopt as adopt_run
    from napari_sbackprop.data.path_map import parse_path_map
    from napari_sbackprop.data.source import open_source

    moved = parse_path_map(path_map or [])
    source = open_source(star, passthrough or (), poses, ctf, path_map=moved)
    directory = adopt_run(results, source, run, epoch, moved)
    latents = directory.read_latents(directory.latest_epoch())
    count, size = latents.mean.shape
    show({"run": run, "particles": count, "latent_size": size, "epoch": latents.epoch}, as_json)
