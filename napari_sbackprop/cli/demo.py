"""The command demo: a whole project on simulated particles."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_sbackprop.cli.analysis import has_screen, open_explorer
from napari_sbackprop.cli.console import examples, follow, fraction_bar, show
from napari_sbackprop.cli.options import Json
from napari_sbackprop.config import Config
from napari_sbackprop.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

commands = typer.Typer()

CLUSTERS = 10
RECORD = "demo.json"
"""Sizes and seconds of a demo; a folder that holds it is a demo's and may be replaced."""
PARTS = ("particles", "run", "maps", "selected.star", "selected.json", "latents.png", "explorer.png", RECORD)
SCREENSHOT_SECONDS = 300


@commands.command(
    epilog=examples(
        "napari-sbackprop demo",
        "napari-sbackprop demo --headless --output /tmp/demo --particles 500 --box 48",
    )
)
def demo(
    output: Annotated[
        Path, typer.Option(help="folder for everything; a previous demo in it is replaced")
    ] = Path("demo"),
    headless: Annotated[bool, typer.Option("--headless", help="do not open the explorer at the end")] = False,
    particles: Annotated[int, typer.Option(help="number of simulated particles")] = 2000,
    box: Annotated[int, typer.Option(help="side of an image in pixels; the complex stays the same")] = 64,
    as_json: Json = False,
) -> None:
    """Try everything on simulated particles.

    Simulate, check, train, embed, evaluate, decode, select, export, explore. Leaves particles, run, maps, a STAR
    file of one cluster, a picture of the latents and one of the explorer in the output folder, and prints how well
    the states were found. Opens the explorer where there is a screen.
    """
    import numpy as np

    start = perf_counter()
    _make_room(output)
    star, run = output / "particles" / "particles.star", output / "run"
    truth = star.parent / "truth"
    _simulate_and_train(star, run, particles, box)
    values = {**_scores(run, truth), **_export(run, output, np.load(truth / "labels.npy"))}
    values["explorer"] = take_screenshot(run, output / "explorer.png")
    values["seconds"] = perf_counter() - start
    (output / RECORD).write_text(
        json.dumps({"particles": particles, "box": box, "seconds": values["seconds"]}) + "\n"
    )
    show(values, as_json)
    if has_screen() and not headless:
        print("The explorer opens now; close its window to end the demo.", file=sys.stderr)
        open_explorer(run)


def _make_room(output: Path) -> None:
    """Remove a previous demo, refuse anything else, and mark the folder as a demo's."""
    if output.exists() and not (output / RECORD).is_file() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output} exists and is not a demo's folder: choose another with --output.")
    if saved := sorted(output.glob("run/selections/*")) + sorted(output.glob("run/volumes/*")):
        raise InputError(f"{saved[0]} would be lost: move it away, or choose another folder with --output.")
    for name in PARTS:
        part = output / name
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    (output / RECORD).write_text("{}\n")


def _simulate_and_train(star: Path, run: Path, particles: int, box: int) -> None:
    from napari_sbackprop.data.check import check
    from napari_sbackprop.data.simulation import simulate
    from napari_sbackprop.training.trainer import train

    with fraction_bar("simulating") as progress:
        simulate(star.parent, particles=particles, box=box, pixel_size=256 / box, progress=progress)
    print(check(star), file=sys.stderr)
    follow(train(star, run, Config()))


def _scores(run: Path, truth: Path) -> dict[str, Any]:
    from napari_sbackprop.analysis.evaluation import evaluate

    return vars(evaluate(run, truth))


def _export(run: Path, output: Path, states: "npt.NDArray[np.integer]") -> dict[str, Any]:
    """Embed and draw the latents, coloured by true state; decode the clusters, and write the largest as STAR."""
    import numpy as np

    from napari_sbackprop.analysis.clustering import kmeans
    from napari_sbackprop.analysis.embedding import embed
    from napari_sbackprop.analysis.reconstruction import Decoder
    from napari_sbackprop.analysis.selection import ParticleSelection, export_selection
    from napari_sbackprop.analysis.volume_series import cluster_states, write_states
    from napari_sbackprop.cli.latent_plot import plot_latents
    from napari_sbackprop.run_directory import RunDirectory

    directory = RunDirectory(run)
    decoder = Decoder.open(directory)
    labels, _ = kmeans(decoder.latents.mean, CLUSTERS)
    plot_latents(output / "latents.png", embed(run).coordinates, states)
    for _ in write_states(decoder, cluster_states(decoder, labels), output / "maps"):
        pass
    largest = int(np.bincount(labels).argmax())
    provenance = {"kmeans": CLUSTERS, "cluster": largest, "epoch": decoder.latents.epoch}
    selection = ParticleSelection("selected", np.flatnonzero(labels == largest), provenance)
    rows = export_selection(directory, selection, output / "selected.star")
    return {
        "maps": output / "maps",
        "selected": output / "selected.star",
        "selected_particles": rows,
        "latents": output / "latents.png",
    }


def take_screenshot(run: Path, picture: Path) -> Path | None:
    """Picture of the explorer, made by a process of its own; None, with a sentence, where that is impossible."""
    code = "import sys; from pathlib import Path; from napari_sbackprop.gui.screenshot import explorer_screenshot;"
    code += " explorer_screenshot(Path(sys.argv[1]), Path(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(run), str(picture)]
    if virtual := shutil.which("xvfb-run"):
        command = [virtual, "--auto-servernum", "--server-args=-screen 0 1600x1000x24", *command]
    elif not has_screen():
        print("No picture of the explorer: there is neither a screen nor xvfb-run.", file=sys.stderr)
        return None
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SCREENSHOT_SECONDS, check=False
        )
        problem = (done.stderr.strip().splitlines() or ["?"])[-1] if done.returncode else ""
    except subprocess.TimeoutExpired:
        problem = f"no answer within {SCREENSHOT_SECONDS} s"
    if problem:
        print(f"No picture of the explorer: {problem}", file=sys.stderr)
    return picture if picture.is_file() else None
