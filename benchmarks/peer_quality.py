"""Score cryoDRGN, epoch by epoch, on simulated particles: what `quality.py --run` says of our runs.

    python benchmarks/peer_quality.py STAR TRUTH [--epochs 8 --network small --output DIR]

States are voted by the 20 nearest neighbours among the latents; each state's map is decoded at the mean latent of its
true members, and compared inside the same masks. Needs cryodrgn 4.3.1. A table on the standard error, JSON on the
standard output.
"""

import argparse
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from training import PEERS

from napari_sbackprop.analysis.validation import knn_state_accuracy, mean_to_nyquist, state_fsc
from napari_sbackprop.data.mrc import read_volume
from napari_sbackprop.data.truth import Truth


def cryodrgn(command: str, threads: int) -> None:
    """Run one of its commands."""
    start = "import sys; from cryodrgn.command_line import main_commands; main_commands()"
    subprocess.run(
        [sys.executable, "-c", start, *command.split()],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def latents(run: Path, epoch: int) -> npt.NDArray[np.float32]:
    """Means (N, Z) after an epoch, counted from 1; only for files that we made ourselves, for pickles run code."""
    names = [run / f"z.{epoch}.pkl", run / f"z.{epoch - 1}.pkl"]
    with next(path for path in names if path.is_file()).open("rb") as file:
        return np.asarray(pickle.load(file), dtype=np.float32)


def epoch_seconds(log: str, epochs: int) -> list[float]:
    """Seconds from the start to the end of each epoch; the log's last line of the kind is of the whole run."""
    times = re.findall(r"Finished in (\d+):(\d+):([\d.]+)", log)
    return list(np.cumsum([3600 * int(h) + 60 * int(m) + float(s) for h, m, s in times[:epochs]]))


def state_maps(
    run: Path, epoch: int, work: Path, means: npt.NDArray[np.float32], truth: Truth
) -> npt.NDArray[np.float32]:
    """Maps (S, M, M, M) decoded at each state's mean latent (S, Z) after an epoch, counted from 1."""
    np.savetxt(work / "means.txt", means)
    weights = next(
        path for path in (run / f"weights.{epoch}.pkl", run / f"weights.{epoch - 1}.pkl") if path.is_file()
    )
    maps_folder = work / f"maps.{epoch}"
    cryodrgn(
        f"eval_vol {weights} -c {run / 'config.yaml'} --zfile {work / 'means.txt'} -o {maps_folder}"
        f" --Apix {truth.pixel_size}",
        os.cpu_count() or 1,
    )
    return np.stack([read_volume(path)[0] for path in sorted(maps_folder.glob("*.mrc"))])


def mean_latents(z: npt.NDArray[np.float32], truth: Truth) -> npt.NDArray[np.float32]:
    """Mean (S, Z) of the latents (N, Z) of each state's true members."""
    members = [(truth.labels == state) & (truth.subunit == 1) for state in range(len(truth.states))]
    return np.stack([z[chosen].mean(0) for chosen in members])


def train(options: argparse.Namespace, work: Path, box: int) -> None:
    """Train it on the particles, into work / "run"."""
    star, poses, ctf = options.star, work / "pose.pkl", work / "ctf.pkl"
    cryodrgn(f"parse_pose_star {star} -o {poses} -D {box}", options.threads)
    cryodrgn(f"parse_ctf_star {star} -o {ctf} -D {box} --ps 0", options.threads)
    cryodrgn(
        f"train_vae {star} --poses {poses} --ctf {ctf} --datadir {star.parent} -o {work / 'run'}"
        f" {PEERS['cryodrgn_' + options.network]} --zdim 8 -n {options.epochs} --checkpoint 1 --no-analysis",
        options.threads,
    )


def score(run: Path, work: Path, epochs: Sequence[int], truth: Truth) -> list[dict[str, Any]]:
    """Scores of some epochs, counted from 1, where they are finished."""
    rows: list[dict[str, Any]] = []
    times = epoch_seconds((run / "run.log").read_text(), max(epochs))
    for epoch, seconds in enumerate(times, start=1):
        if epoch not in epochs:
            continue
        z = latents(run, epoch)
        accuracy = knn_state_accuracy(z, truth.labels, truth.arrangement)
        maps = state_maps(run, epoch, work, mean_latents(z, truth), truth)
        region, solvent = (
            float(mean_to_nyquist(state_fsc(maps, truth.states, mask)).mean())
            for mask in (truth.region, truth.solvent)
        )
        scores = {**vars(accuracy), "region": region, "solvent": solvent}
        rows.append({"epoch": epoch, "seconds": round(seconds, 1), **scores})
        print(
            f"{epoch:5d} {seconds:8.1f} s  exact {accuracy.exact:.3f}  within one {accuracy.within_one:.3f}"
            f"  region {region:.3f}  solvent {solvent:.3f}",
            file=sys.stderr,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("star", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument(
        "--network", choices=[name.removeprefix("cryodrgn_") for name in PEERS], default="small"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--output", type=Path, help="folder that keeps cryoDRGN's run; one that exists is scored, not trained"
    )
    options = parser.parse_args()
    truth = Truth.open(options.truth)
    with tempfile.TemporaryDirectory() as folder:
        work = options.output or Path(folder)
        if not (work / "run").is_dir():
            work.mkdir(exist_ok=True)
            train(options, work, truth.states.shape[-1])
        rows = score(work / "run", Path(folder), range(1, options.epochs + 1), truth)
    print(json.dumps({"network": options.network, "epochs": rows}, indent=2))


if __name__ == "__main__":
    main()
