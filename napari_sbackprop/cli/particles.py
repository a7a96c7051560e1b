"""Commands about particles before training: simulate, check."""

from pathlib import Path
from typing import Annotated

import typer

from napari_sbackprop.cli.console import examples, fraction_bar, show
from napari_sbackprop.cli.options import Ctf, Json, Moved, Passthrough, Poses

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "napari-sbackprop simulate toy",
        "napari-sbackprop simulate hard --particles 20000 --box 96 --pixel-size 3 --snr 0.05",
        "napari-sbackprop simulate spike --models 6vxx.pdb.gz 6vyb.pdb.gz --states 10",
        "napari-sbackprop simulate ring --models 6vxx.pdb.gz 6vyb.pdb.gz --motion circle",
    )
)
def simulate(
    output: Annotated[Path, typer.Argument(help="new folder for particles.star, particles.mrcs and truth/")],
    states: Annotated[int, typer.Option(help="conformational states along the motion")] = 10,
    particles: Annotated[int, typer.Option(help="number of images")] = 2000,
    box: Annotated[int, typer.Option(help="side of an image in pixels, even")] = 64,
    pixel_size: Annotated[float, typer.Option(help="angstrom per pixel")] = 4.0,
    snr: Annotated[float, typer.Option(help="signal-to-noise ratio of the images; inf for none")] = 0.1,
    seed: Annotated[int, typer.Option(help="seed of poses, shifts, CTFs, states and noise")] = 0,
    models: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            help="first and last state (PDB or mmCIF) instead of the built-in complex", show_default=False
        ),
    ] = None,
    motion: Annotated[
        str,
        typer.Option(
            help="swing, circle (back to the first state), or composition (parts of the built-in complex come and go)"
        ),
    ] = "swing",
    subunit_share: Annotated[
        float | None,
        typer.Option(
            help="share of the built-in complex's particles that have its loose subunit, where it swings or circles",
            show_default=False,
        ),
    ] = None,
    contrast_sd: Annotated[
        float, typer.Option(help="standard deviation of the particles' contrasts about 1")
    ] = 0.0,
    noise_falloff: Annotated[
        float, typer.Option(help="power of the noise at low frequencies over that at Nyquist; 1: white")
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Make particles of a moving complex, with the truth beside them.

    Poses, shifts, CTFs and noise are random but known; truth/ holds the map of every state and the state of every
    particle, which the command "evaluate" compares a run with.
    """
    from napari_sbackprop.data.simulation import simulate as simulate_particles

    with fraction_bar("simulating") as progress:
        star = simulate_particles(
            output,
            states,
            particles,
            box,
            pixel_size,
            snr,
            seed,
            models,
            progress,
            motion,
            subunit_share,
            contrast_sd,
            noise_falloff,
        )
    show({"star": star, "particles": particles, "states": states, "truth": output / "truth"}, as_json)


@commands.command(
    epilog=examples(
        "napari-sbackprop check particles.star",
        "napari-sbackprop check --json particles.star | jq .errors",
        "napari-sbackprop check particles.star --path-map /old/project=/new/project",
        "napari-sbackprop check particles.star && napari-sbackprop train particles.star run",
    )
)
def check(
    path: Annotated[Path, typer.Argument(help="STAR or .cs file; also a stack, map, model or pickle")],
    passthrough: Passthrough = None,
    poses: Poses = None,
    ctf: Ctf = None,
    path_map: Moved = None,
    as_json: Json = False,
) -> None:
    """Say what a file is, and what is wrong with it.

    Lists particles, box, pixel size, optics groups and memory, then every problem. The exit code is 1 where a
    problem prevents training.
    """
    from napari_sbackprop.data.check import check as check_file
    from napari_sbackprop.data.path_map import parse_path_map

    report = check_file(path, passthrough or (), poses, ctf, parse_path_map(path_map or []))
    if as_json:
        show(vars(report), as_json)
    else:
        print(report)
    if report.errors:
        raise typer.Exit(1)
