"""The commands reconstruct, residual and halves: what images show without the model, beyond it, and twice."""

import csv
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_sbackprop.cli.arrays import read_array
from napari_sbackprop.cli.console import examples, follow, fraction_bar, show, stop_on_signal
from napari_sbackprop.cli.options import Epoch, Json, Run
from napari_sbackprop.cli.training import STOPPED
from napari_sbackprop.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_sbackprop.analysis.evidence import Agreement
    from napari_sbackprop.analysis.half_models import Model
    from napari_sbackprop.analysis.reconstruction import Decoder
    from napari_sbackprop.run_directory import RunDirectory
    from napari_sbackprop.training.half_maps import HalfMaps

commands = typer.Typer()

CURVES = ("unmasked", "masked", "corrected", "decoded", "consensus")


@commands.command(
    epilog=examples(
        "napari-sbackprop reconstruct run state.star -o state_maps",
        "napari-sbackprop reconstruct run chosen.npy -o chosen_maps",
    )
)
def reconstruct(
    run: Run,
    selection: Annotated[
        Path,
        typer.Argument(help="STAR file that select or the explorer wrote, or .npy file of particle numbers"),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder for the maps and fsc.csv")],
    epoch: Epoch = None,
    as_json: Json = False,
) -> None:
    """Back-project a selection in half sets, beside its decoded map.

    Nothing of the model is in the half maps. "change" is how much of the decoded map's difference from the consensus
    they show: 1 all of it, 0 none. Whether the selection itself is more than chance, the command halves tells.
    half1_unfil.mrc and half2_unfil.mrc are ready for relion_postprocess; average.mrc is their mean, filtered by their
    agreement, beside decoded.mrc, where the run decodes maps.
    """
    from napari_sbackprop.data.mrc import write_volume
    from napari_sbackprop.data.output_file import new_folder, refuse_used_folder
    from napari_sbackprop.run_directory import RunDirectory
    from napari_sbackprop.training.half_maps import half_maps
    from napari_sbackprop.training.progress import finished

    directory = RunDirectory(run)
    epoch = directory.latest_epoch() if epoch is None else epoch
    indices = _selected(selection, run, len(directory.read_latents(epoch).mean))
    refuse_used_folder(output)
    work = half_maps(directory, indices, epoch)
    with fraction_bar("back-projecting") as progress:
        halves = finished(work, lambda done: progress(done / len(indices)))
    agreement, maps, judgement = _judged(directory, epoch, indices, halves)
    pixel_size = float(directory.read_description(epoch)["pixel_size"])
    maps = {"half1_unfil": halves.first, "half2_unfil": halves.second, "average": agreement.average, **maps}
    with new_folder(output) as folder:
        for name, volume in maps.items():
            write_volume(folder / f"{name}.mrc", volume, pixel_size)
        curves = {name: getattr(agreement, name) for name in CURVES if hasattr(agreement, name)}
        _write_curves(folder / "fsc.csv", curves, len(halves.first) * pixel_size)
    show(
        {
            "folder": output,
            "particles": len(indices),
            "half_sets": halves.counts,
            "resolution": round(agreement.resolution, 2),
            **judgement,
            "epoch": epoch,
        },
        as_json,
    )


@commands.command(
    epilog=examples(
        "napari-sbackprop residual run -o residual.mrc",
        "napari-sbackprop residual run state.star -o residual.mrc --resolution 15",
    )
)
def residual(
    run: Run,
    selection: Annotated[
        Path | None,
        typer.Argument(
            help="STAR file that select or the explorer wrote, or .npy file of particle numbers; by default all",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="new MRC file")],
    resolution: Annotated[float, typer.Option(help="angstrom; a finer map needs more particles")] = 20.0,
    epoch: Epoch = None,
    as_json: Json = False,
) -> None:
    """Map where images vary more than the model says.

    The map is the variance of what the decoder leaves of the images, in excess of noise: 0 where it explains all they
    show. High places move in a way that the latent space lacks, or have wrong poses. "molecule" and "solvent" are means
    inside and outside the solvent mask, "largest" is at "place", in angstrom from the corner of the map.
    """
    import numpy as np

    from napari_sbackprop.analysis.reconstruction import Decoder
    from napari_sbackprop.data.mrc import write_volume
    from napari_sbackprop.data.output_file import new_file, require_ending
    from napari_sbackprop.run_directory import RunDirectory
    from napari_sbackprop.training.progress import finished
    from napari_sbackprop.training.residual import residual_variance

    require_ending(output, ".mrc")
    directory = RunDirectory(run)
    decoder = Decoder.open(directory, epoch)
    count = len(decoder.latents.mean)
    indices = np.arange(count) if selection is None else _selected(selection, run, count)
    with new_file(output) as partial, fraction_bar("back-projecting") as progress:
        work = residual_variance(directory, indices, resolution, epoch=epoch)
        excess = finished(work, progress)
        write_volume(partial, excess, decoder.pixel_size)
    inside = decoder.mask() > 0
    place = np.unravel_index(np.where(inside, excess, -np.inf).argmax(), excess.shape)
    show(
        {
            "map": output,
            "particles": len(indices),
            "molecule": round(float(excess[inside].mean()), 3),
            "solvent": round(float(excess[~inside].mean()), 3),
            "largest": round(float(excess[place]), 3),
            "place": [round(float(i) * decoder.pixel_size, 1) for i in reversed(place)],
            "epoch": decoder.latents.epoch,
        },
        as_json,
    )


@commands.command(
    epilog=examples(
        "napari-sbackprop halves run -o apart",
        "napari-sbackprop halves run state.star -o apart",
    )
)
def halves(
    run: Run,
    selection: Annotated[
        Path | None,
        typer.Argument(
            help="STAR file that select or the explorer wrote, or .npy file of particle numbers",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="folder for the two runs and their maps")],
    resume: Annotated[bool, typer.Option("--resume", help="go on in a folder where it was stopped")] = False,
    epoch: Epoch = None,
    as_json: Json = False,
) -> None:
    """Train two halves of the particles apart, and compare what they find.

    Either half starts from noise of its own; they share the run's mask alone. What is told is how the map changes with one
    standard deviation of each latent of the run, and from all particles to the selection. "shown" is the part of the change
    that both halves show: near 1 all of it; near 0, it was noise, or is too rare or too weak for half the particles. "size"
    is that of the change, the spread of all particles' maps being 1: n particles at random have about 1 / sqrt(n), and that
    may well be shown. "fsc" is the mean FSC between the halves' maps, and "resolution" where it falls below 0.143, inside
    the mask; where little is shown, they are those of the little. It takes about as long as the run's closed-form start,
    and leaves two runs, half1 and half2, that can be explored.
    """
    from napari_sbackprop.analysis.half_models import Model
    from napari_sbackprop.analysis.reconstruction import Decoder
    from napari_sbackprop.run_directory import RunDirectory
    from napari_sbackprop.training.half_runs import HALVES, encode_by_halves, half_sets

    directory = RunDirectory(run)
    decoder = Decoder.open(directory, epoch)
    latents = decoder.latents.mean
    indices = None if selection is None else _large_selection(selection, run, len(latents))
    sets = half_sets(directory)
    _train_halves(directory, sets, decoder, output, resume)
    models = [
        Model.of(Decoder.open(RunDirectory(output / name)), mean)
        for name, mean in zip(HALVES, encode_by_halves(directory, output), strict=True)
    ]
    answers = _write_halves(output, Model.of(decoder, latents), models, indices)
    show(
        {
            "folder": output,
            "particles": len(latents),
            "half_sets": [len(rows) for rows in sets],
            **answers,
            "epoch": decoder.latents.epoch,
        },
        as_json,
    )


def _train_halves(
    run: "RunDirectory", sets: "list[npt.NDArray[np.int64]]", decoder: "Decoder", output: Path, resume: bool
) -> None:
    """Make the two runs; a refusal leaves nothing behind, a stop what --resume goes on with."""
    from napari_sbackprop.data.mrc import write_volume
    from napari_sbackprop.data.output_file import refuse_used_folder
    from napari_sbackprop.training.half_runs import MASK, train_halves

    if not (resume and (output / MASK).is_file()):
        refuse_used_folder(output)
        output.mkdir(parents=True, exist_ok=True)
        write_volume(output / MASK, decoder.mask(), decoder.pixel_size)
    try:
        with stop_on_signal() as stop:
            follow(train_halves(run, sets, output, stop, resume))
    except InputError:
        if not resume:
            shutil.rmtree(output)
        raise
    if stop.is_set():
        print(f"Stopped: the same command with --resume goes on in {output}.", file=sys.stderr)
        raise typer.Exit(STOPPED)


def _write_halves(
    output: Path, run: "Model", halves: "list[Model]", selection: "npt.NDArray[np.int64] | None"
) -> dict[str, dict[str, float]]:
    """Write the maps and curves of two models; figures by the name of what was compared."""
    from napari_sbackprop.analysis.half_models import compare_models
    from napari_sbackprop.data.mrc import write_volume
    from napari_sbackprop.training.half_runs import HALVES

    curves, answers, pixel_size = {}, {}, run.decoder.pixel_size
    for found in compare_models(run, halves, selection):
        for half, volume in zip(HALVES, found.maps, strict=True):
            write_volume(output / f"{half}_{found.name}.mrc", volume, pixel_size)
        curves[found.name] = found.curve
        figures = {"size": found.size, "shown": found.shown, "fsc": found.fsc, "resolution": found.resolution}
        answers[found.name] = {name: round(value, 3) for name, value in figures.items() if value is not None}
    _write_curves(output / "fsc.csv", curves, run.decoder.box * pixel_size)
    return answers


def _large_selection(path: Path, run: Path, count: int) -> "npt.NDArray[np.int64]":
    """Particles of a selection that are enough for a map."""
    from napari_sbackprop.training.half_maps import LEAST_SELECTION

    indices = _selected(path, run, count)
    if len(indices) < LEAST_SELECTION:
        raise InputError(
            f"{path} has {len(indices)} particles: give a selection of {LEAST_SELECTION} or more."
        )
    return indices


def _judged(
    run: "RunDirectory", epoch: int, indices: "npt.NDArray[np.int64]", halves: "HalfMaps"
) -> "tuple[Agreement, dict[str, npt.NDArray[np.float32]], dict[str, float]]":
    """The half maps beside the decoded map, where the run decodes one; with more maps and figures to tell."""
    from napari_sbackprop.analysis.evidence import compare_halves, judge
    from napari_sbackprop.analysis.reconstruction import Decoder

    if not run.has_model(epoch):
        pixel_size = float(run.read_description(epoch)["pixel_size"])
        agreement = compare_halves(halves.first, halves.second, halves.mask, pixel_size)
        return agreement, {"mask": halves.mask}, {}
    decoder = Decoder.open(run, epoch)
    decoded, mask = decoder.volume(decoder.pooled(indices)), decoder.mask()
    evidence = judge(halves.first, halves.second, decoded, decoder.consensus(), mask, decoder.pixel_size)
    figures = {"change": round(evidence.change, 3), "change_error": round(evidence.change_error, 3)}
    return evidence, {"decoded": decoded, "mask": mask}, figures


def _selected(path: Path, run: Path, count: int) -> "npt.NDArray[np.int64]":
    from napari_sbackprop.analysis.selection import checked_indices, note_path

    if path.suffix == ".npy":
        return checked_indices(read_array(path), count, str(path))
    note = note_path(path)
    try:
        document: Any = json.loads(note.read_text())
        values, origin = document["indices"], Path(document["run"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{note} does not say which particles {path} holds ({type(error).__name__}): give a STAR file that select or "
            "the explorer wrote, with its .json beside it, or an .npy file of particle numbers."
        ) from error
    if origin.resolve().name != run.resolve().name:  # the folder may have been moved, but hardly renamed
        raise InputError(
            f"{path} was selected in the run {origin}, not in {run}: give a selection of this run."
        )
    return checked_indices(values, count, str(note))


def _write_curves(path: Path, curves: "Mapping[str, npt.NDArray[np.float64]]", width: float) -> None:
    """FSC curves by name as a table; `width` is the box in angstrom."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["shell", "angstrom", *curves])
        for shell, values in enumerate(zip(*curves.values(), strict=True)):
            if shell:
                writer.writerow([shell, f"{width / shell:.4f}", *(f"{value:.5f}" for value in values)])
