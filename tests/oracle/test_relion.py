"""RELION's programs on our files: it must reconstruct our particles, project our maps, and read our subsets."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import starfile
import torch

from napari_sbackprop.analysis.selection import ParticleSelection, export_selection
from napari_sbackprop.analysis.validation import state_fsc
from napari_sbackprop.config import Config
from napari_sbackprop.data.loader import read_images
from napari_sbackprop.data.mrc import open_stack, read_volume, write_stack
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.star import read_columns, read_particles
from napari_sbackprop.data.subset import write_subset
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.imaging.shells import fourier_shell_correlation
from napari_sbackprop.run_directory import RunDirectory

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(shutil.which("relion_reconstruct") is None, reason="RELION is not installed"),
]

BOX, PIXEL_SIZE = 48, 5.4
GOOD_TO = round(0.9 * BOX / 2)  # shells
Rows = list[list[str]]


@dataclass(frozen=True)
class SimulatedSet:
    """Noise-free images of one state, and a subset in which no particle lacks a part."""

    star: Path
    complete: Path
    truth: Truth

    @property
    def folder(self) -> Path:
        return self.star.parent


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> SimulatedSet:
    folder = tmp_path_factory.mktemp("relion") / "set"
    star = simulate(folder, states=1, particles=500, box=BOX, pixel_size=PIXEL_SIZE, snr=np.inf)
    truth = Truth.open(folder / "truth")
    complete = folder / "complete.star"
    write_subset(star, np.flatnonzero(truth.subunit == 1), complete)
    return SimulatedSet(star, complete, truth)


def relion(folder: Path, *command: str) -> None:
    """Run one of RELION's programs in a folder; on failure show what it said."""
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"


def reconstruct(star: Path) -> npt.NDArray[np.float32]:
    """RELION's map of the particles in a STAR file, CTF-corrected."""
    output = star.with_suffix(".mrc")
    relion(star.parent, "relion_reconstruct", "--i", star.name, "--o", output.name, "--ctf")
    return read_volume(output)[0]


def agreement(volume: npt.NDArray[np.float32], truth: Truth) -> npt.NDArray[np.float64]:
    """Fourier shell correlation with the true map inside the solvent mask, shells 1 to `GOOD_TO`."""
    return state_fsc(volume[None], truth.states, truth.solvent)[0, 1 : GOOD_TO + 1]


def rewrite(source: Path, target: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> Path:
    """Write a STAR file with changed values of the particle rows; `change` gets and gives values by label."""
    labels: list[str] = []
    lines = []
    for line in source.read_text().splitlines():
        if line.startswith("data_"):
            labels = []
        elif line.startswith("_"):
            labels.append(line.split()[0][1:])
        elif "@" in line:
            row = dict(zip(labels, line.split(), strict=True))
            line = " ".join({**row, **change(row)}.values())
        lines.append(line)
    target.write_text("\n".join(lines) + "\n")
    return target


def test_relion_reconstructs_the_true_map(simulated: SimulatedSet) -> None:
    assert agreement(reconstruct(simulated.complete), simulated.truth).min() > 0.99


def transposed_pose(row: dict[str, str]) -> dict[str, str]:
    rot, tilt, psi = (float(row[name]) for name in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"))
    return {"rlnAngleRot": str(-psi), "rlnAngleTilt": str(-tilt), "rlnAnglePsi": str(-rot)}


def flipped_shift(row: dict[str, str]) -> dict[str, str]:
    return {name: str(-float(row[name])) for name in ("rlnOriginXAngst", "rlnOriginYAngst")}


def half_pixel_off(row: dict[str, str]) -> dict[str, str]:
    return {name: str(float(row[name]) + PIXEL_SIZE / 2) for name in ("rlnOriginXAngst", "rlnOriginYAngst")}


@pytest.mark.parametrize("wrong", [transposed_pose, flipped_shift, half_pixel_off])
def test_wrong_geometry_fails_the_same_check(
    simulated: SimulatedSet, wrong: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    star = rewrite(simulated.complete, simulated.folder / f"{wrong.__name__}.star", wrong)
    assert agreement(reconstruct(star), simulated.truth).min() < 0.9


def test_negated_ctf_fails_the_same_check(simulated: SimulatedSet) -> None:
    write_stack(
        simulated.folder / "negated.mrcs", -open_stack(simulated.folder / "particles.mrcs"), PIXEL_SIZE
    )
    star = simulated.folder / "negated.star"
    star.write_text(simulated.complete.read_text().replace("@particles.mrcs", "@negated.mrcs"))
    assert agreement(reconstruct(star), simulated.truth).max() < -0.9


def test_relion_projects_the_true_map_into_our_images(simulated: SimulatedSet) -> None:
    relion(
        simulated.folder,
        *("relion_project", "--i", "truth/state_00.mrc", "--ang", "complete.star", "--o", "projected"),
        *("--angpix", str(PIXEL_SIZE), "--ctf"),
    )
    ours = read_particles(simulated.complete)
    images = read_images(ours, np.arange(ours.count))
    projected = np.array(open_stack(simulated.folder / "projected.mrcs"))
    # RELION interpolates the map's transform, we sum the scatterers: a few per cent, and no factor between them.
    scale = (images * projected).sum() / (projected**2).sum()
    assert scale == pytest.approx(1, abs=0.01)
    assert np.linalg.norm(images - projected) < 0.06 * np.linalg.norm(images)


def test_relion_reads_a_subset_of_ours(simulated: SimulatedSet) -> None:
    relion(
        simulated.folder,
        *("relion_star_handler", "--i", "complete.star", "--o", "first_half.star"),
        *("--select", "rlnRandomSubset", "--minval", "1", "--maxval", "1"),
    )
    ours, theirs = read_columns(simulated.complete), read_columns(simulated.folder / "first_half.star")
    first = ours["rlnRandomSubset"] == 1
    assert theirs["rlnImageName"].tolist() == ours["rlnImageName"][first].tolist()
    assert np.allclose(theirs["rlnDefocusU"], ours["rlnDefocusU"][first].astype(float))
    assert agreement(reconstruct(simulated.folder / "first_half.star"), simulated.truth).min() > 0.9


@pytest.mark.parametrize("from_original", [False, True])
def test_an_exported_selection_reconstructs_as_the_same_rows_of_its_source(
    tmp_path: Path, from_original: bool
) -> None:
    """Every shell, of noisy images, so that one wrong row would show."""
    source = simulate(tmp_path / "set", states=1, particles=300, box=BOX, pixel_size=PIXEL_SIZE, snr=0.1)
    run = RunDirectory.create(tmp_path / "run", source, Config(), {})
    chosen = np.sort(np.random.default_rng(1).choice(300, 120, replace=False))
    tables = starfile.read(source)
    rows = tables["particles"].iloc[chosen]
    original = source.with_name("reversed.star") if from_original else None
    if original is not None:
        starfile.write({**tables, "particles": tables["particles"][::-1]}, original)
    exported, expected = source.with_name("exported.star"), source.with_name("expected.star")
    export_selection(run, ParticleSelection("chosen", chosen, {}), exported, original)
    starfile.write({**tables, "particles": rows}, expected)
    maps = [torch.from_numpy(reconstruct(star)) for star in (exported, expected)]
    assert fourier_shell_correlation(*maps)[1 : BOX // 2].min() >= 0.9999
    starfile.write(
        {**tables, "particles": tables["particles"].drop(chosen[0]).iloc[:120]}, expected, overwrite=True
    )
    other = torch.from_numpy(reconstruct(expected))
    assert fourier_shell_correlation(maps[0], other)[1 : BOX // 2].min() < 0.99
