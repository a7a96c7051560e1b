"""Selections: outlines, clusters, conditions, regions of the map, and sets that are kept."""

import numpy as np
from guide import Guide
from qtpy.QtCore import QPoint
from skimage.measure import points_in_poly

from napari_sbackprop.gui.set_table import NAME


def select(guide: Guide) -> None:
    """Select in every way, keep sets, join them, take back, and find them again."""
    _outlines(guide)
    _clusters(guide)
    _query(guide)
    _sphere(guide)
    _nearest(guide)
    _sets(guide)
    _open_again(guide)


def _selected(guide: Guide) -> set[int]:
    selection = guide.model.selection
    return set() if selection is None else {*selection.indices.tolist()}


def _pixels(guide: Guide) -> np.ndarray:
    """Where the scatter shows the particles (N, 2)."""
    return np.array([guide.pixel(x, y) for x, y in guide.model.projection.coordinates])


def _outlines(guide: Guide) -> None:
    """A lasso; a rectangle that adds, by a key held down; a brush that takes away."""
    pixels, centre = _pixels(guide), guide.crowded(0.3)
    angle = np.linspace(0, 2 * np.pi, 40)
    circle = centre + 70 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    guide.does("lasso")
    guide.hold("L")
    guide.person.drag(guide.scatter, circle)
    guide.loop.run(0.1)
    inside = {*np.flatnonzero(points_in_poly(pixels, circle)).tolist()}
    lassoed = _selected(guide)
    guide.check("a lasso selects what is inside", inside and len(lassoed ^ inside) <= 0.02 * len(inside))
    guide.check("and counts it", f"<b>{len(lassoed):,}</b> of" in guide.dock.selection_panel.count.text())
    guide.picture("lasso")

    guide.does("rectangle")
    guide.hold("R")
    low, high = guide.quantile(0.6, 0.9), guide.quantile(0.99, 0.05)
    guide.person.drag(guide.scatter, np.linspace(low, high, 10), held="Control")
    guide.loop.run(0.1)
    within = ((pixels > np.minimum(low, high)) & (pixels < np.maximum(low, high))).all(axis=1)
    expected = lassoed | {*np.flatnonzero(within).tolist()}
    added = _selected(guide)
    guide.check("with Ctrl a rectangle adds", len(added ^ expected) <= 0.02 * len(expected))

    guide.does("brush")
    guide.hold("B")
    guide.person.drag(guide.scatter, np.linspace(centre - 60, centre + 60, 12), held="Alt")
    guide.loop.run(0.1)
    taken, radius = added - _selected(guide), guide.dock.scatter.brush_radius
    along = np.linspace(centre - 60, centre + 60, 200)
    distance = np.array([np.linalg.norm(along - pixels[row], axis=1).min() for row in sorted(taken)])
    guide.check("with Alt a brush takes away", taken and distance.max() <= radius + 2)
    guide.picture("brush")


def _clusters(guide: Guide) -> None:
    guide.does("clusters")
    guide.hold("C")
    options, model = guide.dock.scatter_panel.options.clusters, guide.model
    guide.loop.until(lambda: model.clustering is not None, "clusters")
    guide.person.choose(guide.dock.scatter_panel.colour, "cluster")
    for method in ("Gaussian mixture", "HDBSCAN", "k-means"):
        before = model.clustering
        guide.person.choose(options.method, method)
        guide.loop.until(lambda before=before: model.clustering is not before, f"clusters by {method}")
        count = f"<b>{len(model.clustering.sizes)}</b> clusters"
        guide.check(f"{method} counts its clusters", count in options.found.text())
    guide.does("click on a cluster")
    guide.person.click(guide.scatter, guide.crowded(0.02))
    guide.loop.run(0.1)
    labels = model.clustering.labels[sorted(_selected(guide))]
    size = model.clustering.sizes[labels[0]]
    guide.check("a click selects the whole cluster", len({*labels.tolist()}) == 1 and len(labels) == size)
    guide.picture("clusters")
    guide.person.choose(guide.dock.scatter_panel.colour, "density")


