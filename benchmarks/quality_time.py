"""Draw quality against wall time, epoch by epoch, for methods that were given one simulated set on one machine.

    python benchmarks/quality_time.py SET/truth -o OUT.png --ours RUN --peer cryoDRGN-small FOLDER 1,2,5 [--bayes 0.99]

FSC in the region that moves and in the solvent mask, and the share of particles whose neighbours vote for their state or one
beside it. RUN is ours; each FOLDER is of `peer_quality.py --output`, with the epochs to score; the bound is what
`bayes_bound.py` says of "within_one". A table on the standard error, JSON on the standard output. Needs matplotlib.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import ScalarFormatter
from peer_quality import score
from quality import known_assignment, our_reconstruction, score_epochs

from napari_sbackprop.analysis.validation import knn_state_accuracy
from napari_sbackprop.data.truth import Truth

OURS = "this program (open circles: its auto-encoder)"
PANELS = {
    "region": "mean FSC in the region that moves",
    "solvent": "mean FSC in the solvent mask",
    "within_one": "particles within one state",
}


def our_rows(run: Path, truth: Path) -> list[dict[str, Any]]:
    """Scores of our epochs, under the names that `peer_quality.score` gives them."""
    return [{**row, "within_one": row["state_within_one"]} for row in score_epochs(run, truth)]


def peer_rows(folder: Path, epochs: Sequence[int], truth: Truth) -> list[dict[str, Any]]:
    """Scores of some of cryoDRGN's epochs; each takes a minute, for its maps are decoded by a network."""
    with tempfile.TemporaryDirectory() as work:
        return score(folder / "run", Path(work), epochs, truth)


def levels_of(
    run: Path, truth: Path, epoch: dict[str, Any], bayes: float | None
) -> dict[str, dict[str, float]]:
    """What the scores are to be compared with, by panel and name."""
    facts = Truth.open(truth)
    known = known_assignment(run, truth, our_reconstruction)
    nothing = np.random.default_rng(0).standard_normal((len(facts.labels), 1))
    chance = {"chance": knn_state_accuracy(nothing, facts.labels, facts.arrangement).within_one}
    maps = {
        name: {"consensus map": epoch[f"consensus_{name}"], "known states": known[name]} for name in known
    }
    return {**maps, "within_one": chance if bayes is None else {**chance, "Bayes bound": bayes}}


def draw_panel(
    axes: Axes, score: str, methods: dict[str, list[dict[str, Any]]], levels: dict[str, float]
) -> None:
    """One score of all methods against seconds, both from the start of each training."""
    for name, rows in methods.items():
        times, values = [row["seconds"] for row in rows], [row[score] for row in rows]
        (line,) = axes.plot(times, values, "o-", markersize=4.5, linewidth=1.5, label=name)
        encoded = [number for number, row in enumerate(rows) if "VAE" in row.get("stage", "")]
        axes.plot(
            np.take(times, encoded),
            np.take(values, encoded),
            "o",
            markersize=4.5,
            color="white",
            markeredgecolor=line.get_color(),
        )
    for style, (name, value) in zip(("--", ":"), levels.items(), strict=False):
        axes.axhline(value, color="0.4", linestyle=style, linewidth=1, zorder=0)
        axes.text(0.45, value, name, transform=axes.get_yaxis_transform(), va="bottom", fontsize=8)
    axes.set(xscale="log", xlabel="wall seconds", ylabel=PANELS[score], ylim=(0, 1.04))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="0.92")


def draw(methods: dict[str, list[dict[str, Any]]], levels: dict[str, dict[str, float]], output: Path) -> None:
    """All panels, as a PNG file."""
    figure, panels = pyplot.subplots(1, 3, figsize=(11, 3.6), dpi=160, layout="constrained")
    for axes, name in zip(panels, PANELS, strict=True):
        draw_panel(axes, name, methods, levels[name])
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(methods), frameon=False
    )
    figure.savefig(output)


def main() -> None:
    """Parse, score, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("truth", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--ours", type=Path, required=True, metavar="RUN")
    parser.add_argument("--peer", nargs=3, action="append", default=[], metavar=("NAME", "FOLDER", "EPOCHS"))
    parser.add_argument("--bayes", type=float)
    options = parser.parse_args()
    methods = {OURS: our_rows(options.ours, options.truth)}
    for name, folder, epochs in options.peer:
        methods[name] = peer_rows(
            Path(folder), [int(epoch) for epoch in epochs.split(",")], Truth.open(options.truth)
        )
    levels = levels_of(options.ours, options.truth, methods[OURS][-1], options.bayes)
    draw(methods, levels, options.output)
    print(json.dumps({"levels": levels, "methods": methods}, indent=2))


if __name__ == "__main__":
    main()
