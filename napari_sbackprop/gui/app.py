"""The explorer as a program: napari with the plugin's docks open."""

from pathlib import Path
from typing import Any

from napari_sbackprop.gui.docks import PLUGIN, open_explore, open_train

WINDOW_SIZE = (1600, 1000)


def explore(run: Path | None) -> None:
    """Open napari on a run, or on the Train dock without one, and stay until the window is closed."""
    import napari

    viewer = open_viewer(run)
    napari.run()
    viewer.close()


def open_viewer(run: Path | None, *, show: bool = True) -> Any:
    """A viewer with the docks of the plugin."""
    import napari

    _make_known()
    viewer = napari.Viewer(title="napari-sbackprop", ndisplay=3, show=show)
    if run is None:
        open_explore(viewer)
        open_train(viewer)
    else:
        open_explore(viewer).open_run(run)
    return viewer


def _make_known() -> None:
    """Register the manifest where the package runs from its sources and was not installed."""
    from npe2 import PluginManager, PluginManifest

    manager = PluginManager.instance()
    manager.discover()
    if PLUGIN not in manager:
        manager.register(PluginManifest.from_file(Path(__file__).parents[1] / "napari.yaml"))
