"""cryoDRGN's own programs on our files, and its reading of cryoSPARC's beside ours."""

import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_files import cryosparc_rows, save_rows
from refined_run import COUNT, refined

from napari_sbackprop.analysis.pickles import write_pickles
from napari_sbackprop.analysis.selection import ParticleSelection, export_selection
from napari_sbackprop.config import Config
from napari_sbackprop.data.cryosparc_subset import write_cryosparc_subset
from napari_sbackprop.data.mrc import read_volume
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.source import open_source
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.imaging.shells import fourier_shell_correlation
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.refined_star import write_refined
from napari_sbackprop.training.trainer import train

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(importlib.util.find_spec("cryodrgn") is None, reason="cryoDRGN is not installed"),
]


def cryodrgn(*arguments: object) -> None:
    """Run a command of cryoDRGN; on failure show what it said."""
    code = "from cryodrgn.command_line import main_commands; main_commands()"
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert result.returncode == 0, f"{' '.join(map(str, arguments))}\n{result.stdout}\n{result.stderr}"


def load(path: Path):
    with path.open("rb") as file:
        return pickle.load(file)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise-free images of two states."""
    folder = tmp_path_factory.mktemp("cryodrgn") / "set"
    simulate(folder, states=2, particles=400, box=36, pixel_size=8.0, snr=np.inf, seed=2)
    return folder


@pytest.fixture(scope="module")
def run(simulated: Path) -> Path:
    config = Config(latent_size=2, basis_size=2, epochs=0, threads=1, device="cpu")
    list(train(simulated / "particles.star", simulated.parent / "run", config))
    return simulated.parent / "run"


def test_its_back_projection_of_a_selection_shows_the_state(
    simulated: Path, run: Path, tmp_path: Path
) -> None:
    write_pickles(run, tmp_path / "drgn")
    truth = Truth.open(simulated / "truth")
    members = np.flatnonzero((truth.labels == 1) & (truth.subunit == 1))
    export_selection(RunDirectory(run), ParticleSelection("one", members, {}), tmp_path / "one.pkl")
    files = ["--poses", tmp_path / "drgn/poses.pkl", "--ctf", tmp_path / "drgn/ctf.pkl"]
    options = ["--ind", tmp_path / "one.pkl", "-o", tmp_path / "maps", "--no-half-maps"]
    cryodrgn("backproject_voxel", simulated / "particles.mrcs", *files, *options)
    (path,) = (tmp_path / "maps").glob("*backproject*.mrc")
    volume = torch.from_numpy(np.array(read_volume(path)[0]))
    right, wrong = (
        fourier_shell_correlation(volume, torch.from_numpy(truth.states[state]))[1:14].mean()
        for state in (1, 0)
    )
    assert right > 0.9
    assert right > wrong


def test_its_graph_traversal_walks_our_latents(run: Path, tmp_path: Path) -> None:
    files = write_pickles(run, tmp_path / "drgn")
    (latents,) = (path for path in files if path.name.startswith("z."))
    mean = load(latents)
    goal = np.argsort(np.linalg.norm(mean - mean[0], axis=1))[20]  # near enough for a path
    options = ["-o", tmp_path / "path.txt", "--outind", tmp_path / "ind.txt", "--avg-neighbors", 10]
    cryodrgn("graph_traversal", latents, "--anchors", 0, goal, *options)
    walked = np.loadtxt(tmp_path / "ind.txt", dtype=int)
    assert (walked[0], walked[-1]) == (0, goal)
    np.testing.assert_allclose(np.loadtxt(tmp_path / "path.txt"), mean[walked], atol=1e-4)


def test_it_parses_the_same_poses_and_ctfs_from_a_star_file(
    simulated: Path, run: Path, tmp_path: Path
) -> None:
    write_pickles(run, tmp_path / "drgn")
    star = simulated / "particles.star"
    size = ["-D", 36, "--Apix", 8.0]
    cryodrgn("parse_pose_star", star, *size, "-o", tmp_path / "pose.pkl")
    cryodrgn("parse_ctf_star", star, *size, "--ps", 0, "-o", tmp_path / "ctf.pkl")
    for ours, theirs in zip(load(tmp_path / "drgn/poses.pkl"), load(tmp_path / "pose.pkl"), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    np.testing.assert_allclose(load(tmp_path / "drgn/ctf.pkl"), load(tmp_path / "ctf.pkl"), rtol=1e-6)


def test_it_parses_the_same_refined_poses(tmp_path: Path) -> None:
    star = simulate(tmp_path / "set", states=2, particles=COUNT, box=36, pixel_size=8.0)
    refined(tmp_path / "run", star)
    write_pickles(tmp_path / "run", tmp_path / "drgn")
    write_refined(tmp_path / "run", tmp_path / "refined.star")
    cryodrgn(
        "parse_pose_star", tmp_path / "refined.star", "-D", 36, "--Apix", 8.0, "-o", tmp_path / "pose.pkl"
    )
    for ours, theirs in zip(load(tmp_path / "drgn/poses.pkl"), load(tmp_path / "pose.pkl"), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_it_parses_the_same_from_a_subset_for_cryosparc(simulated: Path, tmp_path: Path) -> None:
    rows = cryosparc_rows(
        simulated / "particles.star",
        ctf_phase_shift_rad=np.linspace(0, 1, 400, dtype=np.float32),
        # cryoDRGN takes shifts to be in pixels of the images
        alignments3D_psize_A=np.full(400, 8.0, np.float32),
    )
    source, chosen = save_rows(simulated / "J1_particles.cs", rows), np.arange(5, 300, 3)
    write_cryosparc_subset(source, (), chosen, simulated / "state.cs")
    cryodrgn("parse_pose_csparc", simulated / "state.cs", "-o", tmp_path / "pose.pkl")
    cryodrgn("parse_ctf_csparc", simulated / "state.cs", "-o", tmp_path / "ctf.pkl")
    ours = read_particles(simulated / "state.cs")
    theirs = read_particles(
        open_source(
            _stack(simulated, chosen, tmp_path), poses=tmp_path / "pose.pkl", ctf=tmp_path / "ctf.pkl"
        )
    )
    for name in ("rotation", "shift", "defocus", "phase_shift"):
        np.testing.assert_allclose(
            getattr(ours, name), getattr(theirs, name), rtol=1e-5, atol=1e-4, err_msg=name
        )


def _stack(folder: Path, chosen: np.ndarray, output: Path) -> Path:
    from napari_sbackprop.data.mrc import open_stack, write_stack

    write_stack(output / "chosen.mrcs", np.asarray(open_stack(folder / "particles.mrcs")[chosen]), 8.0)
    return output / "chosen.mrcs"
