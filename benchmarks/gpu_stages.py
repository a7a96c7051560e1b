"""What `gpu.py` does, stage by stage: each takes its options, prints a table on stderr and returns what JSON can hold."""

import argparse
import importlib.util
import itertools
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import agreement
import closed_form
import operation
import torch
from decode import made_up
from device import now
from simulated_spectra import simulated_spectra
from step import Case, make_stage, step_time
from training_in_memory import train_in_memory

from napari_sbackprop import config, ops
from napari_sbackprop.ops.determinism import sums_in_one_order
from napari_sbackprop.ops.extension import CompileError

BATCH, PARTICLES, EPOCHS = 256, 100_000, 50
SANITIZERS = ("memcheck", "racecheck")
KERNELS = 12  # that a profile lists
GIGABYTE = 1e9
# What an H100 should reach.
IMAGES_PER_SECOND = {96: 250_000, 160: 90_000}
PASS_SECONDS, TRAINING_SECONDS = {96: 3.0}, {96: 60.0}
MAP_MILLISECONDS = {96: 0.1, 160: 0.4, 256: 1.5}
MEMORY_GIGABYTES = {160: 4.0}

Row = dict[str, Any]


def figure(
    what: str, value: float, unit: str, *, least: float | None = None, most: float | None = None
) -> Row:
    """A figure beside its goal, if it has one; printed and returned."""
    # JSON knows nothing that is not a number
    row: Row = {"what": what, "value": float(f"{value:.4g}") if math.isfinite(value) else None, "unit": unit}
    goal = most if least is None else least
    verdict = ""
    if goal is not None:
        row |= {"goal": goal, "reached": bool(value <= goal if least is None else value >= goal)}
        verdict = (
            f"  {'at most' if least is None else 'at least'} {goal:g}: {'yes' if row['reached'] else 'NO'}"
        )
    print(f"{what:54} {value:>10.4g} {unit:10}{verdict}", file=sys.stderr, flush=True)
    return row


def remark(sentence: str) -> Row:
    """A stage, or a part of one, that was not done, and why."""
    print(sentence, file=sys.stderr, flush=True)
    return {"remark": sentence}


