"""Paths through the latent space."""

from itertools import pairwise

import imageio.v3 as imageio
import mrcfile
import numpy as np
from guide import Guide

FRAMES = 6


def follow_paths(guide: Guide) -> None:
    """Draw, join, go through dense regions and along a component; play and save."""
    guide.hold("P")
    options, model = guide.dock.scatter_panel.options.path, guide.dock.explorer.paths.model
    _draw(guide)
    _join(guide)
    _dense(guide)
    guide.does("path along a component")
    guide.person.choose(options.way, "Component 1")
    guide.settle()
    guide.check("a component is a path", model.ready and guide.model.frame.title == "Frame 1 of 40")
    _play(guide)
    guide.does("number of frames")
    guide.person.type(options.frames, str(FRAMES))
    guide.settle()
    _save_maps(guide)
    _save_movie(guide)
    guide.person.click(options.clear)
    guide.hold("E")


def _line(guide: Guide) -> np.ndarray:
    """Pixels along the particles, from left to right."""
    return np.array([guide.crowded(share) for share in np.linspace(0.05, 0.95, 9)])


def _draw(guide: Guide) -> None:
    guide.does("drawing a path")
    line, paths = _line(guide), guide.dock.explorer.paths
    way = [np.linspace(a, b, 6, endpoint=False) for a, b in pairwise(line)]
    guide.person.drag(guide.scatter, np.concatenate([*way, line[-1:]]))
    guide.settle()
    guide.check("a drawn line is a path", paths.model.ready and guide.model.frame.title == "Frame 1 of 40")
    ends = paths.line()[[0, -1]]
    off = np.linalg.norm([guide.pixel(*end) for end in ends] - line[[0, -1]], axis=1)
    guide.check("from where it was drawn to where it was drawn", off.max() < 20)
    guide.picture("path-drawn")
    guide.person.click(guide.dock.scatter_panel.options.path.clear)


def _join(guide: Guide) -> None:
    guide.does("joining points to a path")
    for place in _line(guide)[::4]:
        guide.person.click(guide.scatter, place)
        guide.settle()
    guide.check("three clicks join three places", guide.dock.explorer.paths.model.weights.shape[0] == 3)
    guide.person.click(guide.dock.scatter_panel.options.path.clear)


def _dense(guide: Guide) -> None:
    guide.does("path through dense regions")
    options, paths = guide.dock.scatter_panel.options.path, guide.dock.explorer.paths
    guide.person.choose(options.way, "Dense regions")
    line = _line(guide)
    guide.person.drag(guide.scatter, np.linspace(line[0], line[-1], 12))
    guide.loop.until(lambda: paths.model.ready, "a path through dense regions")
    guide.settle()
    projection, line = guide.model.projection, paths.line()
    guide.check("it stays among the particles", not any(projection.anchor(point).outside for point in line))
    straight = np.linalg.norm(line[-1] - line[0])
    guide.check(
        "and goes a long way round", np.linalg.norm(np.diff(line, axis=0), axis=1).sum() > 1.2 * straight
    )
    guide.picture("path-dense")


def _play(guide: Guide) -> None:
    guide.does("playing a path")
    options, model = guide.dock.scatter_panel.options.path, guide.dock.explorer.paths.model
    guide.person.click(options.play)
    seen: list[int] = []
    model.events.frame.connect(seen.append)
    guide.loop.until(lambda: len({*seen}) >= 5, "five frames of the path")
    model.events.frame.disconnect(seen.append)
    guide.check("it plays frame after frame", model.playing)
    guide.person.click(options.play)
    guide.settle()
    guide.check("and pauses on a fine map", not model.playing and not guide.model.frame.coarse)
    guide.does("slider of a path")
    guide.person.slide(options.slider, 20)
    guide.settle()
    guide.check("its slider moves the map", abs(model.frame - 20) <= 2)


def _save_maps(guide: Guide) -> None:
    guide.does("saving the maps of a path")
    folder = guide.files / "maps"
    guide.save_path("Maps…", folder)
    maps = sorted(folder.glob("*.mrc"))
    guide.check("the series has a map a frame", len(maps) == FRAMES)
    script = next(iter(folder.glob("*.cxc")))
    guide.check(
        "and a script for ChimeraX that names them", all(name.name in script.read_text() for name in maps)
    )
    with mrcfile.open(maps[0]) as first, mrcfile.open(maps[-1]) as last:
        decoder = guide.model.scene.decoder
        guide.check("of the run's box", first.data.shape == (decoder.box,) * 3)
        guide.check("and pixel size", abs(float(first.voxel_size.x) - decoder.pixel_size) < 1e-4)
        guide.check("the ends differ", np.abs(first.data - last.data).max() > guide.model.scene.sigma)


def _save_movie(guide: Guide) -> None:
    guide.does("recording a movie")
    for name in ("path.mp4", "path.gif"):
        path = guide.files / name
        guide.save_path("Movie…", path)
        images = imageio.imread(path)
        guide.check(f"{name} has a picture a frame", len(images) == FRAMES)
        guide.check(f"{name} moves", np.ptp(np.asarray(images[[0, -1]], dtype=int), axis=0).max() > 50)
