"""Score a training on simulated particles, epoch by epoch, beside the consensus map and the Bayes bound.

    python benchmarks/quality.py [--particles 2000 --box 64 --pixel-size 4 --epochs 4 --models A.pdb B.pdb]
    python benchmarks/quality.py --run RUN --truth SET/truth     (a run that exists already)

Prints a table of the epochs on the standard error, and JSON on the standard output. Beside them stands what the images
give when each particle's true state is known: back-projections of the states' members.
"""

import argparse
import csv
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bayes_bound import bayes_bound

from napari_sbackprop.analysis.evaluation import Evaluation, evaluate
from napari_sbackprop.analysis.validation import mean_to_nyquist, state_fsc
from napari_sbackprop.config import Config
from napari_sbackprop.data.atoms import interpolate_models
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.toy import toy_complex
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.ops import backend
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.half_maps import half_maps
from napari_sbackprop.training.progress import finished
from napari_sbackprop.training.trainer import train

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


def known_assignment(run: Path, truth: Path) -> dict[str, float]:
    """Scores of the back-projection of each state's true members."""
    directory, facts = RunDirectory(run), Truth.open(truth)
    scores: dict[str, list[float]] = {"region": [], "solvent": []}
    for state, true_map in enumerate(facts.states):
        halves = finished(
            half_maps(directory, np.flatnonzero((facts.labels == state) & (facts.subunit == 1)))
        )
        mean = (halves.first + halves.second) / 2
        for name, mask in (("region", facts.region), ("solvent", facts.solvent)):
            scores[name].append(float(mean_to_nyquist(state_fsc(mean[None], true_map[None], mask))[0]))
    return {name: float(np.mean(values)) for name, values in scores.items()}


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
    if options.run and options.truth:
        known = known_assignment(options.run, options.truth)
        print(
            f"known assignment: region {known['region']:.3f}, solvent {known['solvent']:.3f}", file=sys.stderr
        )
        epochs = score_epochs(options.run, options.truth)
        print(json.dumps({"known_assignment": known, "epochs": epochs}, indent=2))
        return
    with tempfile.TemporaryDirectory() as folder:
        run, truth = simulate_and_train(options, Path(folder))
        epochs, known = score_epochs(run, truth), known_assignment(run, truth)
    device = torch.device("cuda" if torch.cuda.is_available() and options.device != "cpu" else "cpu")
    machine = {"device": str(device), "backend": backend(device).name, "threads": torch.get_num_threads()}
    settings = {"particles": options.particles, "box": options.box, "pixel_size": options.pixel_size}
    bounds = {"bayes_bound": bound(options), "known_assignment": known}
    print(json.dumps({**machine, **settings, **bounds, "epochs": epochs}, indent=2))


if __name__ == "__main__":
    main()
