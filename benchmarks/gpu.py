"""The first hour on a GPU in one command: builds the kernels, checks them and times everything that a GPU should do.

    python benchmarks/gpu.py [--stages check step epoch] [--boxes 96 --basis 16]

Figures stand beside their goals, those of an H100, in a table on stderr. JSON comes on stdout, a line per stage as each
ends: nothing is lost where a later one hangs. Every stage is a process of its own, because a kernel that fails leaves no
GPU to those after it, and one that fails says so in one sentence. Nothing but torch and numpy is needed, except by `peer`.

check       the back end, float64 on the CPU, another stream, equality of runs
sanitize    compute-sanitizer
operations  each operation beside plain PyTorch on the same GPU, time and memory
step        full steps of the VAE
profile     the costliest kernels of a step, masks included
epoch       100,000 particles of 96 px from memory to latents, with 50 epochs
decode      maps from coefficients
memory      the most that training takes
peer        cryoDRGN-small, where it is installed
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import torch
from device import usable
from gpu_stages import BATCH, EPOCHS, PARTICLES, STAGES, machine


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--device", type=usable, choices=["cuda", "cpu"], default="cuda")
    parser.add_argument(
        "--boxes", type=int, nargs="+", help="box sizes M, pixels; by default those with goals"
    )
    parser.add_argument(
        "--basis", type=int, nargs="+", default=[16, 64], help="basis volumes K; most stages take the first"
    )
    parser.add_argument("--batch", type=int, default=BATCH, help="images per call or step")
    parser.add_argument("--particles", type=int, default=PARTICLES, help="in memory, for epoch")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the VAE, for epoch")
    parser.add_argument("--seconds", type=float, default=0.5, help="time spent on each measurement")
    parser.add_argument("--limit", type=float, default=420.0, help="seconds after which a stage is ended")
    parser.add_argument("--here", action="store_true", help="one stage, in this process and without a limit")
    return parser.parse_args(arguments)


def one_stage(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """What a stage found, or one sentence why it failed."""
    print(f"\n{name}", file=sys.stderr, flush=True)
    try:
        device = torch.device(options.device)
        return {"stage": name, "machine": machine(device), **STAGES[name](options)}
    except Exception as error:  # whatever it is, the other stages go on
        traceback.print_exc()
        sentence = (
            f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        )
        return {"stage": name, "failed": sentence}


def in_a_process(name: str, arguments: Sequence[str], limit: float) -> str:
    """The line of JSON of a stage that another process runs; the last --stages counts."""
    command = [sys.executable, __file__, *arguments, "--stages", name, "--here"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            found, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with all that it has started
            return json.dumps({"stage": name, "failed": f"It was ended after {limit:g} s."})
    return found.strip() or json.dumps(
        {"stage": name, "failed": f"Its process ended with status {process.returncode}."}
    )


def main(arguments: Sequence[str]) -> None:
    options = parse_options(arguments)
    if options.here:
        print(json.dumps(one_stage(options.stages[-1], options)), flush=True)
        return
    for name in options.stages:
        print(in_a_process(name, arguments, options.limit), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
