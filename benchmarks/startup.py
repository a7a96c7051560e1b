"""Time what a user waits for before anything runs: a table on stderr, JSON on stdout.

    python benchmarks/startup.py [--repeats 5]

Each row is a fresh process, and says its median wall time, with all files in the system's cache. "compile" builds every file
of the native library into an empty cache, as the first use on a machine does, with one compiler per file at once.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

FIRST_USE = """
import torch
from napari_sbackprop import ops
from napari_sbackprop.imaging.grids import half_disc, half_sphere
disc, sphere = half_disc(47), half_sphere(47)
ops.project(torch.zeros(sphere.size, 17, 2), torch.zeros(1, 17), torch.eye(3)[None], disc, sphere)
assert ops.backend("cpu").name == "native", ops.backend("cpu").reason
"""
COMMAND = "import sys; sys.argv[0] = 'napari-sbackprop'; from napari_sbackprop.cli import main; main()"
ROWS = {
    "python, nothing": ["-c", ""],
    "import napari_sbackprop": ["-c", "import napari_sbackprop"],
    "napari-sbackprop --help": ["-c", COMMAND, "--help"],
    "napari-sbackprop train --help": ["-c", COMMAND, "train", "--help"],
    "import torch": ["-c", "import torch"],
    "first operation, library built": ["-c", FIRST_USE],
}


def seconds(arguments: list[str], cache: str | None = None) -> float:
    """Wall time of a Python process; `cache` is where it finds and puts the library."""
    environment = os.environ if cache is None else {**os.environ, "XDG_CACHE_HOME": cache}
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    seconds(["-c", FIRST_USE])  # builds the library where it is missing
    rows = {
        name: statistics.median(seconds(arguments) for _ in range(options.repeats))
        for name, arguments in ROWS.items()
    }
    with tempfile.TemporaryDirectory() as empty:
        rows["napari-sbackprop compile"] = seconds(["-c", COMMAND, "compile"], empty)
    for name, value in rows.items():
        print(f"{name:32} {value:7.2f} s", file=sys.stderr)
    print(json.dumps({"processors": os.cpu_count(), "seconds": {k: round(v, 3) for k, v in rows.items()}}))


if __name__ == "__main__":
    main()
