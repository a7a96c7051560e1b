"""Other programs' files on the command line: in, trained on, and out again."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from foreign_files import cryosparc_rows, only, save_rows, without
from test_cli import fail, run_command, succeed

from napari_sbackprop.data.cryodrgn import write_ctf, write_poses
from napari_sbackprop.data.star import read_particles

START = ["--latent-size", 2, "--basis-size", 2, "--epochs", 0]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated particles, as a cryoSPARC job (J2) and as cryoDRGN's pickles too."""
    folder = tmp_path_factory.mktemp("foreign") / "P1"
    succeed("simulate", folder, "--particles", 100, "--states", 2, "--box", 36, "--pixel-size", 8, "--snr", 1)
    rows = cryosparc_rows(folder / "particles.star")
    images = ("blob/path", "blob/idx", "blob/shape", "blob/psize_A")
    save_rows(folder / "J2" / "J2_particles.cs", without(rows, *images))
    save_rows(folder / "J2" / "passed" / "J2_images.cs", only(rows, "uid", *images))
    particles = read_particles(folder / "particles.star")
    write_poses(folder / "pose.pkl", particles)
    write_ctf(folder / "ctf.pkl", particles)
    return folder


@pytest.fixture(scope="module")
def cryosparc_run(sample: Path) -> Path:
    main, images = sample / "J2" / "J2_particles.cs", sample / "J2" / "passed" / "J2_images.cs"
    assert "--passthrough" in fail("train", main, sample / "run_cs", *START)
    assert not (sample / "run_cs").exists()
    report = succeed("check", main, "--passthrough", images)
    assert (report["kind"], report["errors"], report["facts"]["other_files"]) == (
        "cryosparc",
        [],
        ["J2_images.cs"],
    )
    succeed("train", main, sample / "run_cs", "--passthrough", images, *START)
    return sample / "run_cs"


@pytest.fixture(scope="module")
def cryodrgn_run(sample: Path) -> Path:
    files = ["--poses", sample / "pose.pkl", "--ctf", sample / "ctf.pkl"]
    assert "needs both --poses and --ctf" in fail(
        "train", sample / "particles.mrcs", sample / "run_pkl", *files[:2]
    )
    report = succeed("check", sample / "particles.mrcs", *files)
    assert (report["kind"], report["errors"], report["facts"]["particles"]) == ("stack", [], 100)
    succeed("train", sample / "particles.mrcs", sample / "run_pkl", *files, *START)
    return sample / "run_pkl"


def test_cryosparc_in_and_out(sample: Path, cryosparc_run: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "chosen.npy", np.arange(0, 50))
    values = succeed(
        "select", cryosparc_run, "--indices", tmp_path / "chosen.npy", "-o", tmp_path / "state.cs"
    )
    assert (values["cs"], values["rows"]) == (str(tmp_path / "state.cs"), 50)
    before = np.load(sample / "J2" / "J2_particles.cs")
    assert np.load(tmp_path / "state.cs").tobytes() == before[:50].tobytes()
    assert "'>state_passthrough_1.cs'" in (tmp_path / "state.csg").read_text()
    values = succeed("reconstruct", cryosparc_run, tmp_path / "state.cs", "-o", tmp_path / "maps")
    assert sum(values["half_sets"]) == 50
    values = succeed("train", sample / "J2" / "J2_particles.cs", cryosparc_run, "--resume", "--epochs", 1)
    assert values["epochs"]


def test_cryodrgn_in_and_out(cryodrgn_run: Path, tmp_path: Path) -> None:
    (tmp_path / "ind.pkl").write_bytes(pickle.dumps(np.array([4, 2, 30])))
    choice = ["--indices", tmp_path / "ind.pkl"]
    assert succeed("select", cryodrgn_run, *choice, "-o", tmp_path / "out.pkl")["indices"] == str(
        tmp_path / "out.pkl"
    )
    assert pickle.loads((tmp_path / "out.pkl").read_bytes()).tolist() == [2, 4, 30]
    assert "no rows for" in fail("select", cryodrgn_run, *choice, "-o", tmp_path / "out.cs")
    values = succeed("pickles", cryodrgn_run, "-o", tmp_path / "drgn")
    assert values["files"][:2] == ["ctf.pkl", "poses.pkl"]
    rotation, shift = pickle.loads((tmp_path / "drgn" / "poses.pkl").read_bytes())
    expected = pickle.loads((cryodrgn_run / "poses.pkl").read_bytes())
    np.testing.assert_allclose(rotation, expected[0], atol=2e-6)
    np.testing.assert_allclose(shift, expected[1], atol=2e-6)
    assert "is not empty" in fail("pickles", cryodrgn_run, "-o", tmp_path / "drgn")


def test_all_formats_give_the_same_latents(sample: Path, cryodrgn_run: Path, tmp_path: Path) -> None:
    files = ["--poses", sample / "pose.pkl", "--ctf", sample / "ctf.pkl"]
    latents = {}
    for name, arguments in {
        "star": [sample / "particles.star"],
        "cs": [sample / "J2" / "J2_particles.cs", "--passthrough", sample / "J2" / "passed" / "J2_images.cs"],
        "pkl": [sample / "particles.mrcs", *files],
    }.items():
        succeed("encode", cryodrgn_run, *arguments, "-o", tmp_path / f"{name}.npz")
        latents[name] = np.load(tmp_path / f"{name}.npz")["mean"]
    for name in ("cs", "pkl"):
        np.testing.assert_allclose(latents[name], latents["star"], atol=2e-3 * np.abs(latents["star"]).max())


def test_a_malicious_pickle_is_refused_with_a_sentence(sample: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "pose.pkl").write_bytes(b"cos\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR.")
    files = ["--poses", tmp_path / "pose.pkl", "--ctf", sample / "ctf.pkl"]
    sentence = fail("train", sample / "particles.mrcs", tmp_path / "run", *files)
    assert "pose.pkl holds os.system, and only numpy arrays are read, as pickles can run code" in sentence
    report = json.loads(run_command("check", sample / "particles.mrcs", *files, "--json").stdout)
    assert sentence.removeprefix("Error: ") in report["errors"][0]
    assert not mark.exists()
    assert not (tmp_path / "run").exists()
