"""Time training beside cryoDRGN on the same particles and cores: a table on stderr, JSON on stdout.

    python benchmarks/training.py [--box 96] [--particles 5000] [--small-particles 256] [--output DIR]

Ours is what a user sees: the particles per second of the VAE's last epoch, everything included. cryoDRGN is run where
it is installed (pip install cryodrgn==4.3.1), with the options of the paper's cryoDRGN-small; its own time for the second
of two epochs counts. Nothing else should run on the machine.
"""

import argparse
import importlib.util
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from napari_sbackprop.config import Config
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.training.trainer import train

# The paper's cryoDRGN-small, and the defaults of cryoDRGN 4.3.
PEERS = {
    "cryodrgn_small": "--enc-dim 256 --enc-layers 3 --dec-dim 256 --dec-layers 3 --pe-type geom_lowf -b 8 --no-amp",
    "cryodrgn_default": "--enc-dim 1024 --enc-layers 3 --dec-dim 1024 --dec-layers 3 -b 8 --no-amp",
}


def ours(star: Path, run: Path, config: Config) -> dict[str, Any]:
    """Train; rate of the last epoch, and seconds from the start to the first and to the last published epoch."""
    started = time.perf_counter()
    published = []
    for record in train(star, run, config):
        if record.epoch is not None:
            published.append((time.perf_counter() - started, record.particles_per_second))
    return {
        "images_per_second": round(published[-1][1], 1),
        "first_epoch_s": round(published[0][0], 1),
        "total_s": round(published[-1][0], 1),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def cryodrgn(
    name: str, flags: str, star: Path, work: Path, box: int, particles: int, threads: int
) -> dict[str, Any] | None:
    """Rate with the flags of one of PEERS on the first `particles` particles; None where cryoDRGN is not installed."""
    if importlib.util.find_spec("cryodrgn") is None:
        return None
    import numpy as np

    subset = work / "subset.pkl"
    np.arange(particles).dump(subset)
    poses, ctf = work / "pose.pkl", work / "ctf.pkl"
    start = "import sys; from cryodrgn.command_line import main_commands; main_commands()"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    for command in (
        f"parse_pose_star {star} -o {poses} -D {box}",
        f"parse_ctf_star {star} -o {ctf} -D {box} --ps 0",
        f"train_vae {star} --poses {poses} --ctf {ctf} --ind {subset} --datadir {star.parent} -o {work / name}"
        f" {flags} --zdim 8 -n 2 --no-analysis",
    ):
        result = subprocess.run(
            [sys.executable, "-c", start, *command.split()],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise SystemExit(
                f"cryodrgn {command.split()[0]} failed:\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
            )
    log = (work / name / "run.log").read_text()
    hours, minutes, seconds = re.findall(r"Finished in (\d+):(\d+):([\d.]+)", log)[1]
    return {
        "images_per_second": round(particles / (3600 * int(hours) + 60 * int(minutes) + float(seconds)), 2)
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--box", type=int, default=96)
    parser.add_argument("--particles", type=int, default=5000)
    parser.add_argument("--small-particles", type=int, default=256, help="for cryoDRGN-small")
    parser.add_argument("--default-particles", type=int, default=32, help="for its default networks")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, help="new folder that keeps the particles and the run")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        work = options.output or Path(folder)
        work.mkdir(exist_ok=True)
        star = simulate(
            work / "set", particles=options.particles, box=options.box, pixel_size=256 / options.box
        )
        config = Config(epochs=2, threads=options.threads)
        results = {
            "machine": {"processor": platform.processor() or platform.machine(), "threads": options.threads},
            "torch": torch.__version__,
            "box": options.box,
            "basis_size": config.basis_size,
            "batch_size": config.batch_size,
            "particles": options.particles,
            "default": ours(star, work / "run", config),
        }
        for name, flags in PEERS.items():
            asked = options.small_particles if name.endswith("small") else options.default_particles
            particles = min(asked, options.particles)
            results[name] = cryodrgn(name, flags, star, work, options.box, particles, options.threads)
    for name in PEERS:
        if (peer := results[name]) is not None:
            peer["ratio"] = round(results["default"]["images_per_second"] / peer["images_per_second"], 1)
    print(json.dumps(results, indent=2))
    for name in ("default", *PEERS):
        print(f"{name:16s} {results[name] and results[name]['images_per_second']} images/s", file=sys.stderr)


if __name__ == "__main__":
    main()
