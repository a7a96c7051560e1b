"""A real run, a viewer with the plugin, and a mouse."""

import atexit
import operator
import os
import pickle
import queue
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

os.environ.setdefault("NAPARI_CONFIG", "")  # leave the settings of whoever runs the tests alone
for _folder in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
    os.environ[_folder] = tempfile.mkdtemp(prefix="sbackprop-tests-")
    atexit.register(shutil.rmtree, os.environ[_folder], ignore_errors=True)

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "napari_sbackprop" / "napari.yaml"
SECONDS = 90.0
"""For what takes one or two on an idle machine."""
TIMEOUT = int(1000 * SECONDS)


def pytest_report_header() -> str:
    import qtpy

    return f"Qt binding of qtpy: {qtpy.API_NAME} (PYTEST_QT_API={os.environ.get('PYTEST_QT_API', 'not set')})"


@pytest.fixture(scope="session")
def particles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """STAR file of a few simulated particles."""
    from napari_sbackprop.data.simulation import simulate

    folder = tmp_path_factory.mktemp("particles") / "set"
    return simulate(folder, states=4, particles=240, box=32, pixel_size=10.0, snr=1.0)


@pytest.fixture(scope="session")
def tiny_options() -> dict[str, Any]:
    return {
        "latent_size": 2,
        "basis_size": 2,
        "epochs": 1,
        "batch_size": 64,
        "encoder_width": 32,
        "threads": 1,
    }


@pytest.fixture(scope="session")
def _trained(particles: Path, tiny_options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    from napari_sbackprop.config import Config
    from napari_sbackprop.training.trainer import train

    run = tmp_path_factory.mktemp("trained") / "run"
    for _ in train(particles, run, Config(**tiny_options)):
        pass
    return run


@pytest.fixture
def run(_trained: Path, tmp_path: Path) -> Path:
    """A run that the training made, the test's own copy."""
    return Path(shutil.copytree(_trained, tmp_path / "run"))


@pytest.fixture
def adopted(run: Path, particles: Path, tmp_path: Path) -> Path:
    """A run of cryoDRGN taken over: the latents of `run`, with three clusters that its analysis would have made."""
    from napari_sbackprop.analysis.adoption import adopt
    from napari_sbackprop.analysis.pickles import write_pickles
    from napari_sbackprop.data.source import open_source
    from napari_sbackprop.run_directory import RunDirectory

    results, epoch = tmp_path / "drgn", RunDirectory(run).latest_epoch()
    write_pickles(run, results)
    labels = results / f"analyze.{epoch}" / "kmeans3" / "labels.pkl"
    labels.parent.mkdir(parents=True)
    labels.write_bytes(pickle.dumps(np.arange(240, dtype=np.int32) % 3))
    return adopt(results, open_source(particles), tmp_path / "adopted").path


def publish_again(run: Path) -> int:
    """Publish the newest epoch once more, its latents mirrored, as a training would."""
    from dataclasses import replace

    from napari_sbackprop.run_directory import RunDirectory

    directory = RunDirectory(run)
    newest = directory.latest_epoch()
    latents = directory.read_latents(newest)
    mirrored = replace(latents, mean=-latents.mean, epoch=newest + 1)
    directory.publish(newest + 1, directory.read_model(newest), mirrored, directory.read_description(newest))
    return newest + 1


class Desk:
    """An explorer without Qt: its deliveries wait in a queue until the test asks for them."""

    def __init__(self) -> None:
        from napari_sbackprop.gui.explorer import Explorer
        from napari_sbackprop.gui.explorer_model import ExplorerModel

        self.calls: queue.Queue[Callable[[], None]] = queue.Queue()
        self.model = ExplorerModel()
        self.explorer = Explorer(self.model, self.calls.put)

    def until(self, condition: Callable[[], Any]) -> None:
        """Deliver answers until a condition holds."""
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end, f"nothing happened: {self.model.error or self.model.busy}"
            try:
                self.calls.get(timeout=0.05)()
            except queue.Empty:
                continue


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.explorer.close()


@pytest.fixture
def open_desk(desk: Desk, run: Path) -> Desk:
    """The explorer with the run open and its consensus map made."""
    desk.explorer.open(run)
    desk.until(lambda: desk.model.frame is not None and desk.model.columns.values)
    return desk


@pytest.fixture
def viewer(make_napari_viewer_proxy: Callable[..., Any], npe2pm: Any) -> Any:
    """A viewer on screen that knows the plugin, as plugins see it."""
    from npe2 import PluginManifest

    npe2pm.register(PluginManifest.from_file(MANIFEST))
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1400, 900)
    return viewer


@pytest.fixture
def explore(viewer: Any, run: Path, qtbot: Any) -> Iterator[Any]:
    """The Explore dock with the run open."""
    from napari_sbackprop.gui.docks import open_explore

    widget = open_explore(viewer)
    widget.open_run(run)
    qtbot.waitUntil(lambda: widget.model.frame is not None, timeout=TIMEOUT)
    qtbot.wait(100)
    yield widget
    if not widget.closed:
        widget.shut_down()


class Mouse:
    """Sends mouse events of Qt to a widget, where a person's would arrive."""

    def __init__(self, widget: Any) -> None:
        self._widget = widget

    def press(self, x: float, y: float, button: str = "LeftButton", modifier: str = "NoModifier") -> None:
        self._send("MouseButtonPress", x, y, button, button, modifier)

    def move(self, x: float, y: float, button: str = "LeftButton", modifier: str = "NoModifier") -> None:
        time.sleep(0.011)  # vispy drops moves that follow within 10 ms
        self._send("MouseMove", x, y, "NoButton", button, modifier)

    def release(self, x: float, y: float, button: str = "LeftButton", modifier: str = "NoModifier") -> None:
        self._send("MouseButtonRelease", x, y, button, "NoButton", modifier)

    def click(self, x: float, y: float, modifier: str = "NoModifier") -> None:
        self.press(x, y, modifier=modifier)
        self.release(x, y, modifier=modifier)

    def drag(self, path: npt.ArrayLike, button: str = "LeftButton", modifier: str = "NoModifier") -> None:
        """Press at the first of the points (n, 2), move along, release at the last."""
        points = np.asarray(path, dtype=float)
        self.press(*points[0], button, modifier)
        for x, y in points[1:]:
            self.move(x, y, button, modifier)
        self.release(*points[-1], button, modifier)

    def _send(self, kind: str, x: float, y: float, button: str, buttons: str, modifier: str) -> None:
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        place = QPointF(x, y)
        event = QMouseEvent(
            getattr(QEvent.Type, kind),
            place,
            QPointF(self._widget.mapToGlobal(place.toPoint())),
            getattr(Qt.MouseButton, button),
            getattr(Qt.MouseButton, buttons),
            reduce(operator.or_, [getattr(Qt.KeyboardModifier, name) for name in modifier.split()]),
        )
        QApplication.sendEvent(self._widget, event)


@pytest.fixture
def mouse(explore: Any) -> Mouse:
    """A mouse over the scatter."""
    return Mouse(explore.scatter.native)
