"""How the cost of a full training step grows: a table on stderr, JSON on stdout.

    python benchmarks/step.py --sizes 64 128 160 256 --basis 8 32 64 --batches 64 1024 --threads 1 2 [--device cuda]

Each row changes one quantity of the reference step (96 px, K = 16, Z = 8, 256 images, all threads) and times the step of
the VAE as training makes it: encoder, head, misfit with all gradients, Adam and the volumes. The particles are noise in
memory; reading files and publishing epochs are timed by training.py. Medians, so that a row says what a user gets. A GPU
is waited for after every few steps, not after each.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from dataclasses import dataclass, replace

import torch
from device import now, usable

from napari_sbackprop.config import Config
from napari_sbackprop.imaging.grids import half_disc, half_sphere
from napari_sbackprop.imaging.poses import random_rotations
from napari_sbackprop.training.linear_model import LinearModel
from napari_sbackprop.training.spectra import Spectra
from napari_sbackprop.training.variational import VariationalStage

STEPS_AT_ONCE = {"cpu": 1, "cuda": 8}  # between two looks at the clock, by device


@dataclass(frozen=True)
class Case:
    """One step to time."""

    box: int = 96
    basis: int = 16
    latent: int = 8
    batch: int = 256
    particles: int = 2048
    threads: int = os.cpu_count() or 1
    device: str = "cpu"
    precision: str = "float32"


def random_spectra(box: int, count: int, generator: torch.Generator) -> Spectra:
    """Particles of noise; the values don't matter to the time that anything takes."""
    disc = half_disc(box // 2 - 1)
    return Spectra(
        disc,
        torch.randn(count, disc.size, dtype=torch.complex64, generator=generator),
        torch.full((count, disc.size), 0.01),
        random_rotations(count, generator).float(),
    )


def make_stage(case: Case) -> VariationalStage:
    """A stage over random particles."""
    generator, device = torch.Generator().manual_seed(0), torch.device(case.device)
    spectra = random_spectra(case.box, case.particles, generator).to(device)
    sphere = half_sphere(spectra.disc.radius)
    channels = case.latent + 1
    mask = torch.ones(case.box, case.box, case.box, device=device)
    model = LinearModel(
        torch.randn(sphere.size, channels, 2, generator=generator).to(device),
        sphere,
        torch.full((channels, sphere.radius + 1), 0.5, device=device),
        torch.ones(channels, device=device),
        mask,
    )
    sizes = {"latent_size": case.latent, "basis_size": case.basis, "batch_size": case.batch}
    config = Config(**sizes, precision=case.precision)
    everyone, nobody = torch.arange(case.particles), torch.arange(0)
    return VariationalStage(config, model, 0.1, spectra, mask, everyone, nobody, generator)


def step_time(case: Case, seconds: float) -> float:
    """Median seconds of a step."""
    torch.set_num_threads(case.threads)
    stage, device = make_stage(case), torch.device(case.device)
    times: list[float] = []
    started = now(device)
    while len(times) < 4 or now(device) - started < seconds:
        begin, first = now(device), 0
        for count, (seen, _) in enumerate(stage.epoch(), start=1):
            if count % STEPS_AT_ONCE[device.type] and seen < case.particles:
                continue
            moment = now(device)
            times.append((moment - begin) * case.batch / (seen - first))
            begin, first = moment, seen
            if moment - started > 2 * seconds and len(times) > 4:
                break
    return statistics.median(times[1:])


def cases(options: argparse.Namespace) -> list[Case]:
    """The reference, then one quantity at a time."""
    reference = Case(device=options.device)
    rows = [reference]
    rows += [replace(reference, box=value) for value in options.sizes]
    rows += [replace(reference, basis=value, latent=min(8, value)) for value in options.basis]
    rows += [replace(reference, latent=value) for value in options.latents]
    rows += [replace(reference, batch=value, particles=8 * value) for value in options.batches]
    rows += [replace(reference, particles=value) for value in options.particles]
    rows += [replace(reference, threads=value) for value in options.threads]
    return list(dict.fromkeys(rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[64, 128, 160, 256], help="box sizes M, pixels"
    )
    parser.add_argument("--basis", type=int, nargs="+", default=[8, 32, 64], help="basis volumes K")
    parser.add_argument("--latents", type=int, nargs="+", default=[2, 4, 16], help="latent dimensions Z")
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[64, 128, 512, 1024], help="images per step"
    )
    parser.add_argument(
        "--particles", type=int, nargs="+", default=[512, 8192, 32768], help="particles in memory"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--device", type=usable, choices=STEPS_AT_ONCE, default="cpu")
    parser.add_argument("--seconds", type=float, default=4.0, help="time spent on each row")
    options = parser.parse_args()
    print("   M   K   Z     B      N threads   ms/step  images/s", file=sys.stderr)
    rows = []
    for case in cases(options):
        seconds = step_time(case, options.seconds)
        row = {
            **case.__dict__,
            "milliseconds": round(1e3 * seconds, 2),
            "images_per_second": round(case.batch / seconds),
        }
        rows.append(row)
        line = "{box:>4} {basis:>3} {latent:>3} {batch:>5} {particles:>6} {threads:>7}".format(**row)
        print(f"{line} {row['milliseconds']:>9} {row['images_per_second']:>9}", file=sys.stderr, flush=True)
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}
    print(json.dumps({"machine": machine, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
