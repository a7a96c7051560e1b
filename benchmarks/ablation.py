"""What each part of the default recipe is worth: the closed-form start with one part left out at a time.

    python benchmarks/ablation.py STAR TRUTH [--seeds 3 --parts region search]

STAR and TRUTH are what `napari-sbackprop simulate` wrote. Prints a row per part and seed on the standard error, and JSON
on the standard output.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from napari_sbackprop.analysis.evaluation import evaluate
from napari_sbackprop.config import Config
from napari_sbackprop.imaging.masks import soft_ball
from napari_sbackprop.training import closed_form, default
from napari_sbackprop.training.closed_form import Kind
from napari_sbackprop.training.session import Session
from napari_sbackprop.training.trainer import train

SCORES = ("region", "solvent", "state_exact", "state_within_one", "auc_per_image")


def everywhere(a: Tensor, b: Tensor, shrinkage: Tensor, sphere: object, mask: Tensor) -> Tensor:
    """In place of `signal_mask`: the basis may be anywhere inside the solvent mask."""
    return (mask > 0).to(mask)


def ball(session: Session, raw: Tensor, sphere: object) -> Tensor:
    """In place of the solvent mask: the ball that the particle lies in."""
    box = session.particles.box
    return soft_ball(box, session.mask_radius, edge=0.05 * box, dimensions=3).to(raw)


def unfiltered(correlation: Tensor) -> Tensor:
    """In place of the half-set FSC filter."""
    return torch.ones_like(correlation)


PARTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "nothing": nullcontext,
    "region": lambda: patch.object(closed_form, "signal_mask", everywhere),
    "search": lambda: patch.object(closed_form, "_SEARCH", (Kind.HALVES,) * len(closed_form._SEARCH)),
    "shell-filter": lambda: patch.object(closed_form, "posterior_filter", unfiltered),
    "solvent-mask": lambda: patch.object(default, "_solvent_mask", ball),
    "low-resolution": lambda: patch.multiple(closed_form, _LOW_RESOLUTION=(), _SEARCH=()),
    "held-out": nullcontext,  # an option of the run
}


def score(star: Path, truth: Path, part: str, seed: int) -> dict[str, Any]:
    """Train without a part, and score."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(PARTS[part]())
        config = Config(epochs=0, seed=seed, held_out=0.0 if part == "held-out" else Config().held_out)
        started = time.perf_counter()
        for _ in train(star, folder / "run", config):
            pass
        seconds = time.perf_counter() - started
        scores = vars(evaluate(folder / "run", truth))
    return {
        "without": part,
        "seed": seed,
        "seconds": round(seconds, 1),
        **{name: scores[name] for name in SCORES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("star", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    rows = []
    print(
        f"{'without':>16} {'seed':>4} {'seconds':>8} " + " ".join(f"{n:>16}" for n in SCORES), file=sys.stderr
    )
    for part in options.parts:
        for seed in range(options.seeds):
            row = score(options.star, options.truth, part, seed)
            rows.append(row)
            figures = " ".join(f"{row[name]:16.3f}" for name in SCORES)
            print(f"{part:>16} {seed:4d} {row['seconds']:8.1f} {figures}", file=sys.stderr)
    print(json.dumps({"threads": torch.get_num_threads(), "star": str(options.star), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
