"""Time a map from a latent on one core: a table on stderr, JSON on stdout.

python benchmarks/decode.py RUN [--threads 1]
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from napari_sbackprop.analysis.reconstruction import Decoder
from napari_sbackprop.run_directory import RunDirectory


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    started = time.perf_counter()
    decoder = Decoder.open(RunDirectory(options.run))
    opened = time.perf_counter() - started
    times = []
    with threadpool_limits(options.threads):
        for latent in decoder.latents.mean[:50]:
            started = time.perf_counter()
            decoder.volume(latent)
            times.append(time.perf_counter() - started)
    results = {
        "box": decoder.box,
        "basis_size": len(decoder.basis) - 1,
        "threads": options.threads,
        "voxels_in_mask": len(decoder.support),
        "open_s": round(opened, 3),
        "map_ms_median": round(1e3 * float(np.median(times)), 2),
        "map_ms_worst": round(1e3 * max(times), 2),
    }
    print(json.dumps(results, indent=2))
    print(
        f"{decoder.box}^3: {results['map_ms_median']} ms a map on {options.threads} thread(s)",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
