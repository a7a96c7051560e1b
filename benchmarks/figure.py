"""Draw what methods made of one simulated set, as figure 2 of Kimanius et al. (2022) does.

    python benchmarks/figure.py SET/truth -o quality.png --ours default RUN 4 --ours paper RUN 50 --peer cryoDRGN FOLDER 2

A row per method: latents coloured by true state, a section of its maps of the first and the last state, and the FSC of every
state inside the region that moves, beside the consensus. Below, the mean of that FSC by epoch. Takes finished
runs of ours, and folders of `peer_quality.py --output`, each with the epoch to show. Needs matplotlib.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import pyplot
from matplotlib.figure import SubFigure
from peer_quality import latents, mean_latents, state_maps

from napari_sbackprop.analysis.embedding import pca
from napari_sbackprop.analysis.reconstruction import Decoder
from napari_sbackprop.analysis.validation import mean_to_nyquist, state_fsc
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.run_directory import RunDirectory

Maps = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Result:
    """One method: its latents (N, Z) and maps of the states (S, M, M, M) after an epoch, and its score by epoch."""

    name: str
    latents: npt.NDArray[np.float32]
    maps: Maps
    epochs: list[int]
    region: list[float]


def region_score(maps: Maps, truth: Truth) -> float:
    """Mean FSC to Nyquist inside the region that moves."""
    return float(mean_to_nyquist(state_fsc(maps, truth.states, truth.region)).mean())


def our_maps(decoder: Decoder, truth: Truth) -> Maps:
    """Maps decoded from the pooled evidence of each state's true members."""
    members = [np.flatnonzero((truth.labels == s) & (truth.subunit == 1)) for s in range(len(truth.states))]
    return np.stack([decoder.volume(decoder.pooled(chosen)) for chosen in members])


def our_result(name: str, path: Path, epoch: int, truth: Truth) -> Result:
    """A run of ours, with the epochs that it still has up to `epoch`."""
    run = RunDirectory(path)
    epochs = [number for number in run.epochs() if number <= epoch]
    scores = [region_score(our_maps(Decoder.open(run, number), truth), truth) for number in epochs]
    decoder = Decoder.open(run, epoch)
    maps = our_maps(decoder, truth)
    return Result(name, decoder.latents.mean, maps, epochs, scores)


def peer_result(name: str, path: Path, epoch: int, truth: Truth) -> Result:
    """A run of cryoDRGN, epochs 1 to `epoch`."""
    run = path / "run"
    epochs, scores = list(range(1, epoch + 1)), []
    with tempfile.TemporaryDirectory() as folder:
        for number in epochs:
            z = latents(run, number)
            maps = state_maps(run, number, Path(folder), mean_latents(z, truth), truth)
            scores.append(region_score(maps, truth))
    return Result(name, z, maps, epochs, scores)


def draw_row(row: SubFigure, result: Result, truth: Truth) -> None:
    """Latents, two maps, and FSC curves."""
    states = len(truth.states)
    colours = pyplot.colormaps["viridis"](np.linspace(0, 1, states))
    cloud, first, last, curves = row.subplots(1, 4, width_ratios=(1, 0.8, 0.8, 1.3))
    cloud.scatter(*pca(result.latents).T, s=1, c=colours[truth.labels], rasterized=True)
    cloud.set(title=result.name, xticks=[], yticks=[], xlabel="PC 1", ylabel="PC 2")
    section = truth.region.sum(axis=(1, 2)).argmax()  # through the middle of what moves
    for axes, state in ((first, 0), (last, states - 1)):
        axes.imshow(result.maps[state][section], cmap="gray", origin="lower")
        axes.contour(truth.region[section], levels=[0.5], colors="tab:orange", linewidths=0.8)
        axes.set(title=f"state {state + 1} of {states}", xticks=[], yticks=[])
    frequency = np.arange(truth.states.shape[-1] // 2) / (truth.states.shape[-1] * truth.pixel_size)
    for colour, curve in zip(colours, state_fsc(result.maps, truth.states, truth.region), strict=True):
        curves.plot(frequency, curve, color=colour, linewidth=1)
    consensus = np.broadcast_to(truth.states.mean(axis=0), truth.states.shape)
    mean = state_fsc(consensus, truth.states, truth.region).mean(axis=0)
    curves.plot(frequency, mean, "k--", linewidth=1, label="mean of the true maps")
    curves.set(xlabel="1/Å", ylabel="FSC in the region", ylim=(-0.05, 1.02))
    curves.legend(loc="lower left", frameon=False, fontsize="small")


def draw(results: Sequence[Result], truth: Truth, output: Path) -> None:
    """The whole figure, as a PNG file."""
    height = 2.6 * len(results) + 3
    figure = pyplot.figure(figsize=(11, height), dpi=110, layout="constrained")
    rows = figure.subfigures(len(results) + 1, 1, height_ratios=[2.6] * len(results) + [3])
    for row, result in zip(rows, results, strict=False):
        draw_row(row, result, truth)
    axes = rows[-1].subplots()
    for result in results:
        axes.plot(result.epochs, result.region, "o-", markersize=3, label=result.name)
    consensus = np.broadcast_to(truth.states.mean(axis=0), truth.states.shape)
    axes.axhline(
        region_score(consensus, truth), color="k", linestyle="--", linewidth=1, label="mean of the true maps"
    )
    axes.set(xscale="log", xlabel="epoch", ylabel="mean FSC in the region")
    axes.legend(frameon=False)
    figure.savefig(output)


def main() -> None:
    """Parse, compute, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("truth", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    shape = {"nargs": 3, "action": "append", "default": [], "metavar": ("NAME", "FOLDER", "EPOCH")}
    parser.add_argument("--ours", **shape)
    parser.add_argument("--peer", **shape)
    options = parser.parse_args()
    truth = Truth.open(options.truth)
    results = [our_result(name, Path(run), int(epoch), truth) for name, run, epoch in options.ours]
    results += [peer_result(name, Path(run), int(epoch), truth) for name, run, epoch in options.peer]
    draw(results, truth, options.output)


if __name__ == "__main__":
    main()
