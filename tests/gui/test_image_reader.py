"""Images and distributions of a selection, without Qt and in the dock."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TIMEOUT, Desk

from napari_sbackprop.analysis.selection import ParticleSelection
from napari_sbackprop.gui.image_reader import DRAWN, VIEWS
from napari_sbackprop.training.run_particles import run_particles
from napari_sbackprop.training.upright import upright_images


def read(desk: Desk, indices: np.ndarray) -> None:
    images = desk.explorer.images
    images.read(desk.model.scene, indices)
    desk.until(lambda: not images.model.progress)


def test_images_of_a_selection_are_its_particles(open_desk: Desk) -> None:
    indices, images = np.arange(100, 180), open_desk.explorer.images
    read(open_desk, indices)
    gallery = images.model.gallery
    assert len(set(gallery.rows.tolist())) == DRAWN
    assert np.isin(gallery.rows, indices).all()
    particles = run_particles(open_desk.model.scene.run)
    np.testing.assert_allclose(gallery.images, upright_images(particles, gallery.rows, 20.0), atol=1e-5)
    assert len(gallery.averages) == VIEWS
    assert not images.model.trouble
    read(open_desk, indices)
    np.testing.assert_array_equal(images.model.gallery.rows, gallery.rows)


def test_more_shows_others_and_keeps_the_averages(open_desk: Desk) -> None:
    indices, images = np.arange(2 * DRAWN), open_desk.explorer.images
    read(open_desk, indices)
    first = images.model.gallery
    images.more()
    open_desk.until(lambda: not images.model.progress)
    second = images.model.gallery
    assert sorted([*first.rows, *second.rows]) == indices.tolist()
    assert second.averages == first.averages
    images.more()
    open_desk.until(lambda: not images.model.progress)
    np.testing.assert_array_equal(images.model.gallery.rows, first.rows)


def test_reading_stops_and_the_newest_selection_wins(open_desk: Desk) -> None:
    images, scene = open_desk.explorer.images, open_desk.model.scene
    images.read(scene, np.arange(240))
    open_desk.until(lambda: len(images.model.gallery.rows))
    images.stop()
    assert not images.model.progress
    shown = images.model.gallery
    assert not shown.averages
    images.read(scene, np.arange(50))
    images.read(scene, np.arange(60, 70))
    open_desk.until(lambda: not images.model.progress)
    assert sorted(images.model.gallery.rows) == list(range(60, 70))
    assert sum(average.members for average in images.model.gallery.averages) <= 10


@pytest.fixture
def lost(desk: Desk, run: Path, particles: Path, tmp_path: Path) -> Desk:
    """A run whose STAR file is where it was, but not its images."""
    import json

    folder = Path(shutil.copytree(particles.parent, tmp_path / "moved"))
    config = run / "config.json"
    document = json.loads(config.read_text())
    document["source"] = str(folder / particles.name)
    document["files"] = {"particles.star": document["source"]}
    config.write_text(json.dumps(document))
    next(folder.glob("*.mrcs")).unlink()
    desk.explorer.open(run)
    desk.until(lambda: desk.model.frame is not None and desk.model.columns.values)
    return desk


def test_images_that_are_gone_are_named_in_a_sentence(lost: Desk) -> None:
    read(lost, np.arange(20))
    assert ".mrcs" in lost.explorer.images.model.trouble
    assert not len(lost.explorer.images.model.gallery.rows)
    assert not lost.model.error  # the explorer itself has no fault
    lost.explorer.distributions.count()  # needs no images
    lost.until(lambda: lost.explorer.distributions.model.distribution.views is not None)


def test_a_star_file_that_changed_is_named_in_a_sentence(open_desk: Desk, tmp_path: Path) -> None:
    run = open_desk.model.scene.run
    run.star_path.write_text(run.star_path.read_text() + "# edited\n")
    read(open_desk, np.arange(20))
    assert "changed since" in open_desk.explorer.images.model.trouble


def test_distributions_follow_the_selection_and_the_column(open_desk: Desk) -> None:
    model, distributions = open_desk.model, open_desk.explorer.distributions
    defocus = model.columns.values["rlnDefocusU"]
    model.selection = ParticleSelection("far", np.flatnonzero(defocus > np.median(defocus)), {})
    distributions.relist()
    open_desk.until(lambda: distributions.model.distribution.column is not None)
    counted = distributions.model.distribution.column
    above = counted.edges[1:] > np.median(defocus)
    assert counted.selected[above].sum() == pytest.approx(1)
    assert counted.everything[above].sum() < 0.6
    assert "rlnImageName" not in distributions.names
    distributions.choose("rlnAngleTilt")
    open_desk.until(lambda: distributions.model.distribution.column is not counted)
    assert distributions.model.distribution.column.edges[-1] <= 180


@pytest.mark.gui
def test_the_images_tab_follows_a_lasso(explore: Any, mouse: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    left, panel, images = Qt.MouseButton.LeftButton, explore.images_panel, explore.explorer.images.model
    corners = [(0.0, -9.0), (9.0, -9.0), (9.0, 9.0), (0.0, 9.0)]
    mouse.drag([explore.scatter.pixel(corner) for corner in corners], modifier="ShiftModifier")
    qtbot.wait(50)
    assert not len(images.gallery.rows)  # nobody looks yet
    bar = explore.tabs.tabBar()
    tab = bar.tabRect(explore.tabs.indexOf(panel))
    qtbot.mouseClick(bar, left, pos=tab.center())
    qtbot.waitUntil(lambda: len(images.gallery.averages) == VIEWS, timeout=TIMEOUT)
    rows = images.gallery.rows
    assert np.isin(rows, explore.model.selection.indices).all()
    shown = [picture for picture in panel.particles.pictures if picture.isVisible()]
    assert [picture.toolTip() for picture in shown] == [f"Particle {row + 1}" for row in rows]
    assert all(not picture.pixmap().isNull() for picture in shown)
    assert panel.column.currentText() == "rlnDefocusU"
    qtbot.mouseClick(panel.more, left)
    qtbot.waitUntil(lambda: images.gallery.rows is not rows, timeout=TIMEOUT)
    assert not np.isin(images.gallery.rows, rows).any()
    qtbot.mouseClick(explore.selection_panel.clear, left)
    qtbot.waitUntil(lambda: panel.histogram.histogram is not None and not images.progress, timeout=TIMEOUT)
    assert "12 of all 240 particles" in panel.status.text()


@pytest.mark.gui
def test_reading_is_stopped_with_a_click_and_the_dock_stays_narrow(explore: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    before = explore.minimumSizeHint().width()
    explore.tabs.setCurrentWidget(explore.images_panel)
    images = explore.explorer.images.model
    assert images.progress
    assert explore.images_panel.stop.isVisible()
    qtbot.mouseClick(explore.images_panel.stop, Qt.MouseButton.LeftButton)
    assert not images.progress
    assert not explore.images_panel.stop.isVisible()
    qtbot.wait(300)
    assert not images.gallery.averages
    assert explore.minimumSizeHint().width() <= max(before, 300)
