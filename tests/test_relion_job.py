"""The External job of RELION, run from a project's root by the command line that RELION makes."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from typer.testing import CliRunner

from napari_sbackprop.cli import application
from napari_sbackprop.data.blocks import read_star
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.star import read_columns
from napari_sbackprop.run_directory import RunDirectory

PARTICLES, BOX = 120, 36
STAR = "Refine3D/job010/run_data.star"
EXECUTABLE = f"{shlex.quote(sys.executable)} -m napari_sbackprop relion-job"
SMALL = "--latent_size 2 --basis_size 2 --method pca"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose STAR file names images relative to its root, and a mask."""
    root = tmp_path_factory.mktemp("relion") / "project"
    folder = root / "Extract" / "job005"
    star = simulate(folder, states=3, particles=PARTICLES, box=BOX, pixel_size=8.0, snr=1.0)
    (root / STAR).parent.mkdir(parents=True)
    (root / STAR).write_bytes(
        star.read_bytes().replace(b"@particles.mrcs", b"@Extract/job005/particles.mrcs")
    )
    (root / "MaskCreate").mkdir()
    shutil.copy(folder / "truth" / "solvent.mrc", root / "MaskCreate" / "mask.mrc")
    return root


def command(job: str, labels: str = "") -> str:
    """The command line that RELION gives to a shell; a parameter without a value arrives as a bare label."""
    return f"{EXECUTABLE} --o External/{job}/ --in_parts {STAR} {labels} --mask_diameter  {SMALL} --j 1 "


