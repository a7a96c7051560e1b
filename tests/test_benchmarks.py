"""Command lines of the benchmarks."""

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
