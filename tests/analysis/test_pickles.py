"""A run as the pickles of cryoDRGN."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import starfile
import torch
from refined_run import COUNT, publish_corrections, refined

from napari_sbackprop.analysis.pickles import write_pickles
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.imaging.poses import euler_to_matrix
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.refined_star import write_refined

ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
SHIFTS = ["rlnOriginXAngst", "rlnOriginYAngst"]
DEFOCUS = ["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"]


@pytest.fixture(scope="module")
def star(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("set") / "set", states=2, particles=COUNT, box=36, pixel_size=8.0)


def assert_holds(folder: Path, star: Path) -> None:
    """The pickles have the poses and defocus values of a STAR file."""
    rows = starfile.read(star)["particles"]
    rotation, shift = pickle.loads((folder / "poses.pkl").read_bytes())
    expected = euler_to_matrix(torch.from_numpy(rows[ANGLES].to_numpy())).numpy()
    np.testing.assert_allclose(rotation, expected, atol=2e-6)
    np.testing.assert_allclose(shift * 36 * 8.0, rows[SHIFTS].to_numpy(), atol=1e-5)
    ctf = pickle.loads((folder / "ctf.pkl").read_bytes())
    np.testing.assert_allclose(ctf[:, 2:5], rows[DEFOCUS].to_numpy(), rtol=1e-6)


@pytest.mark.parametrize(("poses", "ctf"), [(True, True), (True, False), (False, True), (False, False)])
def test_poses_and_defocus_are_those_that_the_run_refined(
    star: Path, tmp_path: Path, poses: bool, ctf: bool
) -> None:
    corrections = refined(tmp_path / "run", star, poses=poses, ctf=ctf)
    write_pickles(tmp_path / "run", tmp_path / "drgn")
    expected = star
    if corrections.any():
        expected = tmp_path / "refined.star"
        write_refined(tmp_path / "run", expected)
    assert_holds(tmp_path / "drgn", expected)


def test_an_earlier_epoch_has_its_own_poses(star: Path, tmp_path: Path) -> None:
    refined(tmp_path / "run", star, epoch=3)
    write_refined(tmp_path / "run", tmp_path / "third.star")
    publish_corrections(RunDirectory(tmp_path / "run"), 4)
    write_refined(tmp_path / "run", tmp_path / "fourth.star")
    for epoch, name in ((3, "third"), (4, "fourth")):
        write_pickles(tmp_path / "run", tmp_path / name, epoch)
        assert_holds(tmp_path / name, tmp_path / f"{name}.star")


def test_what_cryodrgn_does_not_know_is_said(
    star: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refined(tmp_path / "plain", star)
    write_pickles(tmp_path / "plain", tmp_path / "plain_drgn")
    assert "does not know" not in caplog.text
    tables = starfile.read(star)
    tables["optics"] = tables["optics"].assign(
        rlnMagMat00=1.01, rlnMagMat01=0, rlnMagMat10=0, rlnMagMat11=1, rlnEvenZernike="[0,0,0,5]"
    )
    tables["particles"] = tables["particles"].assign(rlnCtfBfactor=20, rlnBeamTiltX=1, rlnBeamTiltY=0)
    starfile.write(tables, tmp_path / "more.star")
    refined(tmp_path / "more", tmp_path / "more.star")
    write_pickles(tmp_path / "more", tmp_path / "drgn")
    lost = "has B-factors, beam tilt, Zernike coefficients, anisotropic magnification, which cryoDRGN does not know"
    assert lost in caplog.text
