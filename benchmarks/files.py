"""Time and memory of opening a large STAR file and of exporting a subset: a table on stderr, JSON on stdout.

    python benchmarks/files.py [--rows 1000000] [--subset 100000] [--folder DIR]

The file is made up in the style of a RELION 3.1 refinement: 26 columns, two optics groups, stacks of 500 images whose
headers are real and whose pixels are holes. Each row of the table is a process of its own; its times and its peak memory
are without those of starting Python and importing. `open` is what training does first: values, poses, optics, and every
stack found and its header read.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_sbackprop.data.mrc import write_stack
from napari_sbackprop.data.star import read_columns, read_particles
from napari_sbackprop.data.subset import write_subset

STACK, BOX, CHUNK = 500, 64, 50_000
OPTICS = ["OpticsGroup", "OpticsGroupName", "Voltage", "SphericalAberration", "AmplitudeContrast"]
OPTICS += ["ImagePixelSize", "ImageSize", "ImageDimensionality"]
NUMBERS = ["CoordinateX", "CoordinateY", "AnglePsi", "AutopickFigureOfMerit", "DefocusU", "DefocusV"]
NUMBERS += ["DefocusAngle", "CtfBfactor", "CtfScalefactor", "PhaseShift", "CtfMaxResolution"]
NUMBERS += ["CtfFigureOfMerit", "AngleRot", "AngleTilt", "OriginXAngst", "OriginYAngst", "NormCorrection"]
NUMBERS += ["LogLikeliContribution", "MaxValueProbDistribution"]
WHOLE = ["ClassNumber", "RandomSubset", "OpticsGroup", "NrOfSignificantSamples", "GroupNumber"]
TEXTS = ["ImageName", "MicrographName"]


def header(name: str, labels: list[str]) -> str:
    lines = "\n".join(f"_rln{label} #{number} " for number, label in enumerate(labels, 1))
    return f"\n# version 30001\n\ndata_{name}\n\nloop_ \n{lines}\n"


def write_sample(folder: Path, rows: int) -> Path:
    """A STAR file and its stacks."""
    random = np.random.default_rng(0)
    path = folder / "Refine3D" / "job040" / "run_data.star"
    path.parent.mkdir(parents=True)
    (folder / "Extract" / "job030").mkdir(parents=True)
    first = folder / "Extract" / "job030" / "mic_00000.mrcs"
    write_stack(first, np.zeros((STACK, BOX, BOX), np.float32), pixel_size=3.0)
    head = first.read_bytes()[:1024]
    for number in range(-(-rows // STACK)):
        with first.with_name(f"mic_{number:05d}.mrcs").open("wb") as stack:
            stack.write(head)
            stack.truncate(1024 + STACK * BOX * BOX * 4)
    with path.open("w") as file:
        file.write(header("optics", OPTICS))
        file.writelines(
            f"{n} opticsGroup{n} 300.000000 2.700000 0.100000 3.000000 {BOX} 2 \n" for n in (1, 2)
        )
        file.write(header("particles", [*NUMBERS, *WHOLE, *TEXTS]))
        for start in range(0, rows, CHUNK):
            numbers = random.uniform(-180, 180, (min(CHUNK, rows - start), len(NUMBERS)))
            numbers[:, 4:6] = 15000 + 50 * numbers[:, 4:6]
            numbers[:, NUMBERS.index("CtfScalefactor")] = 1
            whole = random.integers(1, 3, (len(numbers), len(WHOLE)))
            for row, (left, right) in enumerate(zip(numbers.tolist(), whole.tolist(), strict=True), start):
                stack = f"job030/mic_{row // STACK:05d}.mrc"
                texts = f"{row % STACK + 1:06d}@Extract/{stack}s MotionCorr/{stack}"
                cells = [*(f"{value:12.6f}" for value in left), *(f"{value:12d}" for value in right), texts]
                file.write(" ".join(cells) + " \n")
    return path


def task(name: str, star: Path, subset: int) -> Callable[[], object]:
    if name == "open":
        return lambda: read_particles(star)
    if name == "columns":
        return lambda: read_columns(star, ["rlnDefocusU", "rlnClassNumber", "rlnMicrographName"])
    rows = int(star.with_suffix(".rows").read_text())
    chosen = np.sort(np.random.default_rng(1).choice(rows, subset, replace=False))
    output = star.with_name("subset.star")
    output.unlink(missing_ok=True)
    return lambda: write_subset(star, chosen, output)


def measure(name: str, star: Path, subset: int) -> dict[str, float]:
    """Wall and CPU seconds, and how far the peak of memory rises, in this process."""
    run = task(name, star, subset)
    import torch  # noqa: F401  what reading imports when it is first needed

    import napari_sbackprop.imaging.poses  # noqa: F401

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rise = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": round(wall, 2), "cpu_seconds": round(cpu, 2), "memory_gb": round(rise / 2**20, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="particles in the file")
    parser.add_argument("--subset", type=int, default=100_000, help="particles exported")
    parser.add_argument("--folder", type=Path, help="keep the file here, and take it from here the next time")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        star = options.folder / "Refine3D" / "job040" / "run_data.star"
        print(json.dumps(measure(options.task, star, options.subset)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "Refine3D").is_dir():
            star = write_sample(folder, options.rows)
            star.with_suffix(".rows").write_text(str(options.rows))
        print("                  wall s   CPU s   memory GB", file=sys.stderr)
        rows = []
        for name in ("open", "columns", "subset"):
            command = [sys.executable, __file__, "--task", name, "--folder", folder]
            command += ["--subset", str(options.subset)]
            done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True)
            row = {"task": name, **json.loads(done.stdout)}
            rows.append(row)
            line = f"{name:<16} {row['seconds']:>7} {row['cpu_seconds']:>7} {row['memory_gb']:>11}"
            print(line, file=sys.stderr, flush=True)
        print(json.dumps({"rows": options.rows, "subset": options.subset, "results": rows}, indent=1))


if __name__ == "__main__":
    main()
