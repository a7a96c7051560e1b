"""Command lines of the benchmarks."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

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
