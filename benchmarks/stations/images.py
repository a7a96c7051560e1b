"""What the images say of a selection."""

from guide import Guide
from qtpy.QtWidgets import QScrollArea


def look_at_images(guide: Guide) -> None:
    """Images, averages, views and columns of a selection, and its back-projection."""
    guide.hold("E")
    guide.click_particle(0.1)
    guide.person.type(guide.dock.scatter_panel.options.nearest, "400")
    guide.hold("N")
    _pictures(guide)
    _plots(guide)
    guide.show_tab(guide.dock.scatter_panel)
    _reconstruct(guide)


def _pictures(guide: Guide) -> None:
    panel, images = guide.dock.images_panel, guide.dock.explorer.images.model
    guide.does("images of a selection")
    guide.show_tab(panel)
    guide.loop.until(lambda: images.gallery.averages and not images.progress, "images and averages")
    guide.loop.run(0.3)
    chosen = {*guide.model.selection.indices.tolist()}
    guide.check("single particles are those of the selection", {*images.gallery.rows.tolist()} <= chosen)
    guide.check("a picture each", sum(picture.isVisible() for picture in panel.particles.pictures) == 12)
    sizes = [average.members for average in images.gallery.averages]
    guide.check("averages tell how many they are of", 0 < sum(sizes) <= len(chosen))
    guide.check("the line says what is shown", "12 of 400 selected particles" in panel.status.text())
    rows = images.gallery.rows
    guide.does("more images")
    guide.person.click(panel.more)
    guide.loop.until(lambda: images.gallery.rows is not rows and not images.progress, "more images")
    guide.check("more shows others", not {*rows.tolist()} & {*images.gallery.rows.tolist()})


def _plots(guide: Guide) -> None:
    panel, counted = guide.dock.images_panel, guide.dock.explorer.distributions.model
    guide.does("plots of a selection")
    guide.loop.until(lambda: counted.distribution.views is not None, "the plot of views")
    for column in ("rlnDefocusV", "rlnDefocusU"):
        guide.person.choose(panel.column, column)
        guide.loop.until(lambda column=column: counted.column == column, "the histogram")
    guide.loop.run(0.5)
    histogram = counted.distribution.column
    guide.check("the histogram counts the selection", histogram is not None and sum(histogram.selected) > 0)
    guide.check("views are spread over the sphere", (counted.distribution.views > 0).mean() > 0.5)
    guide.picture("images")


def _reconstruct(guide: Guide) -> None:
    button, model = guide.dock.selection_panel.reconstruct, guide.model
    guide.does("back-projection, cancelled")
    before = model.frame
    guide.person.click(button)
    guide.check("the button can stop it", button.text() == "Stop")
    guide.person.click(button)
    guide.loop.until(lambda: not model.reconstructing, "the end of the back-projection")
    guide.check("cancelled, it leaves the map", model.frame is before)
    guide.does("back-projection")
    progress: list[str] = []
    model.events.busy.connect(progress.append)
    guide.person.click(button)
    guide.loop.until(lambda: not model.reconstructing, "a back-projection")
    guide.settle()
    model.events.busy.disconnect(progress.append)
    guide.check("its progress is told", any("particles" in line for line in progress))
    guide.check("the map is shown", model.frame.title.startswith("Back-projection of"))
    guide.check("half maps are judged", "half maps of 400 particles agree to" in model.message)
    guide.picture("back-projection")
    panel = guide.dock.images_panel
    guide.show_tab(panel)
    panel.findChild(QScrollArea).ensureWidgetVisible(panel.fsc)
    guide.loop.run(0.5)
    curves = panel.fsc.lines().named
    guide.check("its FSC is drawn", panel.fsc.isVisible() and curves["masked"][1][1] > 0.9)
    guide.picture("half-map-fsc")
    guide.show_tab(guide.dock.scatter_panel)
