"""Time one pass of the closed-form start over particles in memory: a table on stderr, JSON on stdout.

    python benchmarks/closed_form.py [--box 64 --basis 16 --particles 10000 --threads 2 --device cpu]

A pass is what an iteration at full resolution costs: the Gram matrices of all images, the posterior of each, the normal
equations of all voxels, and their solution. Medians of some passes.
"""

import argparse
import json
import statistics
import sys

import torch
from device import now, usable
from step import random_spectra

from napari_sbackprop.imaging.grids import half_sphere
from napari_sbackprop.training.posterior import image_statistics, linear_posterior
from napari_sbackprop.training.spectra import Spectra
from napari_sbackprop.training.volume_solver import solve_equations, voxel_equations

PARTS = ("gram", "posteriors", "normal equations", "solves")


def one_pass(spectra: Spectra, basis: int, repeats: int) -> dict[str, float]:
    """Median seconds of each part, for random volumes."""
    generator, device = torch.Generator().manual_seed(0), spectra.rotation.device
    sphere, everyone = half_sphere(spectra.disc.radius), torch.arange(spectra.count)
    volumes = torch.randn(sphere.size, basis + 1, 2, generator=generator).to(device)
    times: dict[str, list[float]] = {part: [] for part in PARTS}
    for _ in range(repeats + 1):
        moments = [now(device)]
        products = image_statistics(spectra, volumes, sphere)
        moments.append(now(device))
        posterior = linear_posterior(*products, 0.1)
        moments.append(now(device))
        first = posterior.weights
        second = first[:, :, None] * first[:, None, :]
        equations = voxel_equations(spectra, sphere, everyone, first, second)
        moments.append(now(device))
        solve_equations(*equations, sphere)
        moments.append(now(device))
        for part, begin, end in zip(PARTS, moments, moments[1:], strict=False):
            times[part].append(end - begin)
    return {part: statistics.median(values[1:]) for part, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--basis", type=int, default=16)
    parser.add_argument("--particles", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", type=usable, default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    spectra = random_spectra(options.box, options.particles, torch.Generator().manual_seed(0))
    seconds = one_pass(spectra.to(torch.device(options.device)), options.basis, options.repeats)
    for part, value in [*seconds.items(), ("all", sum(seconds.values()))]:
        print(f"{part:18} {value:6.3f} s", file=sys.stderr)
    print(
        json.dumps({**vars(options), "seconds": {part: round(value, 3) for part, value in seconds.items()}})
    )


if __name__ == "__main__":
    main()
