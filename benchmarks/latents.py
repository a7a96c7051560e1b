"""Time the latents of all particles from a finished run, and their two-dimensional maps: a table on stderr, JSON on stdout.

    python benchmarks/latents.py RUN PARTICLES.star [--repeats 3]

The first two rows are `napari-sbackprop encode`: images read from files and whitened, compared with the run's volumes, and
the posterior found, exact or as the encoder alone says it. The others are `embed`. Each is the smallest of some times.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from napari_sbackprop.analysis.embedding import pca, umap
from napari_sbackprop.training.encoding import encode


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("star", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    latents = encode(options.run, options.star).mean
    ways = {
        "exact": lambda: encode(options.run, options.star),
        "encoder alone": lambda: encode(options.run, options.star, exact=False),
        "PCA": lambda: pca(latents),
        "UMAP": lambda: umap(latents),
    }
    rows = []
    for name, work in ways.items():
        times = []
        for _ in range(options.repeats):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        rows.append(
            {"way": name, "seconds": round(min(times), 3), "per_second": round(len(latents) / min(times))}
        )
        print(f"{name:14} {min(times):8.3f} s {rows[-1]['per_second']:>12,} particles/s", file=sys.stderr)
    sizes = {"particles": len(latents), "latent_size": latents.shape[1], "threads": options.threads}
    print(json.dumps({**sizes, "rows": rows}))


if __name__ == "__main__":
    main()
