"""What leaves the window: particles for the next program, maps, pictures."""

import json
from pathlib import Path

import imageio.v3 as imageio
import mrcfile
import numpy as np
from guide import Guide


def export(guide: Guide) -> None:
    """Write a selection as STAR and .cs with its indices, classes, the map, a picture, and add it as a layer."""
    guide.hold("E")
    guide.click_particle(0.8)
    guide.person.type(guide.dock.scatter_panel.options.nearest, "150")
    guide.hold("N")
    _star(guide)
    _cryosparc(guide)
    _classes(guide)
    _map(guide)
    _screenshot(guide)
    _layer(guide)


def _rows(star: Path) -> list[str]:
    """Lines of the particles in a STAR file, read as plain text."""
    return [line.rstrip() for line in star.read_text().splitlines() if "@" in line]


def _wait_for(guide: Guide, path: Path) -> None:
    guide.loop.until(lambda: str(path) in guide.model.message or guide.model.error, path.name)
    guide.check(f"the line says where {path.suffix} went", str(path) in guide.model.message)
    guide.check(f"and what takes {path.suffix} next", "Next" in guide.model.message)


def _star(guide: Guide) -> None:
    guide.does("export as STAR")
    path = guide.files / "state.star"
    guide.person.answer(path)
    guide.person.click(guide.dock.selection_panel.export)
    _wait_for(guide, path)
    chosen, source = guide.model.selection.indices.tolist(), _rows(guide.particles)
    guide.check("the rows are those of the source, unchanged", _rows(path) == [source[row] for row in chosen])
    note = json.loads(path.with_suffix(".json").read_text())
    guide.check("the indices are beside it", note["indices"] == chosen)
    guide.picture("exported")


def _cryosparc(guide: Guide) -> None:
    guide.does("export as .cs")
    ours, path = _cryosparc_file(guide), guide.files / "state.cs"
    guide.person.answer(ours, path)
    guide.person.take(guide.dock.selection_panel.more, "Rows of another file…")
    _wait_for(guide, path)
    chosen = guide.model.selection.indices
    written, every = np.load(path), np.load(ours)
    guide.check(
        "the .cs rows are those of the selection", np.array_equal(written["uid"], every["uid"][chosen])
    )


def _cryosparc_file(guide: Guide) -> Path:
    """The particles as cryoSPARC would name their images."""
    names = [line.split() for line in _rows(guide.particles)]
    images = [next(word for word in words if "@" in word).split("@") for words in names]
    kinds = [("uid", np.uint64), ("blob/path", "S64"), ("blob/idx", np.uint32)]
    rows = np.zeros(len(images), kinds)
    rows["uid"] = np.random.default_rng(0).permutation(len(images)) + 10**18
    rows["blob/path"] = [Path(stack).name.encode() for _, stack in images]
    rows["blob/idx"] = [int(number) - 1 for number, _ in images]
    path = guide.files / "J7_particles.cs"
    with path.open("wb") as file:
        np.save(file, rows)
    return path


def _classes(guide: Guide) -> None:
    guide.does("export clusters as classes")
    if guide.model.clustering is None:
        guide.hold("C")
        guide.loop.until(lambda: guide.model.clustering is not None, "clusters")
        guide.hold("E")
    path = guide.files / "classes.star"
    guide.person.answer(path)
    guide.person.take(guide.dock.selection_panel.more, "Clusters as classes…")
    _wait_for(guide, path)
    guide.check("every particle has a class", len(_rows(path)) == len(_rows(guide.particles)))
    guide.check("named as RELION does", "_rlnClassNumber" in path.read_text())


def _map(guide: Guide) -> None:
    guide.does("saving the map")
    path, frame = guide.files / "state.mrc", guide.model.frame
    guide.person.answer(path)
    guide.person.click(guide.dock.map_panel.save)
    _wait_for(guide, path)
    with mrcfile.open(path) as file:
        guide.check("the file holds the map on screen", np.array_equal(file.data, frame.volume))
        pixel_size = guide.model.scene.decoder.pixel_size
        guide.check("with its pixel size", abs(float(file.voxel_size.x) - pixel_size) < 1e-4)


def _screenshot(guide: Guide) -> None:
    guide.does("napari's screenshot")
    path = guide.files / "screenshot.png"
    guide.focus()  # the dialog had it
    guide.person.answer(path)
    guide.person.key(guide.map, "S", "Alt")
    guide.loop.until(path.is_file, "the screenshot")
    image = np.asarray(imageio.imread(path))[..., :3]
    guide.check("the screenshot shows the map", 0.02 < (image.max(axis=-1) > 60).mean() < 0.9)


def _layer(guide: Guide) -> None:
    guide.does("the selection as a Points layer")
    viewer, before = guide.viewer, guide.viewer.scene.camera.zoom
    guide.hold("K")
    guide.person.take(guide.dock.selection_panel.more, "New Points layer")
    guide.loop.until(lambda: len(viewer.layers) == 2, "the layer")
    layer, chosen, kept = viewer.layers[-1], guide.model.selection.indices, guide.model.sets[-1]
    guide.check("the layer has the name of the set", layer.name == kept.name)
    guide.check("rows are a feature", layer.features["particle"].tolist() == chosen.tolist())
    defocus = guide.model.columns.values["rlnDefocusU"][chosen]
    guide.check("so are columns", np.array_equal(layer.features["rlnDefocusU"], defocus))
    guide.check("so are latents", np.array_equal(layer.features["z1"], guide.model.scene.latents[chosen, 0]))
    guide.check("the map stays as it is", viewer.scene.camera.zoom == before and not layer.visible)
    layer.visible = True
    guide.loop.run(0.5)
    guide.picture("points-layer")
    viewer.layers.remove(layer)
    guide.person.click(guide.dock.selection_panel.undo)
