"""The command line, end to end on a few hundred simulated particles."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from napari_sbackprop.analysis import trajectories
from napari_sbackprop.analysis.particle_set import ParticleSet, write_sets
from napari_sbackprop.cli import application
from napari_sbackprop.cli.latent_plot import plot_latents
from napari_sbackprop.config import Config
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training import half_runs

COMMANDS = ["demo", "simulate", "check", "train", "encode", "adopt", "volumes"]
COMMANDS += [
    "embed",
    "pickles",
    "poses",
    "evaluate",
    "explore",
    "select",
    "classes",
    "reconstruct",
    "residual",
    "halves",
]
COMMANDS += ["relion-job", "info", "compile"]
PARTICLES, STATES, BOX = 200, 4, 36
SMALL = [
    "--latent-size",
    "2",
    "--basis-size",
    "2",
    "--epochs",
    "1",
    "--batch-size",
    "50",
    "--encoder-width",
    "16",
]


def run_command(*arguments: object) -> Result:
    return CliRunner().invoke(application, [str(item) for item in arguments])


def succeed(*arguments: object) -> dict[str, Any]:
    """Run a command that must succeed, and give its JSON object."""
    result = run_command(*arguments, "--json")
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert isinstance(values, dict)
    return values


def fail(*arguments: object) -> str:
    """Run a command that must fail with one sentence, and give it."""
    result = run_command(*arguments)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: ")
    return line


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "sample"
    options = ["--particles", PARTICLES, "--states", STATES, "--box", BOX, "--pixel-size", 8, "--snr", 1]
    values = succeed("simulate", folder, *options)
    assert values["particles"] == PARTICLES
    assert Path(values["star"]) == folder / "particles.star"
    return folder


@pytest.fixture(scope="module")
def trained(sample: Path) -> Path:
    run = sample.parent / "run"
    values = succeed("train", sample / "particles.star", run, *SMALL)
    assert set(values) == {"run", "epochs", "stopped", "seconds", "metrics"}
    assert values["epochs"]
    assert values["stopped"] is False
    return run


# -- help ------------------------------------------------------------------------------------------------------------


def test_help_lists_all_commands() -> None:
    result = run_command("--help")
    assert re.findall(r"^  (\w[\w-]*)  +[A-Z]\w+", result.output, re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_gives_examples(command: str) -> None:
    result = run_command(command, "--help")
    assert result.exit_code == 0
    assert f"  napari-sbackprop {command}" in result.output.split("Examples:")[1]


def test_every_option_of_training_is_a_flag() -> None:
    text = run_command("train", "--help").output
    for name in Config().to_json():
        assert f"--{name.replace('_', '-')} " in text


def test_version_is_that_of_the_package() -> None:
    from napari_sbackprop import __version__

    assert run_command("--version").stdout.strip() == __version__


# -- from particles to a subset --------------------------------------------------------------------------------------


def test_check_reports_what_was_understood(sample: Path) -> None:
    values = succeed("check", sample / "particles.star")
    assert values["errors"] == []
    text = run_command("check", sample / "particles.star").stdout
    assert str(PARTICLES) in text
    assert str(BOX) in text


def test_check_follows_images_that_moved(sample: Path, tmp_path: Path) -> None:
    star = tmp_path / "particles.star"
    star.write_text((sample / "particles.star").read_text().replace("@", "@/old/place/"))
    result = run_command("check", star, "--json")
    assert result.exit_code == 1
    assert "Add --path-map /old/place=FOLDER" in json.loads(result.stdout)["errors"][0]
    assert succeed("check", star, "--path-map", f"/old/place={sample}")["errors"] == []
    assert "must be OLD=NEW" in fail("check", star, "--path-map", "/old/place")


def test_embed_keeps_the_embedding(trained: Path) -> None:
    values = succeed("embed", trained, "--method", "pca")
    assert values["particles"] == PARTICLES
    assert (trained / "epochs" / f"{values['epoch']:04d}" / "embedding_pca.npz").is_file()


def test_volumes_of_latents_keep_their_order(trained: Path, tmp_path: Path) -> None:
    latents = np.array([[0.0, 0.0], [1.5, -1.0], [0.0, 0.0]], dtype=np.float32)
    np.save(tmp_path / "latents.npy", latents)
    values = succeed("volumes", trained, "-o", tmp_path / "maps", "--latents", tmp_path / "latents.npy")
    names = [Path(name).name for name in values["volumes"]]
    assert names == ["volume_000.mrc", "volume_001.mrc", "volume_002.mrc"]
    maps = [mrcfile.read(tmp_path / "maps" / name) for name in names]
    assert maps[0].shape == (BOX, BOX, BOX)
    np.testing.assert_array_equal(maps[0], maps[2])
    assert np.abs(maps[0] - maps[1]).max() > 0
    with mrcfile.open(tmp_path / "maps" / names[0]) as file:
        assert float(file.voxel_size.x) == pytest.approx(8)
    script = Path(values["chimerax"])
    assert script.parent == tmp_path / "maps"
    level = float(script.read_text().split("level ")[1].split()[0])
    assert 0 < level < maps[0].max()  # it shows something


@pytest.mark.parametrize("joined", [20_000, 20, 1])
def test_a_path_between_particles_starts_and_ends_at_them(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, joined: int
) -> None:
    monkeypatch.setattr(trajectories, "MOST_JOINED", joined)
    values = succeed("volumes", trained, "-o", tmp_path / "maps", "--between", 3, 11, "--frames", 4)
    assert len(values["volumes"]) == 4
    mean = RunDirectory(trained).read_latents(values["epoch"]).mean
    np.testing.assert_allclose(np.load(tmp_path / "maps" / "latents.npy")[[0, -1]], mean[[3, 11]], atol=1e-6)
    assert not list(tmp_path.glob(".maps*"))


def test_a_path_of_one_row_is_refused(trained: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros((1, 2), np.float32))
    sentence = fail("volumes", trained, "-o", tmp_path / "maps", "--path", tmp_path / "one.npy")
    assert "one.npy must have at least two rows for --path" in sentence


def test_select_by_the_density_in_a_region(trained: Path, tmp_path: Path) -> None:
    succeed("volumes", trained, "-o", tmp_path / "all", *(f"--particle={i}" for i in range(PARTICLES)))
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] * 8.0  # Å
    inside = (x - 160) ** 2 + (y - 152) ** 2 + (z - 144) ** 2 <= 20**2
    files = sorted((tmp_path / "all").glob("*.mrc"))
    density = np.array([mrcfile.read(file)[inside].mean(dtype=np.float64) for file in files])
    least = (np.sort(density)[99] + np.sort(density)[100]) / 2
    options = ["--region", "160,152,144,20", "--min-density", repr(float(least))]
    assert succeed("select", trained, "-o", tmp_path / "in.star", *options)["particles"] == 100
    chosen = json.loads((tmp_path / "in.json").read_text())["indices"]
    np.testing.assert_array_equal(chosen, np.flatnonzero(density >= least))


def test_select_by_what_an_epoch_says_of_particles(trained: Path, tmp_path: Path) -> None:
    values = succeed(
        "select", trained, "-o", tmp_path / "sure.star", "--where", "latent_sigma < 2 & evidence > -99"
    )
    assert values["particles"] == PARTICLES


@pytest.mark.parametrize(
    ("options", "count"),
    [(["--particle", 3, "--particle", 0], 2), (["--kmeans", 3], 3), (["--basis"], 3)],
    ids=["particles", "clusters", "basis"],
)
def test_volumes_of_other_sources(trained: Path, tmp_path: Path, options: list[object], count: int) -> None:
    assert len(succeed("volumes", trained, "-o", tmp_path / "maps", *options)["volumes"]) == count


def test_path_starts_and_ends_at_its_points(trained: Path, tmp_path: Path) -> None:
    points = np.array([[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    np.save(tmp_path / "points.npy", points)
    succeed("volumes", trained, "-o", tmp_path / "maps", "--path", tmp_path / "points.npy", "--frames", 5)
    latents = np.load(tmp_path / "maps" / "latents.npy")
    assert latents.shape == (5, 2)
    np.testing.assert_allclose(latents[[0, 2, 4]], points, atol=1e-6)


def data_rows(star: Path) -> list[str]:
    return [line for line in star.read_text().splitlines() if "@" in line]


def test_selected_rows_are_those_of_the_source(trained: Path, sample: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "indices.npy", np.array([7, 2, 2]))
    values = succeed("select", trained, "-o", tmp_path / "subset.star", "--indices", tmp_path / "indices.npy")
    assert values["rows"] == 2
    rows = data_rows(sample / "particles.star")
    assert data_rows(tmp_path / "subset.star") == [rows[2], rows[7]]
    assert json.loads((tmp_path / "subset.json").read_text())["indices"] == [2, 7]


def test_the_least_contrast_parts_the_particles(trained: Path, sample: Path, tmp_path: Path) -> None:
    run = RunDirectory(trained)
    contrast = run.read_latents(run.latest_epoch()).contrast
    least = float(np.median(contrast))
    succeed("select", trained, "-o", tmp_path / "good.star", "--min-contrast", least)
    rows = data_rows(sample / "particles.star")
    assert data_rows(tmp_path / "good.star") == [
        row for row, value in zip(rows, contrast, strict=True) if value >= least
    ]


def test_a_selection_is_reconstructed_from_its_images(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "indices.npy", np.arange(0, PARTICLES, 2))
    succeed("select", trained, "-o", tmp_path / "half.star", "--indices", tmp_path / "indices.npy")
    values = succeed("reconstruct", trained, tmp_path / "half.star", "-o", tmp_path / "maps")
    assert values["particles"] == sum(values["half_sets"]) == PARTICLES // 2
    assert values["resolution"] > 2 * voxel_size(tmp_path / "maps" / "average.mrc")
    names = {path.name for path in (tmp_path / "maps").iterdir()}
    assert names == {"fsc.csv"} | {
        f"{name}.mrc" for name in ("half1_unfil", "half2_unfil", "average", "decoded", "mask")
    }
    table = (tmp_path / "maps" / "fsc.csv").read_text().splitlines()
    assert table[0] == "shell,angstrom,unmasked,masked,corrected,decoded,consensus"
    again = ["reconstruct", trained, tmp_path / "half.star", "-o"]
    assert "is not empty" in fail(*again, tmp_path / "maps")
    monkeypatch.chdir(trained)
    succeed("select", ".", "-o", tmp_path / "here.star", "--indices", tmp_path / "indices.npy")
    assert "is not empty" in fail("reconstruct", ".", tmp_path / "here.star", "-o", tmp_path / "maps")
    assert json.loads((tmp_path / "here.json").read_text())["run"] == str(trained.resolve())
    (tmp_path / "half.json").unlink()
    assert "half.json does not say" in fail(*again, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_the_model_leaves_is_mapped(trained: Path, tmp_path: Path) -> None:
    target = tmp_path / "residual.mrc"
    values = succeed("residual", trained, "-o", target, "--resolution", 40)
    assert values["particles"] == PARTICLES
    assert values["molecule"] > values["solvent"]  # one epoch with two directions explains little
    x, y, z = (round(place / voxel_size(target)) for place in values["place"])
    with mrcfile.open(target) as file:
        assert file.data[z, y, x] == pytest.approx(values["largest"], abs=1e-3)
    assert "exists already" in fail("residual", trained, "-o", target)


def test_halves_are_trained_apart_and_compared(trained: Path, sample: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "indices.npy", np.arange(0, PARTICLES, 4))
    values = succeed("halves", trained, tmp_path / "indices.npy", "-o", tmp_path / "apart")
    names = ["consensus", "direction_1", "direction_2", "selection"]
    assert list(values) == ["folder", "particles", "half_sets", *names, "epoch"]
    assert values["half_sets"] == [PARTICLES // 2] * 2
    assert set(values["consensus"]) == {"fsc", "resolution"}
    assert set(values["selection"]) == {"size", "shown", "fsc", "resolution"}
    assert values["direction_1"]["shown"] > 0.3
    files = {path.name for path in (tmp_path / "apart").iterdir()}
    maps = {f"{half}_{name}.mrc" for half in ("half1", "half2") for name in names}
    assert files == {"fsc.csv", "mask.mrc", "half1", "half2", "half1.star", "half2.star"} | maps
    table = (tmp_path / "apart" / "fsc.csv").read_text().splitlines()
    assert table[0] == "shell,angstrom,consensus,direction_1,direction_2,selection"
    column = [float(row.split(",")[2]) for row in table[1:]]
    assert np.mean(column) == pytest.approx(values["consensus"]["fsc"], abs=1e-3)
    succeed("select", tmp_path / "apart" / "half1", "-o", tmp_path / "half.star", "--min-contrast", -9)
    assert data_rows(tmp_path / "half.star") == data_rows(tmp_path / "apart" / "half1.star")
    assert "is not empty" in fail("halves", trained, "-o", tmp_path / "apart")
    np.save(tmp_path / "few.npy", np.arange(5))
    assert "few.npy has 5 particles" in fail("halves", trained, tmp_path / "few.npy", "-o", tmp_path / "few")
    assert not (tmp_path / "few").exists()
    succeed("pickles", trained, "-o", tmp_path / "drgn")
    succeed("adopt", tmp_path / "drgn", sample / "particles.star", tmp_path / "adopted")
    assert "adopted" in fail("halves", tmp_path / "adopted", "-o", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_halves_that_were_stopped_go_on(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = succeed("halves", trained, "-o", tmp_path / "whole")
    signals = iter([False, True])

    def interrupted(*arguments: Any, **options: Any) -> Any:
        for record in original(*arguments, **options):
            yield record
            if record.epoch is not None and next(signals, False):
                arguments[3].set()

    original = half_runs.train
    monkeypatch.setattr(half_runs, "train", interrupted)
    stopped = run_command("halves", trained, "-o", tmp_path / "apart")
    assert stopped.exit_code == 130
    assert "--resume goes on" in stopped.stderr
    assert not (tmp_path / "apart" / "fsc.csv").exists()
    resumed = succeed("halves", trained, "-o", tmp_path / "apart", "--resume")
    assert {**resumed, "folder": ""} == {**whole, "folder": ""}


def test_a_run_without_a_decoder_gives_the_same_half_maps(
    trained: Path, sample: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "indices.npy", np.arange(0, PARTICLES, 2))
    succeed("pickles", trained, "-o", tmp_path / "drgn")
    succeed("adopt", tmp_path / "drgn", sample / "particles.star", tmp_path / "adopted")
    for run, output in ((trained, tmp_path / "ours"), (tmp_path / "adopted", tmp_path / "theirs")):
        values = succeed("reconstruct", run, tmp_path / "indices.npy", "-o", output)
        assert ("change" in values) == (run == trained)
        assert np.isfinite(values["resolution"])
    for half in (1, 2):
        ours, theirs = (mrcfile.read(tmp_path / run / f"half{half}_unfil.mrc") for run in ("ours", "theirs"))
        np.testing.assert_array_equal(ours, theirs)
    names = {path.name for path in (tmp_path / "theirs").iterdir()}
    assert names == {"half1_unfil.mrc", "half2_unfil.mrc", "average.mrc", "mask.mrc", "fsc.csv"}
    assert (
        (tmp_path / "theirs" / "fsc.csv").read_text().startswith("shell,angstrom,unmasked,masked,corrected\n")
    )


def voxel_size(path: Path) -> float:
    """Angstrom per voxel of a map."""
    with mrcfile.open(path) as file:
        return float(file.voxel_size.x)


def test_clusters_share_out_the_particles(trained: Path, tmp_path: Path) -> None:
    counts = [
        succeed("select", trained, "-o", tmp_path / f"{cluster}.star", "--kmeans", 2, "--cluster", cluster)[
            "rows"
        ]
        for cluster in range(2)
    ]
    assert sum(counts) == PARTICLES
    assert min(counts) > 0


def test_clusters_become_classes_of_all_particles(trained: Path, tmp_path: Path) -> None:
    values = succeed("classes", trained, "-o", tmp_path / "classes.star", "--kmeans", 3)
    assert values["particles"] == sum(values["classes"]) == PARTICLES
    for number, count in enumerate(values["classes"]):
        output = tmp_path / f"{number}.star"
        options = ["--kmeans", 3, "--cluster", number]
        assert succeed("select", trained, "-o", output, *options)["rows"] == count
        names = [
            row.split()[0]
            for row in data_rows(tmp_path / "classes.star")
            if row.split()[-1] == str(number + 1)
        ]
        assert names == [row.split()[0] for row in data_rows(output)]
    for options in ([], ["--kmeans", 2, "--gmm", 2]):
        assert "Give one of --kmeans K" in fail("classes", trained, "-o", tmp_path / "x.star", *options)


def test_conditions_choose_rows_of_the_source(trained: Path, sample: Path, tmp_path: Path) -> None:
    import starfile

    run = RunDirectory(trained)
    z1 = run.read_latents(run.latest_epoch()).mean[:, 0]
    table = starfile.read(sample / "particles.star")["particles"]
    middle = table["rlnDefocusU"].median()
    text = f"rlnDefocusU > {middle} & z1 < 0"
    succeed("select", trained, "-o", tmp_path / "thick.star", "--where", text)
    expected = np.flatnonzero((table["rlnDefocusU"] > middle) & (z1 < 0))
    rows = data_rows(sample / "particles.star")
    assert data_rows(tmp_path / "thick.star") == [rows[index] for index in expected]
    assert json.loads((tmp_path / "thick.json").read_text())["query"] == text


def test_conditions_may_name_clusters(trained: Path, tmp_path: Path) -> None:
    counts = [
        succeed("select", trained, "-o", tmp_path / f"{number}.star", "--gmm", 3, *choice)["rows"]
        for number, choice in enumerate([("--cluster", 1), ("--where", "cluster == 1")])
    ]
    assert 0 < counts[0] == counts[1] < PARTICLES
    assert data_rows(tmp_path / "0.star") == data_rows(tmp_path / "1.star")
    assert json.loads((tmp_path / "1.json").read_text())["gmm"] == 3


def test_kept_sets_are_written_by_their_names(trained: Path, sample: Path, tmp_path: Path) -> None:
    run = RunDirectory(shutil.copytree(trained, tmp_path / "run"))
    sets = [
        ParticleSet(name, np.array(rows), {}, "#e69f00") for name, rows in [("open", [3, 9]), ("shut", [1])]
    ]
    write_sets(run, sets)
    assert succeed("select", run.path, "-o", tmp_path / "open.star", "--set", "open")["rows"] == 2
    rows = data_rows(sample / "particles.star")
    assert data_rows(tmp_path / "open.star") == [rows[3], rows[9]]
    assert "has the sets open, shut" in fail("select", run.path, "-o", tmp_path / "x.star", "--set", "opne")


def test_polygon_around_everything_selects_everything(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "square.json").write_text("[[-99, -99], [99, -99], [99, 99], [-99, 99]]")
    options = ["--polygon", tmp_path / "square.json", "--method", "pca"]
    assert succeed("select", trained, "-o", tmp_path / "all.star", *options)["rows"] == PARTICLES


def test_a_polygon_that_is_none_is_named(trained: Path, tmp_path: Path) -> None:
    options = ["-o", tmp_path / "all.star", "--method", "pca", "--polygon"]
    (tmp_path / "none.json").write_text("{}")
    assert "none.json: A polygon must be a list" in fail("select", trained, *options, tmp_path / "none.json")
    assert "gone.json does not exist" in fail("select", trained, *options, tmp_path / "gone.json")


def test_original_gives_the_rows_of_another_file(trained: Path, sample: Path, tmp_path: Path) -> None:
    text = (sample / "particles.star").read_text()
    original = sample / "original.star"
    original.write_text(text.replace("data_optics", "# before binning\n\ndata_optics"))
    np.save(tmp_path / "indices.npy", np.array([5]))
    options = ["--indices", tmp_path / "indices.npy", "--original", original]
    succeed("select", trained, "-o", tmp_path / "subset.star", *options)
    assert data_rows(tmp_path / "subset.star") == [data_rows(original)[5]]
    assert "# before binning" in (tmp_path / "subset.star").read_text()


def test_encoding_the_training_particles_places_them(trained: Path, sample: Path, tmp_path: Path) -> None:
    values = succeed("encode", trained, sample / "particles.star", "-o", tmp_path / "latents.npz")
    assert values["particles"] == PARTICLES
    with np.load(tmp_path / "latents.npz") as file:
        assert file["mean"].shape == file["log_variance"].shape == (PARTICLES, 2)
        assert np.isfinite(file["mean"]).all()


def test_evaluate_scores_a_run(trained: Path, sample: Path) -> None:
    values = succeed("evaluate", trained, sample / "truth")
    assert values
    assert "consensus" in json.dumps(values)


def test_info_names_back_ends_and_versions() -> None:
    values = succeed("info")
    assert "cpu" in values["backends"]
    assert values["packages"]["torch"]
    assert values["threads"] >= 1


# -- stopping and going on -------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to a child")
def test_interrupt_keeps_the_last_epoch_and_resume_goes_on(sample: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = [*SMALL, "--epochs", "1000", "--threads", "1", "--json"]
    arguments = [sys.executable, "-m", "napari_sbackprop", "train", sample / "particles.star", run, *options]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        limit = time.monotonic() + 120
        while not (run / "epochs" / "0001").is_dir() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert json.loads(stdout)["stopped"] is True
    assert fail("train", sample / "particles.star", run, "--resume", "--seed", 3).count("--seed") == 1


def test_resume_adds_epochs(sample: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    # No particle is left out, so none can deny an epoch.
    before = succeed("train", sample / "particles.star", run, *SMALL, "--held-out", 0)["epochs"]
    after = succeed("train", sample / "particles.star", run, "--resume", "--epochs", 2)["epochs"]
    assert after == [before[-1] + 1]


# -- what cannot be used ---------------------------------------------------------------------------------------------


def test_missing_star_file_is_one_sentence_of_the_program(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "napari_sbackprop", "train", tmp_path / "absent.star", tmp_path / "run"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    assert "absent.star" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_check_of_a_damaged_file_fails_and_says_why(sample: Path) -> None:
    text = (sample / "particles.star").read_text()
    damaged = sample / "damaged.star"
    damaged.write_text(re.sub(r"@\S+", "@absent.mrcs", text))
    result = run_command("check", damaged, "--json")
    assert result.exit_code == 1
    assert any("absent.mrcs" in sentence for sentence in json.loads(result.stdout)["errors"])


@pytest.mark.skipif(sys.platform == "win32", reason="the limit on sizes of files is Unix's")
def test_a_training_on_a_full_disk_says_so_and_leaves_its_name_free(sample: Path, tmp_path: Path) -> None:
    import resource

    code = "from napari_sbackprop.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", sample / "particles.star", tmp_path / "run", *SMALL],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),  # less than a model
        **{"capture_output": True, "text": True, "check": False},
    )
    assert done.returncode == 1
    assert f"The disk of {tmp_path / 'run'} is full: free some space" in done.stderr
    assert not (tmp_path / "run").exists()


def test_existing_run_directory_is_refused(trained: Path, sample: Path) -> None:
    assert "--resume" in fail("train", sample / "particles.star", trained)


def test_training_options_are_checked_before_reading(tmp_path: Path) -> None:
    assert "--held-out is 0.9" in fail("train", "absent.star", tmp_path / "run", "--held-out", 0.9)


@pytest.mark.parametrize("box", [35, 0])
def test_simulation_options_are_checked(tmp_path: Path, box: int) -> None:
    assert str(box) in fail("simulate", tmp_path / "new", "--box", box)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["embed", "{run}", "--method", "tsne"], "--method is tsne"),
        (["embed", "{run}", "--epoch", "77"], "77"),
        (["embed", "{empty}"], "not a run directory"),
        (["explore", "{empty}"], "not a run directory"),
        (["volumes", "{run}", "-o", "{new}"], "Give one of"),
        (["volumes", "{run}", "-o", "{new}", "--basis", "--kmeans", "2"], "--kmeans and --basis"),
        (["volumes", "{run}", "-o", "{new}", "--particle", "200"], "--particle is 200"),
        (["volumes", "{run}", "-o", "{new}", "--between", "0", "200"], "--between is 200"),
        (["volumes", "{run}", "-o", "{new}", "--between", "5", "5"], "--between is 5 5, but a path needs"),
        (
            ["select", "{run}", "-o", "{new}.star", "--region", "1,2,3,4"],
            "--region X,Y,Z,R with --min-density D",
        ),
        (
            ["select", "{run}", "-o", "{new}.star", "--region", "1,2,3", "--min-density", "1"],
            "four numbers in Å",
        ),
        (
            ["select", "{run}", "-o", "{new}.star", "--region", "144,144,144,-20", "--min-density", "1"],
            "must be above 0 Å",
        ),
        (
            ["select", "{run}", "-o", "{new}.star", "--region", "144,144,144,20", "--min-density", "99"],
            "the highest density there is",
        ),
        (["volumes", "{run}", "-o", "{new}", "--kmeans", "201"], "k-means cannot make 201 clusters"),
        (["volumes", "{run}", "-o", "{new}", "--latents", "{empty}/a.npy"], "a.npy"),
        (["volumes", "{run}", "-o", "{new}", "--latents", "{wide}"], "(S, 2)"),
        (["volumes", "{run}", "-o", "{new}", "--path", "{infinite}"], "row 2"),
        (["volumes", "{run}", "-o", "{run}", "--basis"], "not empty"),
        (["select", "{run}", "-o", "{new}"], "Give one of"),
        (["select", "{run}", "-o", "{new}", "--kmeans", "3"], "Give one of"),
        (["select", "{run}", "-o", "{new}", "--kmeans", "3", "--cluster", "3"], "--cluster is 3"),
        (["select", "{run}", "-o", "{new}", "--gmm", "3", "--cluster", "3"], "--cluster is 3"),
        (["select", "{run}", "-o", "{new}", "--gmm", "3", "--kmeans", "3", "--cluster", "1"], "Give one of"),
        (["select", "{run}", "-o", "{new}", "--where", "z1 > 0", "--cluster", "1"], "Give one of"),
        (["select", "{run}", "-o", "{new}", "--where", "z1 > > 0"], "'>' where a name"),
        (["select", "{run}", "-o", "{new}", "--where", "rlnDefocus > 0"], "names rlnDefocus,"),
        (["select", "{run}", "-o", "{new}", "--where", "cluster == 0"], "there are no clusters"),
        (["select", "{run}", "-o", "{new}", "--where", "z1 > 1e9"], "holds for no particle"),
        (["select", "{run}", "-o", "{new}", "--polygon", "{wide}", "--method", "pca"], "JSON"),
        (["select", "{run}", "-o", "{new}", "--indices", "{infinite}"], "particle numbers"),
        (["evaluate", "{run}", "{empty}"], "{empty}"),
        (["residual", "{run}", "-o", "{new}"], "does not end in .mrc"),
        (["encode", "{run}", "any.star", "-o", "{new}"], "does not end in .npz"),
        (["poses", "{run}", "-o", "{new}"], "does not end in .star"),
        (
            ["select", "{run}", "-o", "{empty}/no/a.star", "--kmeans", "2", "--cluster", "0"],
            "{empty}/no/a.star cannot be written",
        ),
    ],
    ids=lambda value: " ".join(value[:1] + value[2:]) if isinstance(value, list) else None,
)
def test_what_cannot_be_used_is_named(command: list[str], words: str, trained: Path, tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in ("empty", "new", "wide.npy", "infinite.npy")}
    paths["empty"].mkdir()
    np.save(paths["wide.npy"], np.zeros((3, 5)))
    np.save(paths["infinite.npy"], np.array([[0.0, 0.0], [np.inf, 0.0]]))
    names = {name.removesuffix(".npy"): str(path) for name, path in paths.items()} | {"run": str(trained)}
    sentence = fail(*(item.format(**names) for item in command))
    assert words.format(**names) in sentence
    assert not paths["new"].exists()


def test_explorer_without_a_screen_is_refused(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert "no screen" in fail("explore", trained)


# -- the demo --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_demo_leaves_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # No picture of the explorer here: the tests of the window make one.
    monkeypatch.setattr("napari_sbackprop.cli.demo.take_screenshot", lambda run, picture: None)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    options = ["--headless", "--output", tmp_path / "demo", "--particles", 200, "--box", 48]
    values = succeed("demo", *options)
    assert values["explorer"] is None
    assert len(list((tmp_path / "demo" / "maps").glob("*.mrc"))) == 10
    assert len(data_rows(tmp_path / "demo" / "selected.star")) == values["selected_particles"]
    assert (tmp_path / "demo" / "latents.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "demo" / "mine.txt").write_text("kept")
    succeed("demo", *options)  # a demo replaces a demo
    assert (tmp_path / "demo" / "mine.txt").read_text() == "kept"
    (tmp_path / "demo" / "run" / "selections").mkdir()
    (tmp_path / "demo" / "run" / "selections" / "open.star").write_text("kept")
    assert "would be lost" in fail("demo", *options)


def test_demo_refuses_a_folder_of_others(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    assert "not a demo's folder" in fail("demo", "--headless", "--output", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_latent_plot_puts_points_where_they_belong(tmp_path: Path) -> None:
    from PIL import Image

    plot_latents(tmp_path / "plot.png", np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([0, 1]))
    picture = np.asarray(Image.open(tmp_path / "plot.png"))
    blue, red = picture[-31, 30], picture[30, -31]
    assert blue[2] > blue[0]
    assert red[0] > red[2]
    assert (picture[400, 400] == 255).all()


def test_whoever_has_read_enough_gets_no_complaint():
    command = [sys.executable, "-m", "napari_sbackprop", "info"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert "Error" not in process.stderr.read()
    assert process.returncode == 141
