"""The command relion-job: training and its results as an External job of RELION."""

import re
import threading
from typing import TYPE_CHECKING

import typer

from napari_sbackprop.cli.console import examples, log_to, stop_on_signal
from napari_sbackprop.cli.job_labels import JobOptions, read_labels
from napari_sbackprop.cli.training import STOPPED, refuse_changes
from napari_sbackprop.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sbackprop.analysis.reconstruction import Decoder
    from napari_sbackprop.data.job_folder import JobFolder, Node
    from napari_sbackprop.run_directory import RunDirectory

commands = typer.Typer()

_RESULT = re.compile(
    r"(consensus|mask)\.mrc|particles\.(star|json)|class\d{3,}\.(star|json|mrc)|classes\.cxc"
)


@commands.command(
    name="relion-job",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog=examples(
        "napari-sbackprop relion-job --o External/job012/ --in_parts Refine3D/job010/run_data.star --j 8",
        "napari-sbackprop relion-job --o External/job012/ --in_parts Refine3D/job010/run_data.star"
        " --in_mask MaskCreate/job011/mask.mrc --classes 6 --mask_diameter 180 --j 8",
    ),
)
def relion_job(context: typer.Context) -> None:
    """Run as an External job of RELION.

    Give "napari-sbackprop relion-job" as the external executable, and input particles. Input 3D reference, 3D mask and
    parameters may stay empty. Labels of parameters are classes (number of clusters to export, 10), min_contrast (of good
    particles, 0.5), method (umap or pca), path_map (OLD=NEW), and all options of the command train, such as
    mask_diameter.

    The job's folder gets run/, which the explorer opens; class001.star and class001.mrc ... for each cluster, with
    classes.cxc for ChimeraX; particles.star with the good particles; consensus.mrc and mask.mrc. Continuing a job
    goes on from its last epoch.
    """
    from pathlib import Path

    from napari_sbackprop.data.job_folder import Ending, JobFolder

    log_to("stdout")  # RELION shows it as run.out, and what goes to stderr as errors
    labels = read_labels(context.args)
    if not labels.get("o"):
        raise InputError("The job has no folder (--o): start it from RELION, as an External job.")
    folder = JobFolder(Path(" ".join(labels["o"])))
    folder.begin()
    try:
        with stop_on_signal() as stop, folder.stopping(stop):
            _run(JobOptions.from_labels(labels), folder, stop)
    except BaseException:
        folder.end(Ending.FAILURE)
        raise
    folder.end(Ending.ABORTED if stop.is_set() else Ending.SUCCESS)
    if stop.is_set():
        print("Aborted; the job keeps its epochs and can be continued.")
        raise typer.Exit(STOPPED)


def _run(options: JobOptions, folder: "JobFolder", stop: threading.Event) -> None:
    from napari_sbackprop.analysis.embedding import embed
    from napari_sbackprop.analysis.reconstruction import Decoder
    from napari_sbackprop.run_directory import RunDirectory
    from napari_sbackprop.training.trainer import train

    path = options.output / "run"
    resume = _can_go_on(path, options)
    print(f"{'Going on' if resume else 'Training'} on {options.particles}, in {path}.", flush=True)
    for _ in train(options.particles, path, options.config, stop, resume, options.path_map):
        pass  # every epoch is logged
    if stop.is_set():
        return
    run = RunDirectory(path)
    embed(path, method=options.method)
    for file in options.output.iterdir():  # of an attempt that this one goes on with
        if _RESULT.fullmatch(file.name):
            file.unlink()
    decoder = Decoder.open(run)
    nodes = _export_particles(run, decoder, options) | _export_classes(run, decoder, options)
    folder.write_outputs(nodes)
    print(f"Wrote {', '.join(nodes)} to {options.output}.")


def _can_go_on(path: "Path", options: JobOptions) -> bool:
    """Whether there is a run to go on with; one that has no epoch yet is removed."""
    from napari_sbackprop.run_directory import RunDirectory

    if not (path / "config.json").is_file():
        return False
    run = RunDirectory(path)
    if not run.epochs():
        run.discard()
        return False
    refuse_changes(run.config, options.config)
    return True


def _export_particles(run: "RunDirectory", decoder: "Decoder", options: JobOptions) -> "dict[str, Node]":
    """Write the good particles, the consensus map and the mask."""
    import numpy as np

    from napari_sbackprop.analysis.selection import ParticleSelection, export_selection
    from napari_sbackprop.data.job_folder import Node
    from napari_sbackprop.data.mrc import write_volume

    for name, volume in {"consensus.mrc": decoder.consensus(), "mask.mrc": decoder.mask()}.items():
        write_volume(options.output / name, volume, decoder.pixel_size)
    nodes = {"consensus.mrc": Node.MAP, "mask.mrc": Node.MASK}
    good = np.flatnonzero(decoder.latents.contrast >= options.min_contrast)
    print(
        f"{len(good)} of {len(decoder.latents.mean)} particles have a contrast of {options.min_contrast:g} or more."
    )
    if len(good):
        provenance = {"min_contrast": options.min_contrast, "epoch": decoder.latents.epoch}
        export_selection(
            run, ParticleSelection("particles", good, provenance), options.output / "particles.star"
        )
        nodes = {"particles.star": Node.PARTICLES, **nodes}
    return nodes


def _export_classes(run: "RunDirectory", decoder: "Decoder", options: JobOptions) -> "dict[str, Node]":
    """Write particles and map of each cluster, and the script that shows the maps."""
    import numpy as np

    from napari_sbackprop.analysis.clustering import kmeans
    from napari_sbackprop.analysis.selection import ParticleSelection, export_selection
    from napari_sbackprop.analysis.volume_series import write_script
    from napari_sbackprop.data.job_folder import Node
    from napari_sbackprop.data.mrc import write_volume

    labels, _ = kmeans(decoder.latents.mean, options.classes)
    nodes: dict[str, Node] = {}
    maps = []
    for cluster in range(options.classes):
        name, members = f"class{cluster + 1:03d}", np.flatnonzero(labels == cluster)
        provenance = {"kmeans": options.classes, "cluster": cluster, "epoch": decoder.latents.epoch}
        export_selection(run, ParticleSelection(name, members, provenance), options.output / f"{name}.star")
        maps.append(options.output / f"{name}.mrc")
        write_volume(maps[-1], decoder.volume(decoder.pooled(members)), decoder.pixel_size)
        nodes |= {f"{name}.star": Node.PARTICLES, f"{name}.mrc": Node.MAP}
        print(f"{name}: {len(members)} particles")
    write_script(decoder, options.output / "classes.cxc", maps)
    return nodes
