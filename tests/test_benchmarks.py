"""Command lines of the benchmarks."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("option", ["--run", "--truth"])
def test_a_run_and_its_truth_belong_together(option: str) -> None:
    command = [sys.executable, str(BENCHMARKS / "quality.py"), option, "somewhere"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 2
    assert "--run and --truth belong together" in result.stderr


def test_the_step_that_is_timed_is_the_one_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from step import Case, make_stage

    stage = make_stage(Case(box=16, basis=3, latent=2, batch=4, particles=8))
    steps = list(stage.epoch())
    assert [seen for seen, _ in steps] == [4, 8]
    assert all(math.isfinite(loss) for _, losses in steps for loss in losses.tolist())


TINY = [
    *("--device", "cpu", "--boxes", "16", "--basis", "3", "--batch", "8"),
    *("--particles", "200", "--epochs", "1", "--seconds", "0"),
]
WITHOUT_FIGURES_HERE = {"memory", "sanitize", "peer"}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu")


def stages_of(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize(
    "name", ["check", "sanitize", "operations", "step", "profile", "epoch", "decode", "memory", "peer"]
)
def test_every_stage_of_the_first_hour_on_a_gpu_runs_without_one(
    gpu: ModuleType, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "peer" and importlib.util.find_spec("cryodrgn"):
        pytest.skip("would train another program")
    gpu.main([*TINY, "--stages", name])
    (stage,) = stages_of(capsys.readouterr().out)
    assert stage["stage"] == name
    assert "failed" not in stage
    if name not in WITHOUT_FIGURES_HERE:
        assert all(math.isfinite(row["value"]) for row in stage["figures"])


def test_a_stage_that_fails_does_not_stop_the_others() -> None:
    # A box of 15 pixels has no gridding correction that fits: only the stages that transform maps refuse it.
    command = [
        sys.executable,
        str(BENCHMARKS / "gpu.py"),
        *TINY,
        "--boxes",
        "15",
        "--stages",
        "epoch",
        "decode",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    epoch, decode = stages_of(result.stdout)
    assert epoch["failed"] == "ValueError: the box must be even, not 15"
    assert len(decode["figures"]) == 4


def test_the_first_hour_on_a_gpu_needs_nothing_but_torch_and_numpy() -> None:
    missing = ["mrcfile", "starfile", "pandas", "umap", "sklearn", "scipy", "shapely", "safetensors"]
    missing += ["napari", "qtpy", "typer", "rich", "matplotlib"]
    absent = (
        f"import sys; sys.modules.update(dict.fromkeys({missing})); sys.path.insert(0, {str(BENCHMARKS)!r})"
    )
    arguments = [*TINY, "--stages", "step"]
    command = [sys.executable, "-c", f"{absent}; import gpu; gpu.main({arguments})"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    (stage,) = stages_of(result.stdout)
    assert "failed" not in stage


def test_a_broken_kernel_is_no_agreement(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    agreement, ops = importlib.import_module("agreement"), importlib.import_module("napari_sbackprop.ops")
    whole = ops.gram
    monkeypatch.setattr(ops, "gram", lambda *given: tuple(1.001 * part for part in whole(*given)))
    row = agreement.compare(16, 3, 4, torch.device("cpu"))
    name, error = agreement.worst(row)
    assert name.startswith("gram")
    assert error == pytest.approx(1e-3, rel=0.01)
    assert row["errors"]["slices"] < agreement.BOUND
