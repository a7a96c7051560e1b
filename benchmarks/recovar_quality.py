"""Score RECOVAR on simulated particles: what `quality.py --run` says of our runs.

    python benchmarks/recovar_quality.py STAR TRUTH --recovar PATH [--dimensions 4 10 20 --maps 10 --output DIR]

PATH is the command of a RECOVAR 1.0.5, which needs an environment of its own. It gets the true solvent mask, images as they
are, and else its defaults: simulated images have one contrast, whose correction would take twice the time. States are
voted by the 20 nearest neighbours among its latents; each state's map is its kernel regression at the mean latent of the
state's true members, in `--maps` dimensions. A table on the standard error, JSON on the standard output.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from peer_quality import mean_latents

from napari_sbackprop.analysis.validation import knn_state_accuracy, mean_to_nyquist, state_fsc
from napari_sbackprop.data.mrc import read_volume
from napari_sbackprop.data.truth import Truth


def recovar(command: Path, *arguments: object) -> float:
    """Run one of its commands on the processor; seconds."""
    started = time.monotonic()
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    subprocess.run([command.absolute(), *map(str, arguments)], env=environment, stdout=sys.stderr, check=True)
    return time.monotonic() - started


def analyse(options: argparse.Namespace, run: Path) -> float:
    """Mean, covariance and latents of the particles, into `run`; seconds."""
    mask, dimensions = options.truth / "solvent.mrc", ",".join(map(str, options.dimensions))
    arguments = [
        "-o",
        run,
        "--mask",
        mask,
        "--zdim",
        dimensions,
        "--no-downsample",
    ]
    return recovar(
        options.recovar,
        "pipeline",
        options.star,
        *arguments,
        "--accept-cpu",
        "--gpu-budget-gb",
        options.memory,
    )


def score(options: argparse.Namespace, run: Path, work: Path) -> dict[str, object]:
    """Accuracies by the number of dimensions, and how well the maps of states agree with the truth."""
    truth = Truth.open(options.truth)
    rows: dict[str, object] = {}
    for size in options.dimensions:
        z = np.load(run / "model" / f"zdim_{size}" / "latent_coords.npy")
        accuracy = knn_state_accuracy(z, truth.labels, truth.arrangement)
        rows[f"{size} dimensions"] = vars(accuracy)
        print(
            f"{size:3d} dimensions  exact {accuracy.exact:.3f}  within one {accuracy.within_one:.3f}",
            file=sys.stderr,
        )
    z = np.load(run / "model" / f"zdim_{options.maps}" / "latent_coords.npy")
    np.savetxt(work / "means.txt", mean_latents(z, truth))
    arguments = [run, "-o", work / "states", "--latent-points", work / "means.txt"]
    seconds = recovar(options.recovar, "compute_state", *arguments, "--gpu-budget-gb", options.memory)
    maps = np.stack(
        [read_volume(path)[0] for path in sorted((work / "states").glob("state[0-9][0-9][0-9].mrc"))]
    )
    region, solvent = (
        float(mean_to_nyquist(state_fsc(maps, truth.states, mask)).mean())
        for mask in (truth.region, truth.solvent)
    )
    print(f"maps in {seconds:.0f} s  region {region:.3f}  solvent {solvent:.3f}", file=sys.stderr)
    return {**rows, "region": region, "solvent": solvent, "seconds_of_maps": round(seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("star", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--recovar", type=Path, required=True, metavar="PATH")
    parser.add_argument("--dimensions", type=int, nargs="+", default=[4, 10, 20])
    parser.add_argument("--maps", type=int, default=10, help="dimensions in which maps are made")
    parser.add_argument("--memory", type=float, default=5.0, help="GB that it plans with")
    parser.add_argument("--output", type=Path, help="folder that keeps its run; one that exists is scored")
    options = parser.parse_args()
    if options.maps not in options.dimensions:
        parser.error(f"--maps {options.maps} is none of --dimensions")
    with tempfile.TemporaryDirectory() as folder:
        run = options.output or Path(folder) / "run"
        seconds = None if run.is_dir() else analyse(options, run)
        print(json.dumps({"seconds": seconds, **score(options, run, Path(folder))}, indent=2))


if __name__ == "__main__":
    main()