def run_as_relion(project: Path, line: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        line,
        shell=True,
        cwd=project,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def endings(folder: Path) -> list[str]:
    return sorted(path.name.removeprefix("RELION_JOB_") for path in folder.glob("RELION_JOB_*"))


def nodes(folder: Path) -> dict[str, str]:
    """Types of a job's output nodes by name."""
    (block,) = read_star(folder / "RELION_OUTPUT_NODES.star").blocks
    assert block.name == "output_nodes"
    texts = block.columns(block.labels).texts
    names = texts["rlnPipeLineNodeName"].astype(str).tolist()
    return dict(zip(names, texts["rlnPipeLineNodeTypeLabel"].astype(str).tolist(), strict=True))


@pytest.fixture(scope="module")
def finished(project: Path) -> Path:
    labels = "--in_mask MaskCreate/mask.mrc --classes 3 --epochs 0"
    done = run_as_relion(project, command("job012", labels))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "epoch 1: closed-form start" in done.stdout
    return project / "External" / "job012"


def test_relion_hears_of_the_end_and_of_every_output(project: Path, finished: Path) -> None:
    assert endings(finished) == ["EXIT_SUCCESS"]
    found = nodes(finished)
    assert all((project / name).is_file() for name in found)
    types = {Path(name).name: kind for name, kind in found.items()}
    classes = [f"class{number:03d}" for number in (1, 2, 3)]
    assert types == {
        "particles.star": "ParticleGroupMetadata.star.relion",
        "consensus.mrc": "DensityMap.mrc",
        "mask.mrc": "Mask3D.mrc",
        **{f"{name}.star": "ParticleGroupMetadata.star.relion" for name in classes},
        **{f"{name}.mrc": "DensityMap.mrc" for name in classes},
    }


def test_the_classes_part_the_particles_and_keep_their_rows(project: Path, finished: Path) -> None:
    source = (project / STAR).read_bytes().splitlines()
    rows = [line for line in source if b"@" in line]
    stars = [finished / f"class{number:03d}.star" for number in (1, 2, 3)]
    members = [line for star in stars for line in star.read_bytes().splitlines() if b"@" in line]
    assert sorted(members) == sorted(rows)
    maps = [mrcfile.read(finished / f"class{number:03d}.mrc") for number in (1, 2, 3)]
    assert maps[0].shape == (BOX, BOX, BOX)
    assert not np.array_equal(maps[0], maps[1])
    assert (
        '"class001.mrc" "class002.mrc" "class003.mrc" vseries true' in (finished / "classes.cxc").read_text()
    )


def test_good_particles_are_those_of_enough_contrast(finished: Path) -> None:
    run = RunDirectory(finished / "run")
    good = run.read_latents(run.latest_epoch()).contrast >= 0.5
    chosen = read_columns(finished / "particles.star")["rlnImageName"]
    assert chosen.tolist() == read_columns(run.star_path)["rlnImageName"][good].tolist()


def test_the_input_mask_is_used(finished: Path) -> None:
    assert RunDirectory(finished / "run").config.mask == Path("MaskCreate/mask.mrc")
    mask = mrcfile.read(finished / "mask.mrc")
    given = mrcfile.read(finished.parents[1] / "MaskCreate" / "mask.mrc")
    assert (mask[given == 0] == 0).all()


def test_continuing_goes_on_and_replaces_the_outputs(project: Path, finished: Path) -> None:
    job = shutil.copytree(finished, finished.with_name("job013"))
    (job / "RELION_OUTPUT_NODES.star").unlink()  # as where the job was killed before it was written
    (job / "class_notes.star").write_text("the user's")
    trained = RunDirectory(job / "run").epochs()
    labels = "--in_mask MaskCreate/mask.mrc --classes 2 --epochs 1"
    done = run_as_relion(project, command("job013", labels))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Going on" in done.stdout
    assert RunDirectory(job / "run").epochs() == [*trained, trained[-1] + 1]
    assert sorted(path.name for path in job.glob("class*.star")) == [
        "class001.star",
        "class002.star",
        "class_notes.star",
    ]
    assert len(nodes(job)) == 7
    assert endings(job) == ["EXIT_SUCCESS"]


def test_an_abort_stops_the_job_and_keeps_its_epochs(project: Path) -> None:
    job = project / "External" / "job014"
    job.mkdir(parents=True)
    (job / "RELION_JOB_ABORT_NOW").touch()  # left by an earlier attempt
    with subprocess.Popen(
        shlex.split(command("job014", "--epochs 5000")),
        cwd=project,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 200
        while not list(job.glob("run/epochs/0001/epoch.json")) and time.monotonic() < deadline:
            time.sleep(0.1)
        (job / "RELION_JOB_ABORT_NOW").touch()
        output, errors = process.communicate(timeout=200)
    assert process.returncode == 130
    assert errors == ""
    assert "can be continued" in output
    assert "EXIT_ABORTED" in endings(job)
    assert "EXIT_SUCCESS" not in endings(job)
    assert RunDirectory(job / "run").epochs()
    assert not list(job.glob("*.star"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--in_parts gone.star", "gone.star does not exist: check the name and the folder."),
        ("", "The job has no input particles (--in_parts): choose them in the External job's tab."),
        (
            f"--in_parts {STAR} --clases 3",
            "--clases is no label of this job: take one of basis_size, batch_size, classes",
        ),
        (f"--in_parts {STAR} --in_mics a.star", "--in_mics is no label of this job: take one of"),
        (f"--in_parts {STAR} --classes three", "--classes is 'three', but must be a whole number"),
        (f"--in_parts {STAR} --classes 0", "--classes is 0, but must be at least 1"),
        (f"--in_parts {STAR} --method tsne", "--method is tsne, but must be one of umap, pca"),
        (f"--in_parts {STAR} --resolution 5A", "--resolution is '5A', but must be a number: correct"),
        (f"--in_parts {STAR} --path_map x", "--path-map is 'x', but must be OLD=NEW"),
        (f"--in_parts {STAR} --in_mask gone.mrc", "gone.mrc does not exist"),
        (f"--in_parts {STAR} --in_3dref gone.mrc", "gone.mrc does not exist"),
        (
            f"--in_parts {STAR} --classes 999 --epochs 0 {SMALL}",
            "k-means cannot make 999 clusters of 120 particles",
        ),
    ],
)
def test_a_failure_is_told_to_relion_and_to_the_user(
    project: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, sentence: str
) -> None:
    monkeypatch.chdir(project)
    shutil.rmtree("External/job015", ignore_errors=True)
    result = CliRunner().invoke(
        application, ["relion-job", "--o", "External/job015/", *arguments.split(), "--j", "1"]
    )
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    assert sentence in line
    assert endings(Path("External/job015")) == ["EXIT_FAILURE"]


def test_a_changed_option_needs_a_new_job(
    project: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    job = shutil.copytree(finished, finished.with_name("job016"))
    line = f"--o External/job016/ --in_parts {STAR} --in_mask MaskCreate/mask.mrc --latent_size 1 --j 1"
    result = CliRunner().invoke(application, ["relion-job", *line.split()])
    assert result.exit_code == 1
    assert "but the run to go on with has" in result.stderr
    assert endings(job) == ["EXIT_FAILURE"]


def test_without_a_folder_nothing_is_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    before = sorted(project.iterdir())
    result = CliRunner().invoke(application, ["relion-job", "--in_parts", STAR])
    assert result.exit_code == 1
    assert "has no folder (--o): start it from RELION" in result.stderr
    assert sorted(project.iterdir()) == before


JOB_STAR = """
# version 30001

data_job

_rlnJobType                            99
_rlnJobIsContinue                       0

# version 30001

data_joboptions_values

loop_
_rlnJobOptionVariable #1
_rlnJobOptionValue #2
do_queue No
fn_exe "{executable}"
in_3dref ""
in_coords ""
in_mask MaskCreate/mask.mrc
in_mic ""
in_mov ""
in_part {star}
min_dedicated 1
nr_threads 1
other_args ""
{parameters}
"""
PIPELINE = "\n# version 30001\n\ndata_pipeline_general\n\n_rlnPipeLineJobCounter                       1\n \n"


@pytest.mark.oracle
@pytest.mark.skipif(shutil.which("relion_pipeliner") is None, reason="RELION is not installed")
def test_relion_runs_the_job_and_takes_up_its_outputs(project: Path) -> None:
    """RELION 3.1 adds the job to its pipeline, runs it, and lists what came out with the types of nodes."""
    script = project / "sbackprop.sh"
    script.write_text(f'#!/bin/sh\nexec {EXECUTABLE} "$@"\n')
    script.chmod(0o755)
    values = [*zip(SMALL.replace("--", "").split()[::2], SMALL.split()[1::2], strict=True), ("classes", "2")]
    values += [("epochs", "0"), ("mask_diameter", '""')]
    parameters = "\n".join(
        f"param{number}_label {label}\nparam{number}_value {value}"
        for number, (label, value) in enumerate(values, 1)
    )
    (project / "job.star").write_text(
        JOB_STAR.format(executable="./sbackprop.sh", star=STAR, parameters=parameters)
    )
    (project / "default_pipeline.star").write_text(PIPELINE)
    for line in (
        "--addJobFromStar job.star",
        "--RunJobs External/job001/ --schedule test --sec_wait_after 1",
    ):
        done = run_as_relion(project, f"relion_pipeliner {line}")
        assert done.returncode == 0, done.stdout + done.stderr
    job = project / "External" / "job001"
    assert (job / "run.err").read_text() == ""
    assert "class002:" in (job / "run.out").read_text()
    assert "--mask_diameter  --j 1" in (job / "note.txt").read_text()
    blocks = {block.name: block for block in read_star(project / "default_pipeline.star").blocks}
    status = blocks["pipeline_processes"].columns(["rlnPipeLineProcessStatus"])
    assert status.texts["rlnPipeLineProcessStatus"].tolist() == [b"2"]  # finished
    texts = blocks["pipeline_nodes"].columns(blocks["pipeline_nodes"].labels).texts
    kinds = dict(
        zip(texts["rlnPipeLineNodeName"].tolist(), texts["rlnPipeLineNodeType"].tolist(), strict=True)
    )
    assert kinds[b"External/job001/class001.star"] == kinds[STAR.encode()] == b"3"
    assert kinds[b"External/job001/mask.mrc"] == kinds[b"MaskCreate/mask.mrc"]
    assert kinds[b"External/job001/class002.mrc"] == b"6"
