"""Two maps, and directions between them."""

import numpy as np
from guide import Guide
from scipy.ndimage import map_coordinates

from napari_sbackprop.gui.map_view import BLINK_MILLISECONDS, MAP_LAYER, PINNED_LAYER


def compare(guide: Guide) -> None:
    """Pin A; see B, the difference, both side by side, and blink; then walk along directions."""
    _pin(guide)
    _difference(guide)
    _side_by_side(guide)
    _blink(guide)
    guide.person.click(guide.dock.map_panel.pin)
    guide.settle()
    guide.check("without a pin the map is alone", guide.map_names == [MAP_LAYER])
    _directions(guide)


def _pin(guide: Guide) -> None:
    guide.click_particle(0.1)
    state = guide.model.frame
    guide.does("pin")
    guide.person.click(guide.dock.map_panel.pin)
    guide.settle()
    guide.check("the box is ticked", guide.dock.map_panel.pin.isChecked())
    guide.check("the map is pinned", guide.model.pinned is not None)
    guide.does("another state beside the pinned one")
    guide.click_particle(0.9)
    guide.check("A stays", np.array_equal(guide.model.pinned.volume, state.volume))
    guide.check("both are layers", guide.map_names == [MAP_LAYER, PINNED_LAYER])
    guide.check("the line names A and B", "A: Map at the cursor · B: Map" in guide.dock.status.text())
    guide.check("B is coloured by its change", guide.layer().colorbar.visible)
    guide.picture("pinned")


def _difference(guide: Guide) -> None:
    guide.does("difference")
    guide.person.choose(guide.dock.map_panel.comparison, "Difference")
    guide.settle()
    model = guide.model
    vertices, _, values = guide.layer().data
    difference = model.frame.smooth - model.pinned.smooth
    found = map_coordinates(difference, np.asarray(vertices).T, order=1)
    level = model.difference_contour * model.scene.sigma
    guide.check("B - A has both signs", {*np.unique(values)} == {-1.0, 1.0})
    guide.check("each lies at its contour", np.abs(found - level * np.asarray(values)).max() < 0.1 * level)
    guide.picture("difference")


def _side_by_side(guide: Guide) -> None:
    guide.does("side by side")
    guide.person.choose(guide.dock.map_panel.comparison, "Side by side")
    guide.settle()
    viewer = guide.viewer
    guide.check("two views", viewer.canvas.grid.actual_shape(viewer.layers) == (1, 2))
    before = viewer.scene.camera.angles
    guide.does("turning both maps")
    height, width = guide.map.height(), guide.map.width()
    guide.person.drag(guide.map, np.linspace((width / 4, height / 2), (width / 4 + 80, height / 2 + 30), 12))
    guide.settle()
    guide.check("one camera turns both", viewer.scene.camera.angles != before)
    guide.picture("side-by-side")


def _blink(guide: Guide) -> None:
    guide.does("blink")
    guide.person.choose(guide.dock.map_panel.comparison, "Blink")
    guide.settle()
    guide.check("the grid is gone", not guide.viewer.canvas.grid.enabled)
    seen = []
    for _ in range(6):  # three blinks: at first both are seen
        seen.append((guide.layer().visible, guide.layer(PINNED_LAYER).visible))
        guide.loop.run(BLINK_MILLISECONDS / 2000)
    guide.check("one map is seen after the other", {(True, False), (False, True)} <= {*seen})


def _directions(guide: Guide) -> None:
    panel = guide.dock.directions_panel
    guide.does("directions")
    guide.show_tab(panel)
    guide.loop.until(lambda: panel.rows and guide.dock.explorer.walk.model.position is not None, "directions")
    guide.does("slider along a principal component")
    guide.person.slide(panel.rows[0].slider, 60)
    guide.settle()
    position = float(guide.dock.explorer.walk.model.position[0])
    guide.check("the map follows the component", f"{position:+.1f} standard" in guide.model.frame.title)
    guide.check("so does the crosshair", guide.model.anchor is not None)
    guide.picture("principal-components")

    guide.does("basis volumes")
    guide.person.choose(panel.kind, "Basis volumes")
    guide.loop.until(lambda: guide.dock.explorer.walk.model.position is not None, "basis volumes")
    guide.settle()
    guide.does("slider along a basis volume")
    guide.person.slide(panel.rows[0].slider, -60)
    guide.settle()
    guide.check("the map follows the volume", guide.model.frame.title.startswith("V"))
    guide.does("a basis volume as a map")
    guide.person.click(panel.rows[0].show)
    guide.settle()
    guide.check("a volume is shown as what it adds and takes", guide.model.frame.meaning == "sign")
    guide.check("its place is told", "changes the map around" in panel.text.text())
    guide.picture("basis-volumes")
    guide.person.click(panel.reset)
    guide.settle()
    guide.person.choose(guide.dock.map_panel.comparison, "Map alone")
    guide.show_tab(guide.dock.scatter_panel)
    guide.settle()