def boxes(options: argparse.Namespace, default: Sequence[int]) -> Sequence[int]:
    """Box sizes that were asked for, else those that the goals are about."""
    return options.boxes or default


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were measured on, and which kernels serve it."""
    about = {
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "backend": ops.backend(device)._asdict(),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            driver = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            driver = "not known"
        about |= {
            "device": properties.name,
            "memory_gb": round(properties.total_memory / GIGABYTE, 1),
            "capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
            "driver": driver,
            "cuda": torch.version.cuda,
        }
    return about


def compile_seconds(basis: int, device: torch.device) -> list[Row]:
    """Time that NVRTC takes for each file of kernels."""
    from napari_sbackprop.ops import cuda_runtime  # loads what only a GPU build of torch has

    capability, rows = torch.cuda.get_device_capability(device), []
    for path in sorted((cuda_runtime.source_directory() / "cuda").glob("*.cu")):
        began = time.perf_counter()
        try:
            cuda_runtime.compile_program(path.stem, basis + 1, capability)
        except CompileError as error:
            rows.append(remark(str(error)))
        else:
            rows.append(figure(f"NVRTC, {path.name}, K = {basis}", time.perf_counter() - began, "s"))
    return rows


def trainings_agree() -> list[Row]:
    """Whether steps that a graph replays, that are launched one by one, and whose images are streamed end equal."""
    volumes, recorded = {}, False
    for way in ("recorded", "not recorded", "streamed"):
        with sums_in_one_order():
            stage = make_stage(Case(box=48, batch=64, particles=300, device="cuda"))
            stage.graphed.recorded = way != "not recorded"
            if way == "streamed":
                images = {"data": stage.spectra.data.cpu(), "transfer": stage.spectra.transfer.cpu()}
                stage.spectra = replace(stage.spectra, **images)
            for _ in range(2):
                list(stage.epoch())
        volumes[way], recorded = stage.volumes, recorded or (way == "recorded" and stage.graphed.recorded)
    differ = sum(not torch.equal(volumes["recorded"], other) for other in volumes.values())
    return [
        figure("steps are recorded as a CUDA graph", float(recorded), "", least=1),
        figure("trainings that differ where steps are not, or streamed", differ, "of 2", most=0),
    ]


def check(options: argparse.Namespace) -> dict[str, Any]:
    """Whether the kernels compile, agree with float64 on any stream, and with themselves."""
    device = torch.device(options.device)
    backend = ops.backend(device)
    print(f"back end: {backend.name}. {backend.reason}", file=sys.stderr, flush=True)
    native = figure("native kernels serve this device", float(backend.name == "native"), "", least=1)
    result: dict[str, Any] = {"agreement": [], "figures": [native]}
    if device.type == "cuda":
        result["figures"] += compile_seconds(options.basis[0], device)
        result["figures"] += trainings_agree()
    for box, basis in itertools.product(boxes(options, (64, 96)), options.basis):
        row = agreement.compare(box, basis, min(options.batch, 8), device)
        name, error = agreement.worst(row)
        what = f"relative error, {name}, M = {box}, K = {basis}"
        result["figures"].append(figure(what, error, "", most=agreement.BOUND))
        differ = len(row["unequal_when_deterministic"])
        what = f"results that differ from run to run, M = {box}, K = {basis}"
        result["figures"].append(figure(what, differ, "of 12", most=0))
        result["agreement"].append(row)
    return result


def sanitize(options: argparse.Namespace) -> dict[str, Any]:
    """What compute-sanitizer says of all operations on a small problem: memory and races."""
    program = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if options.device != "cuda" or not Path(program).is_file():
        return remark(
            "There is no GPU, or no compute-sanitizer on the PATH: neither memory nor races were checked."
        )
    small = ["--boxes", "24", "--basis", "16", "--batch", "2", "--device", "cuda", "--once"]
    rows = []
    for tool in SANITIZERS:
        command = [
            program,
            "--tool",
            tool,
            "--error-exitcode",
            "9",
            sys.executable,
            agreement.__file__,
            *small,
        ]
        # Torch's own pool of memory would hide what goes beyond an array.
        environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
        try:
            done = subprocess.run(
                command,
                env=environment,
                capture_output=True,
                text=True,
                timeout=options.limit / 2.5,
                check=False,
            )
        except subprocess.TimeoutExpired:
            rows.append(remark(f"{tool} was ended after {options.limit / 2.5:.0f} s."))
            continue
        told = [line for line in done.stdout.splitlines() if line.startswith("=========")]
        summary = next((line.strip("= ") for line in told if "SUMMARY" in line), done.stderr[-300:])
        rows.append(remark(f"{tool}: status {done.returncode}, {summary}") | {"first_lines": told[:40]})
    return {"tools": rows}


def operations(options: argparse.Namespace) -> dict[str, Any]:
    """Each operation beside plain PyTorch on the same device."""
    device = torch.device(options.device)
    copy, matrix = operation.copy_rate(device), operation.matrix_rate(device)
    figures = [
        figure("copy, bytes read and written", copy / 1e3, "GB/s"),
        figure("float32 matrix product", matrix / 1e3, "TFLOP/s"),
    ]
    wanted = argparse.Namespace(**vars(options), operations=operation.OPERATIONS)
    print(operation.HEADS[device.type], file=sys.stderr)
    rows = []
    for box, basis in itertools.product(boxes(options, (64, 96, 128, 160, 256)), options.basis):
        for row in operation.measure_box(box, basis, copy, matrix, wanted):
            rows.append(row)
            print(operation.table_line(row), file=sys.stderr, flush=True)
    return {"figures": figures, "rows": rows}


def step(options: argparse.Namespace) -> dict[str, Any]:
    """Full steps of the VAE, as training makes them, in every precision that it offers and with sums in one order."""
    figures, basis = [], options.basis[0]
    ways = [("float32", False), ("float32", True), ("bfloat16", False)]
    for box, (precision, one_order) in itertools.product(boxes(options, (96, 160)), ways):
        case = Case(
            box=box,
            basis=basis,
            latent=min(8, basis),
            batch=options.batch,
            particles=min(options.particles, 32 * options.batch),
            device=options.device,
            precision=precision,
        )
        with sums_in_one_order(one_order):
            rate = options.batch / step_time(case, options.seconds)
        way = "sums in one order" if one_order else precision
        what = f"full step, M = {box}, K = {basis}, B = {case.batch}, {way}"
        figures.append(figure(what, rate, "images/s", least=IMAGES_PER_SECOND.get(box)))
    return {"figures": figures}


def profile(options: argparse.Namespace) -> dict[str, Any]:
    """What the device spends a step of the VAE on: the costliest kernels."""
    (box, *_), basis = boxes(options, (96,)), options.basis[0]
    particles = min(options.particles, 32 * options.batch)
    case = Case(box=box, basis=basis, latent=min(8, basis), batch=options.batch, particles=particles)
    stage = make_stage(replace(case, device=options.device))
    list(stage.epoch())
    where, activity = ("device", "CUDA") if options.device == "cuda" else ("cpu", "CPU")
    with torch.profiler.profile(activities=[getattr(torch.profiler.ProfilerActivity, activity)]) as seen:
        list(stage.epoch())
    own_time = attrgetter(f"self_{where}_time_total")
    costly = sorted(seen.key_averages(), key=own_time, reverse=True)[:KERNELS]
    steps = particles / options.batch
    return {"figures": [figure(kind.key[:54], own_time(kind) / steps, "µs a step") for kind in costly]}


def epoch(options: argparse.Namespace) -> dict[str, Any]:
    """The default recipe on particles made in memory, and a pass of its closed-form start by parts."""
    device = torch.device(options.device)
    (box, *_) = boxes(options, (96,))
    goals = options.particles >= PARTICLES
    began = now(device)
    spectra, truth = simulated_spectra(box, options.particles, 3, device)
    figures = [figure(f"making {spectra.count} particles of {box} px", now(device) - began, "s")]
    parts = closed_form.one_pass(spectra, options.basis[0], 2)
    figures += [
        figure(f"a pass of the closed-form start: {part}", value, "s") for part, value in parts.items()
    ]
    most = PASS_SECONDS.get(box) if goals else None
    figures.append(figure("a pass of the closed-form start", sum(parts.values()), "s", most=most))
    size = options.basis[0]
    chosen = config.Config(
        latent_size=size, basis_size=size, batch_size=options.batch, epochs=options.epochs, device=device.type
    )
    result = train_in_memory(spectra, truth, chosen)
    figures += [figure(part, value, "s") for part, value in result.seconds.items()]
    rate = chosen.epochs * (1 - chosen.held_out) * spectra.count / result.seconds["VAE, epochs"]
    figures.append(figure(f"VAE, {chosen.epochs} epochs with their masks", rate, "images/s"))
    most = TRAINING_SECONDS.get(box) if goals and chosen.epochs >= EPOCHS else None
    figures.append(figure("from memory to latents", sum(result.seconds.values()), "s", most=most))
    for part, share in result.explained.items():
        figures.append(figure(f"share of the truth in the latents, {part}", share, ""))
    return {"figures": figures, "directions": result.directions}


def decode(options: argparse.Namespace) -> dict[str, Any]:
    """Maps from coefficients: `Decoder.mixed` with its basis on the device."""
    device, figures = torch.device(options.device), []
    for box in boxes(options, (96, 160, 256)):
        decoder = made_up(box, options.basis[0])
        support = torch.from_numpy(decoder.support).to(device)
        for kind in (torch.float32, torch.float16):
            basis = torch.from_numpy(decoder.basis).to(device, kind)
            weights = torch.randn(len(basis), device=device, dtype=kind)
            grid = torch.zeros(box**3, device=device, dtype=kind)

            def product(weights: torch.Tensor = weights, basis: torch.Tensor = basis) -> torch.Tensor:
                return weights @ basis

            def whole(
                grid: torch.Tensor = grid, support: torch.Tensor = support, make: Callable[..., Any] = product
            ) -> torch.Tensor:
                return grid.index_copy_(0, support, make())

            name = f"{str(kind).removeprefix('torch.')}, {box}^3"
            most = MAP_MILLISECONDS.get(box)
            for what, work, goal in (("product", product, None), ("map", whole, most)):
                times = []
                for _ in range(22):
                    began = now(device)
                    work()
                    times.append(1e3 * (now(device) - began))
                figures.append(figure(f"{what}, {name}", statistics.median(times[2:]), "ms", most=goal))
    return {"figures": figures}


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Most memory that training takes beside the particles."""
    device, figures = torch.device(options.device), []
    if device.type != "cuda":
        return remark("Only a GPU tells the most memory that was taken.")
    for box in boxes(options, (160,)):
        particles, basis = 4 * options.batch, options.basis[0]
        case = Case(
            box=box, basis=basis, latent=basis, batch=options.batch, particles=particles, device=device.type
        )
        torch.cuda.reset_peak_memory_stats(device)
        stage = make_stage(case)
        held = sum(t.nbytes for t in (stage.spectra.data, stage.spectra.transfer, stage.spectra.rotation))
        most = MEMORY_GIGABYTES.get(box)
        for what in ("steps and masks", "latents"):
            if what == "latents":
                stage.outcome()
            else:
                list(stage.epoch())
            peak = (torch.cuda.max_memory_allocated(device) - held) / GIGABYTE
            figures.append(figure(f"without particles, M = {box}, {what}", peak, "GB", most=most))
        reserved = torch.cuda.max_memory_reserved(device) / GIGABYTE
        figures.append(figure("taken from the GPU, particles included", reserved, "GB"))
        del stage
        torch.cuda.empty_cache()
    return {"figures": figures}


def peer(options: argparse.Namespace) -> dict[str, Any]:
    """cryoDRGN-small on the same device, from files, as `training.py` runs it; on a GPU with its mixed precision."""
    if importlib.util.find_spec("cryodrgn") is None:
        return remark("cryoDRGN is not installed here: pip install cryodrgn==4.3.1.")
    from training import PEERS, cryodrgn

    from napari_sbackprop.data.simulation import simulate

    (box, *_) = boxes(options, (96,))
    particles, flags = min(options.particles, 5000), PEERS["cryodrgn_small"]
    if options.device == "cuda":
        flags = flags.replace(" --no-amp", "")
    with tempfile.TemporaryDirectory() as folder:
        star = simulate(Path(folder) / "set", particles=particles, box=box, pixel_size=256 / box)
        rates = cryodrgn("small", flags, star, Path(folder), box, particles, os.cpu_count() or 1)
    return {
        "figures": [
            figure(f"cryoDRGN-small, M = {box}, batches of 8", rates["images_per_second"], "images/s")
        ]
    }


STAGES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    stage.__name__: stage
    for stage in (check, sanitize, operations, step, profile, epoch, decode, memory, peer)
}
