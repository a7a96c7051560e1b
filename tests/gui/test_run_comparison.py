"""Figures of several runs beside each other."""

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TIMEOUT

from napari_sbackprop.errors import InputError
from napari_sbackprop.gui.docks import open_train
from napari_sbackprop.gui.recent_runs import remember_run, unique_names
from napari_sbackprop.gui.run_curves import MOST_RUNS
from napari_sbackprop.gui.run_figures import read_figures
from napari_sbackprop.run_directory import RunDirectory

pytestmark = pytest.mark.gui


@pytest.fixture
def other(run: Path, tmp_path: Path) -> Path:
    """A second run, which explains its particles twice as well, at a coarser resolution."""
    path = Path(shutil.copytree(run, tmp_path / "elsewhere" / "run"))
    rows = list(csv.DictReader(io.StringIO((path / "metrics.csv").read_text())))
    for row in rows:
        row["evidence"] = 2 * float(row["evidence"]) if row["evidence"] else ""
    write_rows(path, rows)
    for file in path.glob("epochs/*/epoch.json"):
        description = json.loads(file.read_text())
        file.write_text(json.dumps(description | {"pixel_size": 2 * description["pixel_size"]}))
    return path


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    with (path / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def comparison(viewer: Any, run: Path) -> Iterator[Any]:
    """The comparison in the Train dock, on screen, with the run as the present one."""
    train = open_train(viewer)
    train.run.set_path(run)
    train.compare.click()
    assert train.comparison.isVisible()
    yield train.comparison
    train.comparison.close_files()


def evidence(path: Path, name: str = "evidence") -> list[float]:
    """Straight from the file."""
    rows = csv.DictReader(io.StringIO((path / "metrics.csv").read_text()))
    return [float(row[name]) for row in rows if row[name]]


def test_runs_are_drawn_by_epoch_with_their_names(
    comparison: Any, run: Path, other: Path, qtbot: Any
) -> None:
    comparison.choose(other)
    qtbot.waitUntil(lambda: len(comparison.curves._runs) == 2, timeout=TIMEOUT)
    assert "evidence" in [comparison.figure.itemText(index) for index in range(comparison.figure.count())]
    comparison.figure.setCurrentText("evidence")
    lines = comparison.curves.lines()
    named = {name: [value for _, value in series] for name, series in lines.named.items()}
    assert list(named) == [f"{run.parent.name}/run", "elsewhere/run"]
    assert named["elsewhere/run"] == evidence(other)
    np.testing.assert_allclose(evidence(other), 2 * np.array(evidence(run)))
    held_out = [value for _, value in lines.dashed["elsewhere/run"]]
    assert held_out == evidence(other, "held_out_evidence")
    assert lines.low <= min(held_out)
    assert lines.high >= max(evidence(other))
    places = [x for x, _ in lines.named["elsewhere/run"]]
    assert (places[0], places[-1]) == (0.0, 1.0)


def test_fsc_curves_share_an_axis_of_resolution(comparison: Any, run: Path, other: Path, qtbot: Any) -> None:
    comparison.choose(other)
    qtbot.waitUntil(lambda: len(comparison.curves._runs) == 2, timeout=TIMEOUT)
    comparison.figure.setCurrentText("FSC of half sets")
    lines = comparison.curves.lines()
    fine, coarse = lines.named.values()
    assert fine[-1][0] == pytest.approx(1.0)
    assert coarse[-1][0] == pytest.approx(0.5)  # twice the pixel size
    assert [value for _, value in fine] == [value for _, value in coarse]
    directory = RunDirectory(run)
    halved = [directory.read_description(epoch).get("half_set_fsc") for epoch in directory.epochs()]
    assert [value for _, value in fine] == [fsc for fsc in halved if fsc][-1][0]


def test_a_run_that_goes_on_is_followed(comparison: Any, run: Path, other: Path, qtbot: Any) -> None:
    comparison.choose(other)
    qtbot.waitUntil(lambda: len(comparison.curves._runs) == 2, timeout=TIMEOUT)
    comparison.figure.setCurrentText("evidence")
    rows = list(csv.DictReader(io.StringIO((other / "metrics.csv").read_text())))
    last = int(rows[-1]["epoch"])
    RunDirectory(other).append_metrics({"epoch": last + 1, "stage": "VAE", "evidence": 123.0})
    later = (other / "metrics.csv").stat().st_mtime + 5
    os.utime(other / "metrics.csv", (later, later))
    qtbot.waitUntil(lambda: comparison.curves.lines().named["elsewhere/run"][-1][1] == 123.0, timeout=TIMEOUT)
    assert comparison.curves.lines().ends == ("epoch 1", f"epoch {last + 1}")


def test_a_run_that_cannot_be_read_is_told_of_and_the_others_stay(
    comparison: Any, run: Path, other: Path, qtbot: Any
) -> None:
    (other / "metrics.csv").write_text("epoch,loss\nfirst,2\n")
    comparison.choose(other)
    qtbot.waitUntil(lambda: str(other / "metrics.csv") in comparison.problem.text(), timeout=TIMEOUT)
    assert len(comparison.curves._runs) == 1
    comparison.choose(other, False)
    qtbot.waitUntil(lambda: not comparison.problem.isVisible(), timeout=TIMEOUT)
    for text in ("epoch,loss\nfirst,2\n", "epoch,loss\n1,2,3\n", "loss\n2\n"):
        (other / "metrics.csv").write_text(text)
        with pytest.raises(InputError, match=r"metrics\.csv cannot be read"):
            read_figures(other)


def test_a_damaged_epoch_keeps_no_other_run_from_being_drawn(
    comparison: Any, run: Path, other: Path, tmp_path: Path, qtbot: Any
) -> None:
    damaged = Path(shutil.copytree(run, tmp_path / "damaged"))
    for file in damaged.glob("epochs/*/epoch.json"):
        description = json.loads(file.read_text())
        file.write_text(json.dumps({**description, "radius": 0}))
    comparison.choose(damaged)
    comparison.choose(other)
    qtbot.waitUntil(lambda: len(comparison.curves._runs) == 2, timeout=TIMEOUT)
    assert str(damaged) in comparison.problem.text()
    assert "leave that run out" in comparison.problem.text()


def test_no_more_runs_are_offered_than_there_are_colours(
    comparison: Any, run: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    remember_run(other)
    chosen = [Path(shutil.copytree(run, tmp_path / f"copy{number}")) for number in range(MOST_RUNS - 1)]
    for path in chosen:
        comparison.choose(path)

    def offered() -> list[bool]:
        comparison.menu.aboutToShow.emit()
        return [action.isEnabled() for action in comparison.menu.actions() if action.text()]

    assert offered() == [True] * len(chosen) + [False, False]  # the recent run, and any other
    comparison.choose(chosen[0], False)
    assert all(offered())


def test_a_figure_beyond_all_numbers_leaves_the_others_to_be_seen(run: Path) -> None:
    (run / "metrics.csv").write_text("epoch,loss\n1,2.5\n2,inf\n3,nan\n4,1.5\n5,-inf\n")
    assert read_figures(run).metrics == {"loss": [(1, 2.5), (4, 1.5)]}


def test_the_menu_offers_recent_runs_and_ticks_those_that_are_drawn(
    comparison: Any, run: Path, other: Path, qtbot: Any
) -> None:
    remember_run(other)
    remember_run(run)
    comparison.menu.aboutToShow.emit()
    action = comparison.menu.actions()[0]
    assert (action.toolTip(), action.isChecked()) == (str(other), False)
    action.trigger()
    qtbot.waitUntil(lambda: len(comparison.curves._runs) == 2, timeout=TIMEOUT)
    comparison.menu.aboutToShow.emit()
    assert comparison.menu.actions()[0].isChecked()
    comparison.menu.actions()[0].trigger()
    qtbot.waitUntil(lambda: len(comparison.curves._runs) == 1, timeout=TIMEOUT)


def test_a_run_without_epochs_is_an_empty_curve(run: Path) -> None:
    shutil.rmtree(run / "epochs")
    (run / "metrics.csv").unlink()
    figures = read_figures(run)
    assert (figures.metrics, figures.fsc) == ({}, ())


def test_names_tell_runs_apart() -> None:
    paths = [Path("/a/x/run"), Path("/a/y/run"), Path("/b/z")]
    assert unique_names(paths) == ["x/run", "y/run", "b/z"]
    assert unique_names(paths[1:]) == ["run", "z"]
    assert unique_names([]) == []
