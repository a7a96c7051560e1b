"""What napari sees of the plugin: manifest, readers, sample data, start-up, picture."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MANIFEST, ROOT, TIMEOUT
from foreign_files import cryosparc_rows, only, save_rows

from napari_sbackprop.gui.readers import get_particle_reader, get_run_reader

PLUGIN = "napari-sbackprop"


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)


def test_every_command_of_the_manifest_exists() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert {widget.display_name for widget in manifest.contributions.widgets} == {
        "Train",
        "Explore",
        "Preferences",
    }


def test_reading_the_manifest_loads_neither_torch_nor_our_widgets() -> None:
    code = (
        "import sys, napari; from npe2 import PluginManager, PluginManifest;"
        "PluginManager.instance().register(PluginManifest.from_file(sys.argv[1]));"
        "from napari_sbackprop.gui.readers import get_particle_reader; get_particle_reader('nothing.star');"
        "print(sorted(name for name in sys.modules if name == 'torch' or name.startswith('napari_sbackprop.gui')))"
    )
    assert (
        python(code, str(MANIFEST)).stdout.strip()
        == "['napari_sbackprop.gui', 'napari_sbackprop.gui.readers']"
    )


def test_opening_the_docks_does_not_load_torch() -> None:
    code = (
        "import sys, napari_sbackprop.gui.train_widget, napari_sbackprop.gui.explore_widget;"
        "print('torch' in sys.modules)"
    )
    assert python(code).stdout.strip() == "False"


def test_readers_claim_particles_and_runs_only(particles: Path, run: Path, tmp_path: Path) -> None:
    other = tmp_path / "pipeline.star"
    other.write_text("data_pipeline_general\n_rlnPipeLineJobCounter 3\n")
    assert get_particle_reader(str(particles)) is not None
    assert get_particle_reader(str(other)) is None
    assert get_particle_reader(str(tmp_path / "missing.star")) is None
    main = save_rows(tmp_path / "J2" / "J2_particles.cs", cryosparc_rows(particles))
    group = main.with_suffix(".csg")
    group.write_text("results:\n  alignments3D:\n    metafile: '>J2_particles.cs'\n")
    images = save_rows(tmp_path / "J2" / "images.cs", only(cryosparc_rows(particles), "uid", "blob/path"))
    claimed = [get_particle_reader(str(path)) is not None for path in (main, group, images)]
    assert claimed == [True, True, False]
    assert get_run_reader(str(run)) is not None
    assert get_run_reader([str(run)]) is not None
    assert get_run_reader(str(tmp_path)) is None


@pytest.mark.gui
def test_a_dropped_run_opens_the_explorer(
    make_napari_viewer: Any, npe2pm: Any, run: Path, qtbot: Any
) -> None:
    viewer = plugin_viewer(make_napari_viewer, npe2pm)
    assert viewer.open(str(run), plugin=PLUGIN) == []
    widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Explore")[1]
    qtbot.waitUntil(lambda: widget.model.frame is not None, timeout=TIMEOUT)
    assert widget.model.scene.run.path == run
    widget.shut_down()


@pytest.mark.gui
@pytest.mark.parametrize("ending", ["star", "cs", "csg"])
def test_dropped_particles_fill_the_form(
    make_napari_viewer: Any, npe2pm: Any, particles: Path, ending: str, qtbot: Any, tmp_path: Path
) -> None:
    from napari_sbackprop.gui.train_widget import PATTERNS

    path = shutil.copytree(particles.parent, tmp_path / "set") / "particles.star"
    if ending != "star":
        save_rows(path.with_suffix(".cs"), cryosparc_rows(path))
        text = "results:\n  alignments3D:\n    metafile: '>particles.cs'\n"
        path.with_suffix(".csg").write_text(text)
    path = path.with_suffix(f".{ending}")
    viewer = plugin_viewer(make_napari_viewer, npe2pm)
    assert viewer.open(str(path), plugin=PLUGIN) == []
    widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Train")[1]
    assert widget.star.path == path
    assert f"*.{ending}" in PATTERNS
    qtbot.waitUntil(lambda: "240" in widget.report.text(), timeout=TIMEOUT)
    qtbot.waitUntil(lambda: not widget._check.running, timeout=TIMEOUT)


@pytest.mark.gui
def test_the_sample_is_opened_or_made(
    make_napari_viewer: Any, npe2pm: Any, run: Path, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    from napari_sbackprop.gui import sample_data, train_widget

    viewer = plugin_viewer(make_napari_viewer, npe2pm)
    made: list[tuple[Path, object]] = []
    monkeypatch.setattr(
        train_widget.TrainWidget,
        "start_after",
        lambda self, star, run, config, text: made.append((run, config)),
    )
    monkeypatch.setattr(sample_data, "sample_folder", lambda: run.parent / "empty")
    viewer.open_sample(PLUGIN, "moving_complex")
    assert made == [(run.parent / "empty" / "particles_states", sample_data.CONFIG)]
    monkeypatch.setattr(sample_data, "sample_folder", lambda: run.parent)
    viewer.open_sample(PLUGIN, "moving_complex")
    widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Explore")[1]
    qtbot.waitUntil(lambda: widget.model.frame is not None, timeout=TIMEOUT)
    assert [layer.name for layer in viewer.layers] == ["Map"]  # in the place of the empty layers
    assert len(viewer.layers[0].data[1]) > 1
    widget.shut_down()


def plugin_viewer(make_napari_viewer: Any, npe2pm: Any) -> Any:
    from npe2 import PluginManifest

    npe2pm.register(PluginManifest.from_file(MANIFEST))
    return make_napari_viewer()


@pytest.mark.gui
def test_the_picture_shows_map_particles_and_selection(run: Path, tmp_path: Path) -> None:
    from imageio.v3 import imread

    picture = tmp_path / "explorer.png"
    code = (
        "import sys; from pathlib import Path; from napari_sbackprop.gui.screenshot import explorer_screenshot;"
        "explorer_screenshot(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    result = python(code, str(run), str(picture))
    assert picture.is_file(), result.stderr
    image = np.asarray(imread(picture))[..., :3].astype(int)
    assert image.shape[1] > 1200
    left, right = image[:, : image.shape[1] // 2], image[:, image.shape[1] // 2 :]
    blue = (left[..., 2] > left[..., 0] + 40) & (left[..., 2] > 120)
    yellow = (right[..., 0] > 200) & (right[..., 1] > 160) & (right[..., 2] < 120)
    assert blue.mean() > 0.01  # the surface
    assert yellow.sum() > 200  # the lasso and what it holds
