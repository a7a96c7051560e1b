"""Time a map from a latent on one core: a table on stderr, JSON on stdout.

python benchmarks/decode.py RUN [--threads 1] [--boxes 160 256] [--basis 16]

--boxes adds decoders of other sizes that are made up: random basis volumes in a ball of 0.85 of the box, which is more
than a solvent mask leaves. "refresh" is what a new epoch costs who explores it: its files are read and the basis is
transformed to real space. In the window that happens beside training, so it is also said how many images training could
have taken meanwhile, at the rate that the run's log gives: its share of a set of N particles is that number over N.
"""

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
import torch

from napari_sbackprop.analysis.reconstruction import Decoder
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import Latents, RunDirectory


def made_up(box: int, basis_size: int) -> Decoder:
    """A decoder of the size of a real one."""
    axis = np.arange(box) - box // 2
    distance = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    support = np.flatnonzero(distance.ravel() < (0.425 * box) ** 2)
    random = np.random.default_rng(0)
    basis = random.standard_normal((basis_size + 1, len(support)), dtype=np.float32)
    mean = random.standard_normal((50, basis_size), dtype=np.float32)
    latents = Latents(
        mean, np.zeros_like(mean), np.zeros((50, basis_size, basis_size), np.float32), mean[:, 0], 1
    )
    return Decoder(box, 1.0, latents, basis, support, np.ones(len(support), np.float32), None)


def measure(decoder: Decoder) -> dict[str, float]:
    """Sizes, and milliseconds per map."""
    times = []
    for latent in decoder.latents.mean[:50]:
        started = time.perf_counter()
        decoder.volume(latent)
        times.append(1e3 * (time.perf_counter() - started))
    return {
        "box": decoder.box,
        "basis_size": len(decoder.basis) - 1,
        "voxels": len(decoder.support),
        "map_ms_median": round(float(np.median(times)), 2),
        "map_ms_worst": round(max(times), 2),
    }


def vae_rates(run: RunDirectory) -> list[float]:
    """Particles per second of each of the VAE's epochs, less the writing after it."""
    return [
        float(rate) for rate in re.findall(r"VAE, epoch .*?, (\d+) particles/s", run.log_path.read_text())
    ]


def refresh(run: RunDirectory, threads: int) -> dict[str, float]:
    """Seconds to open the newest epoch again, and the images that all cores would have trained on."""
    times = []
    for _ in range(9):
        started = time.perf_counter()
        Decoder.open(run)
        times.append(time.perf_counter() - started)
    seconds = float(np.median(times))
    rates = vae_rates(run)
    images = seconds * rates[-1] * threads / (os.cpu_count() or 1) if rates else float("nan")
    return {"refresh_s": round(seconds, 3), "images_trained_meanwhile": round(images, 0)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--boxes", type=int, nargs="*", default=[96, 160, 256], help="of made-up decoders, pixels"
    )
    parser.add_argument("--basis", type=int, default=16, help="basis volumes K of made-up decoders")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    run = RunDirectory(options.run)
    started = time.perf_counter()
    try:
        decoder = Decoder.open(run)
    except InputError as error:
        parser.error(str(error))
    opened = time.perf_counter() - started
    rows = [measure(decoder), *(measure(made_up(box, options.basis)) for box in options.boxes)]
    again = refresh(run, options.threads)
    result = {"threads": options.threads, "open_s": round(opened, 3), **again, "rows": rows}
    print(json.dumps(result, indent=2))
    for name, row in zip(("run", *["made up"] * len(rows)), rows, strict=False):
        print(f"{name:8} {row['box']}^3: {row['map_ms_median']} ms a map", file=sys.stderr)
    print("refresh {refresh_s} s: {images_trained_meanwhile} images".format(**again), file=sys.stderr)


if __name__ == "__main__":
    main()
