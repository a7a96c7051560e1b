"""Score a training on simulated particles, epoch by epoch, beside the consensus map and the Bayes bound.

    python benchmarks/quality.py [--particles 2000 --box 64 --pixel-size 4 --epochs 4 --models A.pdb B.pdb]
    python benchmarks/quality.py --run RUN --truth SET/truth     (a run that exists already)

Prints a table of the epochs on the standard error, and JSON on the standard output. Beside them stands what the images
give when each particle's true state is known: reconstructions of the states' members, ours and RELION's.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from bayes_bound import bayes_bound

from napari_sbackprop.analysis.evaluation import Evaluation, evaluate
from napari_sbackprop.analysis.validation import mean_to_nyquist, state_fsc
from napari_sbackprop.config import Config
from napari_sbackprop.data.atoms import interpolate_models
from napari_sbackprop.data.mrc import read_volume
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.subset import write_subset
from napari_sbackprop.data.toy import toy_complex
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.ops import backend
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.half_maps import half_maps
from napari_sbackprop.training.progress import finished
from napari_sbackprop.training.trainer import train

Reconstruct = Callable[[RunDirectory, npt.NDArray[np.int64]], npt.NDArray[np.float32]]

SNR = 0.1
STATES = 10
COLUMNS = ("region", "consensus_region", "solvent", "state_exact", "state_within_one", "closed_open")


def score_epochs(run: Path, truth: Path) -> list[dict[str, Any]]:
    """Scores of every epoch, with the seconds of training until it was published."""
    directory = RunDirectory(run)
    with directory.metrics_path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    results = []
    print(f"{'epoch':>5} {'seconds':>8} " + " ".join(f"{name:>16}" for name in COLUMNS), file=sys.stderr)
    for row in rows:
        scores: Evaluation = evaluate(run, truth, int(row["epoch"]))
        results.append({"seconds": float(row["seconds"]), "stage": row["stage"], **vars(scores)})
        figures = " ".join(_figure(getattr(scores, name)) for name in COLUMNS)
        print(f"{scores.epoch:5d} {float(row['seconds']):8.1f} {figures}", file=sys.stderr)
    return results


def _figure(value: float | None) -> str:
    return f"{'-':>16}" if value is None else f"{value:16.3f}"


def known_assignment(run: Path, truth: Path, reconstruct: Reconstruct) -> dict[str, float]:
    """Scores of the reconstruction of each state's true members."""
    directory, facts = RunDirectory(run), Truth.open(truth)
    members = [
        np.flatnonzero((facts.labels == state) & (facts.subunit == 1)) for state in range(len(facts.states))
    ]
    maps = np.stack([reconstruct(directory, chosen) for chosen in members])
    return {
        name: float(mean_to_nyquist(state_fsc(maps, facts.states, mask)).mean())
        for name, mask in (("region", facts.region), ("solvent", facts.solvent))
    }


def our_reconstruction(run: RunDirectory, members: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Mean of the half maps."""
    halves = finished(half_maps(run, members))
    return (halves.first + halves.second) / 2


def relion_reconstruction(run: RunDirectory, members: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """What relion_reconstruct makes of the same particles."""
    with tempfile.TemporaryDirectory() as folder:
        star, volume = Path(folder) / "members.star", Path(folder) / "map.mrc"
        write_subset(run.source, members, star)
        command = ["relion_reconstruct", "--i", str(star), "--o", str(volume), "--ctf"]
        subprocess.run(command, cwd=run.source.parent, stdout=subprocess.DEVNULL, check=True)
        return read_volume(volume)[0]


def bounds_of(run: Path, truth: Path) -> dict[str, dict[str, float]]:
    """Scores with known states, by our back-projection and, where it is installed, by RELION's."""
    bounds = {"known_assignment": known_assignment(run, truth, our_reconstruction)}
    if shutil.which("relion_reconstruct"):
        bounds["relion_known_assignment"] = known_assignment(run, truth, relion_reconstruction)
    for name, scores in bounds.items():
        print(f"{name}: region {scores['region']:.3f}, solvent {scores['solvent']:.3f}", file=sys.stderr)
    return bounds


def simulate_and_train(options: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """A new set and a run on it; returns run and truth."""
    star = simulate(
        folder / "set",
        states=STATES,
        particles=options.particles,
        box=options.box,
        pixel_size=options.pixel_size,
        snr=SNR,
        models=tuple(options.models) if options.models else None,
    )
    config = Config(epochs=options.epochs, device=options.device, threads=options.threads)
    for progress in train(star, folder / "run", config):
        if progress.epoch is not None:
            print(f"epoch {progress.epoch}: {progress.stage}", file=sys.stderr)
    return folder / "run", folder / "set" / "truth"


def bound(options: argparse.Namespace) -> dict[str, float]:
    """Best possible assignment of states to images like these."""
    models = options.models
    specimen = interpolate_models(models[0], models[1], STATES) if models else toy_complex(STATES)
    return vars(bayes_bound(specimen, options.box, options.pixel_size, SNR, images=500))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--particles", type=int, default=2000)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--pixel-size", type=float, default=4.0)
    parser.add_argument("--models", type=Path, nargs=2, metavar=("FIRST", "LAST"))
    parser.add_argument("--epochs", type=int, default=Config().epochs)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    if (options.run is None) != (options.truth is None):
        parser.error("--run and --truth belong together: give both, or neither to simulate and train")
    if options.run:
        bounds = bounds_of(options.run, options.truth)
        epochs = score_epochs(options.run, options.truth)
        print(json.dumps({**bounds, "epochs": epochs}, indent=2))
        return
    with tempfile.TemporaryDirectory() as folder:
        run, truth = simulate_and_train(options, Path(folder))
        bounds, epochs = bounds_of(run, truth), score_epochs(run, truth)
    device = torch.device("cuda" if torch.cuda.is_available() and options.device != "cpu" else "cpu")
    machine = {"device": str(device), "backend": backend(device).name, "threads": torch.get_num_threads()}
    settings = {"particles": options.particles, "box": options.box, "pixel_size": options.pixel_size}
    print(
        json.dumps(
            {**machine, **settings, "bayes_bound": bound(options), **bounds, "epochs": epochs}, indent=2
        )
    )


if __name__ == "__main__":
    main()