def _query(guide: Guide) -> None:
    guide.does("query")
    guide.hold("E")
    line, model = guide.dock.selection_panel.query, guide.model
    guide.person.key(guide.scatter, "Slash")
    guide.loop.until(line.text.hasFocus, "the query line")
    guide.person.type(line.text, "z1 < 0 & defocusU")
    popup = line.text.completer().popup()
    guide.check("a name is completed from its middle", popup.isVisible())
    guide.person.key(popup, "Down")
    guide.person.key(popup, "Return")
    guide.check("the line has the name", line.text.text() == "z1 < 0 & rlnDefocusU")
    guide.person.type(line.text, "z1 < 0 & rlnDefocusU > 15000")
    latents, defocus = model.scene.latents, np.asarray(model.columns.values["rlnDefocusU"])
    expected = {*np.flatnonzero((latents[:, 0] < 0) & (defocus > 15000)).tolist()}
    text = f"{len(expected):,} particles"
    guide.loop.until(lambda: line.count.text() == text, f"the count of {text}")
    guide.person.key(line.text, "Return")
    guide.loop.until(lambda: _selected(guide) == expected, "the query's selection")
    guide.check("a query selects what it holds for", _selected(guide) == expected)
    guide.picture("query")
    guide.person.type(line.text, "")
    guide.person.key(line.text, "Backspace")


def _sphere(guide: Guide) -> None:
    guide.does("sphere in the map")
    guide.click_particle(0.5)
    guide.hold("S")
    options, model = guide.dock.scatter_panel.options.region, guide.model
    guide.person.click(guide.map)
    guide.loop.until(lambda: model.region_density is not None, "the density in the sphere")
    guide.settle()
    guide.check("a click on the map places a sphere", "Region" in guide.map_names)
    guide.person.slide(options.least, options.least.maximum() // 2)
    guide.loop.run(0.2)
    chosen = np.isin(np.arange(model.scene.count), sorted(_selected(guide)))
    density = model.region_density
    guide.check("some particles are selected, not all", chosen.any() and not chosen.all())
    guide.check("those with the most density in it", density[chosen].min() >= density[~chosen].max())
    guide.picture("sphere")


def _nearest(guide: Guide) -> None:
    guide.does("nearest particles")
    guide.hold("E")
    guide.click_particle(0.7)
    guide.person.type(guide.dock.scatter_panel.options.nearest, "200")
    guide.hold("N")
    latents = guide.model.scene.latents
    distance = np.linalg.norm(latents - guide.model.anchor.mean(latents), axis=1)
    guide.check("the nearest are selected", _selected(guide) == {*np.argsort(distance)[:200].tolist()})


def _sets(guide: Guide) -> None:
    table, model = guide.dock.selection_panel.table, guide.model
    guide.does("keeping sets")
    first = _selected(guide)
    guide.hold("K")
    guide.click_particle(0.72)
    guide.hold("N")
    second = _selected(guide)
    guide.hold("K")
    guide.check(
        "two sets have names and colours of their own",
        len({(kept.name, kept.colour) for kept in model.sets}) == 2,
    )
    guide.does("naming a set")
    guide.person.double_click(table.viewport(), _cell(table, 0))
    guide.loop.run(0.1)
    guide.person.type(table, "closed")
    guide.person.key(table.findChild(type(guide.dock.selection_panel.query.text)), "Return")
    guide.loop.run(0.1)
    guide.check("a set gets a name", model.sets[0].name == "closed")
    guide.does("joining sets")
    for text, expected in (
        ("Add to the selection", first | second),
        ("Subtract from the selection", second - first),
        ("Intersect with the selection", first & second),
    ):
        guide.person.click(table.viewport(), _cell(table, 1))
        guide.person.take_at(table.viewport(), QPoint(*_cell(table, 0)), text)
        guide.loop.run(0.1)
        guide.check(f"{text.split()[0].lower()} joins two sets", _selected(guide) == expected)
    guide.does("invert, undo, redo")
    every, before = {*range(model.scene.count)}, _selected(guide)
    guide.hold("I")
    guide.check("invert selects the others", _selected(guide) == every - before)
    guide.person.key(guide.scatter, "Z", "Control")
    guide.check("undo brings back what was", _selected(guide) == before)
    guide.person.key(guide.scatter, "Z", "Control Shift")
    guide.check("redo takes it again", _selected(guide) == every - before)
    guide.person.click(table.viewport(), _cell(table, 0))
    guide.picture("sets")


def _cell(table: object, row: int) -> tuple[int, int]:
    """Pixel in the name of a set."""
    middle = table.visualItemRect(table.item(row, NAME)).center()
    return middle.x(), middle.y()


def _open_again(guide: Guide) -> None:
    guide.does("opening the run again")
    model = guide.model
    before = [(kept.name, kept.colour, kept.indices.tolist()) for kept in model.sets]
    run = model.scene.run.path
    guide.person.answer(run)
    guide.person.click(guide.dock.open_button)
    guide.loop.until(lambda: model.frame is not None and len(model.sets) == len(before), "the kept sets")
    guide.settle()
    after = [(kept.name, kept.colour, kept.indices.tolist()) for kept in model.sets]
    guide.check("the sets are in the run", after == before)
