"""The controller on a real run, without Qt."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Desk, publish_again

from napari_sbackprop.analysis.selection import ParticleSelection
from napari_sbackprop.gui import explorer as explorer_module
from napari_sbackprop.gui import loading, umap_process
from napari_sbackprop.gui.explorer_model import PCA, UMAP, VARIABILITY, Columns, Scene
from napari_sbackprop.gui.loading import load_scene
from napari_sbackprop.run_directory import RunDirectory

EVERYWHERE = np.array([[-99, -99], [99, -99], [99, 99], [-99, 99]], dtype=float)


def test_opening_a_run_shows_its_consensus(open_desk: Desk, run: Path) -> None:
    model = open_desk.model
    assert model.scene.epoch == RunDirectory(run).latest_epoch()
    assert model.frame.title == "Consensus of all particles"
    assert len(model.frame.faces) > 0
    assert model.contour == model.scene.contour
    assert "rlnDefocusU" in model.columns.telling
    assert "rlnImageName" not in model.columns.telling  # different in every row: no colour
    assert "rlnImageName" in model.columns.values


def test_a_selection_is_reconstructed_from_its_images(open_desk: Desk) -> None:
    model, explorer = open_desk.model, open_desk.explorer
    explorer.selections.select_polygon(EVERYWHERE)
    before = model.frame
    explorer.reconstruct_selection()
    assert model.reconstructing
    open_desk.until(lambda: not model.reconstructing and model.frame is not before and not explorer.busy)
    assert model.frame.title == "Back-projection of selection"
    assert "half maps of 240 particles agree to" in model.message
    assert model.busy == model.error == ""
    fsc = model.half_map_fsc
    corrected = fsc.curves["corrected"]
    shell = int(np.argmax(corrected[1:] < 0.143)) if (corrected[1:] < 0.143).any() else len(corrected) - 1
    told = float(model.message.split("agree to ")[1].split()[0])
    assert told == pytest.approx(fsc.finest * (len(corrected) - 1) / shell, abs=0.06)
    assert set(fsc.curves) == {"corrected", "masked", "unmasked", "decoded", "consensus"}
    consensus = model.scene.decoder.consensus()
    assert np.corrcoef(model.frame.volume.ravel(), consensus.ravel())[0, 1] > 0.9


def test_a_reconstruction_can_be_stopped_and_a_refused_one_says_why(open_desk: Desk) -> None:
    model, explorer = open_desk.model, open_desk.explorer
    explorer.selections.select_polygon(EVERYWHERE)
    before = model.frame
    explorer.reconstruct_selection()
    explorer.reconstruct_selection()
    open_desk.until(lambda: not model.reconstructing)
    assert model.frame is before
    model.selection = ParticleSelection("few", np.arange(3), {})
    explorer.reconstruct_selection()
    open_desk.until(lambda: not model.reconstructing)
    assert "at least 20 particles, but 3 are selected" in model.error


def test_a_folder_that_is_no_run_is_refused_in_words(desk: Desk, tmp_path: Path) -> None:
    desk.explorer.open(tmp_path)
    assert "is not a run directory" in desk.model.error


def test_a_picked_point_shows_its_own_map(open_desk: Desk) -> None:
    model, frames = open_desk.model, []
    for x in (-1.0, 1.0):
        before = model.frame
        open_desk.explorer.pick(x, 0.0)
        open_desk.until(lambda before=before: model.frame is not before)
        frames.append(model.frame)
    assert model.point == (1.0, 0.0)
    assert np.abs(frames[0].volume - frames[1].volume).max() > 0
    assert frames[0].threshold == frames[1].threshold  # sizes compare


def test_a_new_epoch_keeps_the_particles_under_the_crosshair(open_desk: Desk, run: Path) -> None:
    model = open_desk.model
    sigma = model.scene.sigma
    open_desk.explorer.pick(1.0, 0.2)
    anchor = model.anchor
    epoch = publish_again(run)
    open_desk.explorer.refresh()
    open_desk.until(lambda: model.scene.epoch == epoch and not open_desk.explorer.busy)
    assert model.anchor is anchor
    assert model.scene.sigma == sigma
    # the new latents are mirrored, the plot is turned back: the place stays
    np.testing.assert_allclose(model.point, anchor.mean(model.projection.coordinates), atol=1e-5)
    np.testing.assert_allclose(model.point, [1.0, 0.2], atol=0.5)


def test_a_selection_counts_and_exports_the_original_rows(open_desk: Desk, run: Path, tmp_path: Path) -> None:
    model, explorer = open_desk.model, open_desk.explorer
    explorer.selections.select_polygon(np.array([[0, -99], [99, -99], [99, 99], [0, 99]], dtype=float))
    expected = np.flatnonzero(model.projection.coordinates[:, 0] > 0)
    np.testing.assert_array_equal(model.selection.indices, expected)
    output = tmp_path / "new folder" / "right.star"
    explorer.selections.export(output)
    open_desk.until(lambda: output.exists() and "Wrote" in model.message)
    images = [line for line in (run / "particles.star").read_bytes().splitlines() if b"@" in line]
    exported = [line for line in output.read_bytes().splitlines() if b"@" in line]
    assert exported == [images[index] for index in expected]
    assert json.loads(output.with_suffix(".json").read_text())["method"] == PCA


def test_export_never_replaces_a_file(open_desk: Desk, tmp_path: Path) -> None:
    output = tmp_path / "mine.star"
    output.write_text("precious")
    open_desk.explorer.selections.select_polygon(EVERYWHERE)
    open_desk.explorer.selections.export(output)
    open_desk.until(lambda: open_desk.model.error)
    assert output.read_text() == "precious"


def test_a_folder_that_cannot_be_made_is_said(open_desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    open_desk.explorer.selections.select_polygon(EVERYWHERE)
    open_desk.explorer.selections.export(tmp_path / "file" / "out.star")
    open_desk.until(lambda: "file" in open_desk.model.error)


def test_the_map_of_a_selection_pools_its_particles(open_desk: Desk) -> None:
    model = open_desk.model
    open_desk.explorer.selections.select_polygon(EVERYWHERE)
    open_desk.explorer.show_selection()
    open_desk.until(lambda: model.frame.title == "Map of selection")
    decoder = model.scene.decoder
    expected = decoder.volume(decoder.pooled(model.selection.indices))
    np.testing.assert_allclose(model.frame.volume, expected, atol=1e-5)


def test_contour_and_smoothing_change_the_surface_alone(open_desk: Desk) -> None:
    model, first = open_desk.model, open_desk.model.frame
    open_desk.explorer.set_contour(first.threshold / model.scene.sigma * 1.3)
    open_desk.until(lambda: model.frame is not first)
    assert model.frame.volume is first.volume
    assert model.frame.threshold == pytest.approx(1.3 * first.threshold)
    second = model.frame
    open_desk.explorer.set_smoothing(0.0)
    open_desk.until(lambda: model.frame is not second)
    np.testing.assert_array_equal(model.frame.smooth, model.frame.volume)


def test_a_contour_step_does_not_overtake_a_click(open_desk: Desk) -> None:
    model, explorer = open_desk.model, open_desk.explorer
    explorer.pick(1.0, 0.0)
    explorer.set_contour(4.5)
    open_desk.until(lambda: not explorer.busy and open_desk.calls.empty())
    assert model.frame.title == "Map at the cursor"
    assert model.frame.threshold == pytest.approx(4.5 * model.scene.sigma)
    explorer.show_consensus()
    explorer.set_colouring(VARIABILITY)
    open_desk.until(lambda: not explorer.busy and open_desk.calls.empty())
    assert (model.frame.title, model.frame.meaning) == ("Consensus of all particles", VARIABILITY)


def test_a_saved_map_is_the_one_on_screen(open_desk: Desk, tmp_path: Path) -> None:
    from napari_sbackprop.data.mrc import read_volume

    open_desk.explorer.save_map(tmp_path / "map.mrc")
    open_desk.until(lambda: "Saved" in open_desk.model.message)
    volume, pixel_size = read_volume(tmp_path / "map.mrc")
    np.testing.assert_array_equal(volume, open_desk.model.frame.volume)
    assert pixel_size == pytest.approx(10.0)


@pytest.fixture
def adopted_desk(desk: Desk, adopted: Path) -> Desk:
    """The explorer with a run open that has no decoder."""
    desk.explorer.open(adopted)
    desk.until(lambda: desk.model.scene is not None and desk.model.clustering and desk.model.columns.values)
    return desk


def test_a_run_without_a_decoder_is_selected_from_and_exported(
    adopted_desk: Desk, adopted: Path, tmp_path: Path
) -> None:
    model, explorer = adopted_desk.model, adopted_desk.explorer
    assert model.scene.count == 240
    assert not model.scene.has_decoder
    explorer.pick(0.5, 0.0)
    explorer.selections.select_nearest(30)
    assert len(model.selection.indices) == 30
    explorer.selections.keep()
    explorer.selections.select_cluster_at(*map(float, model.projection.coordinates[7]))
    np.testing.assert_array_equal(model.selection.indices, np.arange(1, 240, 3))
    assert model.selection.provenance["cryodrgn_kmeans"] == 3
    explorer.queries.ask("cluster == 2 & z1 < 0")
    adopted_desk.until(lambda: model.matching is not None)
    expected = np.flatnonzero((np.arange(240) % 3 == 2) & (model.scene.latents[:, 0] < 0))
    np.testing.assert_array_equal(model.matching.indices, expected)
    explorer.selections.export(tmp_path / "out.star")
    adopted_desk.until(lambda: "Wrote 80 particles" in model.message)
    rows = [line for line in (adopted / "particles.star").read_bytes().splitlines() if b"@" in line]
    exported = [line for line in (tmp_path / "out.star").read_bytes().splitlines() if b"@" in line]
    assert exported == rows[1::3]
    assert model.frame is None
    assert model.error == ""


def test_without_a_decoder_paths_are_latents_and_regions_say_why(adopted_desk: Desk, tmp_path: Path) -> None:
    model, explorer = adopted_desk.model, adopted_desk.explorer
    explorer.paths.draw(np.array([[-0.5, 0.0], [0.5, 0.0]]))
    assert explorer.paths.model.ready
    explorer.path_writer.save_maps(tmp_path / "maps")
    assert "no map here" in model.error
    explorer.path_writer.save_latents(tmp_path / "path.npy")
    adopted_desk.until(lambda: "path.npy" in model.message)
    model.error = ""
    explorer.regions.place((10.0, 10.0, 10.0))
    adopted_desk.until(lambda: "no map here" in model.error)
    assert model.region_density is None
    adopted_desk.until(lambda: model.qualities)
    assert list(model.qualities) == ["latent_sigma"]


def test_without_a_decoder_images_are_read_and_reconstructed(adopted_desk: Desk, tmp_path: Path) -> None:
    from napari_sbackprop.data.mrc import read_volume

    model, explorer = adopted_desk.model, adopted_desk.explorer
    explorer.images.read(model.scene, np.arange(240))
    adopted_desk.until(lambda: explorer.images.model.gallery.averages)
    assert not explorer.images.model.trouble
    explorer.selections.invert()
    explorer.reconstruct_selection()
    adopted_desk.until(lambda: not model.reconstructing and model.frame is not None and not explorer.busy)
    assert "half maps of 240 particles agree to" in model.message
    assert model.frame.title == "Back-projection of selection"
    assert len(model.frame.faces) > 0
    frame, sigma = model.frame, model.scene.sigma
    assert frame.threshold == pytest.approx(model.contour * sigma)
    explorer.pick(0.5, 0.0)  # no map lies there: the one on screen stays
    explorer.set_contour(1.3 * model.contour)
    adopted_desk.until(lambda: model.frame is not frame)
    assert model.frame.volume is frame.volume
    explorer.reconstruct_selection()
    adopted_desk.until(lambda: not model.reconstructing)
    assert model.scene.sigma == sigma  # so that maps compare
    explorer.save_map(tmp_path / "map.mrc")
    adopted_desk.until(lambda: "Saved" in model.message)
    assert read_volume(tmp_path / "map.mrc")[1] == pytest.approx(10.0)


class QuickProcess:
    """Stands for the UMAP process: ready at the second look."""

    def __init__(self, run: RunDirectory, epoch: int) -> None:
        self.epoch, self._looks, self._count = epoch, 0, len(run.read_latents(epoch).mean)

    def poll(self) -> np.ndarray | None:
        self._looks += 1
        return (
            None
            if self._looks < 2
            else np.random.default_rng(0).normal(size=(self._count, 2)).astype(np.float32)
        )

    def close(self) -> None: ...


class BrokenProcess(QuickProcess):
    def poll(self) -> np.ndarray | None:
        raise ChildProcessError("numba is missing")


def test_umap_is_shown_when_it_is_ready_and_kept(
    open_desk: Desk, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(umap_process, "UmapProcess", QuickProcess)
    model, explorer = open_desk.model, open_desk.explorer
    explorer.umaps.show(UMAP)
    assert model.method == PCA
    assert model.umap_running
    explorer.refresh()
    explorer.refresh()
    assert model.method == UMAP
    assert not model.umap_running
    assert RunDirectory(run).read_embedding(model.scene.epoch) is not None
    explorer.umaps.show(PCA)
    assert model.method == PCA


def test_umap_starts_by_itself_but_takes_no_plane_away(
    open_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(umap_process, "UmapProcess", QuickProcess)
    model, explorer = open_desk.model, open_desk.explorer
    explorer.umaps.training = True
    for _ in range(20):
        explorer.refresh()
    assert not model.umap_running
    explorer.umaps.training = False
    explorer.pick(0.0, 0.0)
    for _ in range(20):
        explorer.refresh()
    assert UMAP in model.scene.projections
    assert model.method == PCA


def test_a_failed_umap_is_said_once_and_not_repeated(
    open_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(umap_process, "UmapProcess", BrokenProcess)
    model, explorer = open_desk.model, open_desk.explorer
    explorer.umaps.show(UMAP)
    for _ in range(20):
        explorer.refresh()
    assert "numba is missing" in model.error
    assert not model.umap_running


@pytest.mark.parametrize("error", [ValueError("no npy file"), EOFError("no data left"), OSError("gone")])
def test_a_damaged_umap_file_is_said(
    open_desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(self: QuickProcess) -> np.ndarray | None:
        raise error

    monkeypatch.setattr(QuickProcess, "poll", fail)
    monkeypatch.setattr(umap_process, "UmapProcess", QuickProcess)
    open_desk.explorer.umaps.show(UMAP)
    open_desk.explorer.refresh()
    assert str(error) in open_desk.model.error
    assert not open_desk.model.umap_running


def test_columns_of_another_run_are_dropped(open_desk: Desk, run: Path, tmp_path: Path) -> None:
    model, explorer = open_desk.model, open_desk.explorer
    before, other = model.columns, Path(shutil.copytree(run, tmp_path / "other"))
    explorer._on_columns_loaded(RunDirectory(other), Columns({"rlnOther": np.arange(3)}))
    assert model.columns is before


def test_of_epochs_that_come_fast_the_last_one_is_shown(
    desk: Desk, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer_module, "REST", 1e6)
    desk.explorer.open(run)
    desk.until(lambda: desk.model.frame is not None and not desk.explorer.busy)
    first, skipped = desk.model.scene.epoch, publish_again(run)
    desk.explorer.follow()
    assert not desk.explorer.busy
    last = publish_again(run)
    seen: list[int] = []
    desk.model.events.scene.connect(lambda scene: seen.append(scene.epoch))
    monkeypatch.setattr(explorer_module, "REST", 5.0)
    desk.explorer.refresh()
    desk.until(lambda: seen)
    assert seen == [last]
    assert first < skipped < last
    last = publish_again(run)
    desk.until(lambda: desk.explorer.follow() or desk.model.scene.epoch == last)


def test_a_broken_epoch_is_said_once_and_a_later_one_is_shown(
    open_desk: Desk, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, explorer = open_desk.model, open_desk.explorer
    broken, tries = publish_again(run), []

    def load(run: RunDirectory, epoch: int, previous: Scene | None) -> Scene:
        tries.append(epoch)
        if epoch == broken:
            raise OSError("damaged")
        return load_scene(run, epoch, previous)

    monkeypatch.setattr(loading, "load_scene", load)
    explorer.refresh()
    open_desk.until(lambda: "damaged" in model.error)
    model.error = ""
    for _ in range(3):
        explorer.refresh()
        open_desk.until(lambda: not explorer.busy)
    assert tries == [broken]
    assert not model.error
    later = publish_again(run)
    explorer.refresh()
    open_desk.until(lambda: model.scene.epoch == later)


def test_closing_ends_the_threads(run: Path) -> None:
    desk = Desk()
    desk.explorer.open(run)
    desk.explorer.close()
    desk.explorer.refresh()
    desk.explorer.pick(0, 0)
    assert desk.model.scene is None
