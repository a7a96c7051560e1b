"""The map follows the hand."""

import numpy as np
from guide import Guide

from napari_sbackprop.gui.map_view import MAP_LAYER, PINNED_LAYER


def explore(guide: Guide) -> None:
    """Click, drag, contour, render, slice, overlay and colour."""
    _click_and_drag(guide)
    _contour(guide)
    _volume(guide)
    _slice(guide)
    _overlay_and_colour(guide)


def _click_and_drag(guide: Guide) -> None:
    guide.does("click")
    guide.click_particle(0.05)
    first = guide.model.frame
    guide.click_particle(0.95)
    second = guide.model.frame
    guide.check("a click shows the map under it", second.title == "Map at the cursor")
    guide.check(
        "another place has another map", np.abs(first.volume - second.volume).max() > guide.model.scene.sigma
    )
    layer = np.asarray(guide.layer().data[0])
    guide.check("the layer holds the surface of that map", np.array_equal(layer, second.vertices))

    guide.does("drag")
    frames = []
    guide.model.events.frame.connect(frames.append)
    guide.person.drag(guide.scatter, np.linspace(guide.crowded(0.95), guide.crowded(0.05), 60))
    on_the_way = list(frames)
    guide.settle()
    guide.model.events.frame.disconnect(frames.append)
    guide.check("maps come while the mouse moves", len(on_the_way) >= 5 and on_the_way[-1].coarse)
    guide.check("the last one is fine", not frames[-1].coarse)
    guide.check(
        "it is that of the place", np.abs(frames[-1].volume - first.volume).max() < 1e-3 * first.volume.max()
    )
    guide.picture("drag")

    guide.does("click outside the particles")
    guide.person.click(guide.scatter, np.array([guide.scatter.width() - 12, 12]))
    guide.settle()
    guide.check(
        "a place far from all particles is said to be so", "outside the particles" in guide.dock.status.text()
    )
    guide.picture("outside")


def _contour(guide: Guide) -> None:
    guide.does("contour")
    guide.click_particle(0.5)
    panel, before = guide.dock.map_panel, guide.model.frame
    value = panel.contour.value()
    guide.person.slide(panel.contour, round(1.5 * value))
    guide.settle()
    contour, after = guide.model.contour, guide.model.frame
    sides = [np.ptp(frame.vertices, axis=0).prod() for frame in (after, before)]
    guide.check("a higher contour has a smaller surface", contour > value / 20 and sides[0] < sides[1])
    guide.check("the level is on the label", f"{contour:.2f} σ" in panel.contour_label.text())
    guide.click_particle(0.2)
    guide.check("the contour stays in another state", guide.model.frame.threshold == after.threshold)
    guide.person.slide(panel.contour, value)
    guide.settle()


def _volume(guide: Guide) -> None:
    guide.does("volume")
    panel = guide.dock.map_panel
    guide.person.choose(panel.renderer, "Volume")
    guide.settle()
    layer = guide.layer()
    guide.check("the map is a volume", layer.data.ndim == 3)
    guide.check("it is drawn at the contour", layer.iso_threshold == guide.model.contour)
    guide.picture("volume")


def _slice(guide: Guide) -> None:
    guide.does("slice")
    panel = guide.dock.map_panel
    guide.person.choose(panel.renderer, "Slice")
    guide.settle()
    plane = guide.layer().plane
    before = tuple(plane.position)
    guide.person.slide(panel.slice.place, panel.slice.place.maximum() // 3)
    guide.settle()
    moved = np.subtract(plane.position, before)
    pixel_size = guide.model.scene.decoder.pixel_size
    guide.check(
        "the slice moves along its axis", abs(moved[0] * pixel_size - guide.model.slice_offset) < 0.01
    )
    guide.check("and along no other", not moved[1:].any())
    guide.picture("slice")
    guide.person.choose(panel.renderer, "Surface")
    guide.settle()


def _overlay_and_colour(guide: Guide) -> None:
    panel = guide.dock.map_panel
    guide.does("overlay")
    guide.person.choose(panel.comparison, "Overlay")
    guide.settle()
    guide.check("the consensus lies over the map", guide.map_names == [MAP_LAYER, PINNED_LAYER])
    guide.check("and is seen through", guide.layer(PINNED_LAYER).opacity < 0.5)
    guide.check("it is the consensus", guide.model.pinned.title == "Consensus of all particles")
    guide.picture("overlay")
    guide.person.choose(panel.comparison, "Map alone")
    guide.settle()
    guide.does("variability colours")
    guide.person.choose(panel.colouring, "Variability")
    guide.settle()
    values = np.asarray(guide.layer().data[2])
    guide.check("the surface is coloured by where states differ", np.ptp(values) > 0.1)
    guide.check("a bar tells the values", guide.layer().colorbar.visible)
    guide.picture("variability")
    guide.person.choose(panel.colouring, "One colour")
    guide.settle()
