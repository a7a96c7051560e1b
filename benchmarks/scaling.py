"""Draw how the cost of a full training step grows, from the JSON of step.py.

    python benchmarks/step.py > step.json
    python benchmarks/scaling.py step.json -o docs/images/scaling.png

A panel per quantity; every other one is that of the reference step, the first row. Thin lines are the law that is expected
through the reference: work grows with the pixels, M^2, and with the rows of channels, K; the rest is free. Needs matplotlib.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

Row = dict[str, Any]

# Field of a row, its axis, the power of it that images/s should follow, and that law in words.
QUANTITIES = (
    ("box", "box M, pixels", -2, "1 / M²"),
    ("basis", "basis volumes K", -1, "1 / K"),
    ("threads", "threads", 1, "threads"),
    ("particles", "particles in memory N", 0, "flat"),
    ("latent", "latent dimensions Z", 0, "flat"),
    ("batch", "images per step B", 0, "flat"),
)
# A larger batch comes with more particles, which are free, and a basis of 8 with no fewer latent dimensions.
FIXED_BY_OTHERS = {"batch": {"particles"}, "basis": {"latent"}}


def series(rows: list[Row], field: str) -> list[Row]:
    """The rows in which `field` alone differs from the first, and the first itself, in order."""
    fields = {name for name, *_ in QUANTITIES} - FIXED_BY_OTHERS.get(field, set()) - {field}
    chosen = [row for row in rows if all(row[name] == rows[0][name] for name in fields)]
    return sorted({row[field]: row for row in reversed(chosen)}.values(), key=lambda row: row[field])


def draw(axes: Axes, rows: list[Row], field: str, label: str, power: int, law: str) -> None:
    """Images/s against one quantity, with the law through the first row."""
    reference, shown = rows[0], series(rows, field)
    values = [row[field] for row in shown]
    expected = [reference["images_per_second"] * (value / reference[field]) ** power for value in values]
    axes.plot(values, expected, color="0.55", linewidth=0.8, label=f"expected: {law}")
    axes.plot(values, [row["images_per_second"] for row in shown], "o-", color="tab:blue", markersize=4)
    axes.plot(reference[field], reference["images_per_second"], "o", color="tab:orange", markersize=7)
    axes.set(xscale="log", yscale="log", ylim=(500, 25_000), xlabel=label)
    axes.set_xticks(values, [f"{value:,}" for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.25, which="both", linewidth=0.4)
    axes.legend(loc="lower left", frameon=False, fontsize=8)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", type=Path, help="JSON of step.py")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    rows = json.loads(options.steps.read_text())["rows"]
    figure, panels = pyplot.subplots(2, 3, figsize=(9.5, 5.6), sharey=True, layout="constrained")
    for axes, (field, *rest) in zip(panels.flat, QUANTITIES, strict=True):
        draw(axes, rows, field, *rest)
    for axes in panels[:, 0]:
        axes.set_ylabel("images/s")
    first = rows[0]
    figure.suptitle(
        "A full training step: each panel changes one quantity of M = {box}, K = {basis}, Z = {latent}, B = {batch},"
        " {threads} threads (orange)".format(**first),
        fontsize=10,
    )
    figure.savefig(options.output, dpi=130)


if __name__ == "__main__":
    main()
