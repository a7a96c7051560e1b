"""Shaders of a surface: compiled for its colours, not for each map."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_sbackprop.gui.map_layer import MapLayer, Paint
from napari_sbackprop.gui.mesh_shaders import keep_mesh_shaders
from napari_sbackprop.gui.surface import make_frame

pytestmark = pytest.mark.gui


def ball(radius: float) -> np.ndarray:
    z, y, x = np.indices((24, 24, 24)) - 11.5
    return (radius - np.sqrt(z * z + y * y + x * x)).astype(np.float32)


def test_another_surface_needs_no_shaders_and_other_colours_do(
    viewer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vispy.gloo import Program

    compiled: list[str] = []
    set_shaders = Program.set_shaders
    monkeypatch.setattr(
        Program, "set_shaders", lambda *args, **kwargs: compiled.append("") or set_shaders(*args, **kwargs)
    )
    keep_mesh_shaders()
    map_layer = MapLayer(viewer, "Ball")
    frames = [make_frame(ball(radius), 0.0, title="ball") for radius in (5.0, 9.0)]

    def show(frame: Any, paint: Paint) -> tuple[int, np.ndarray]:
        before = len(compiled)
        map_layer.show_surface(frame, paint, 1.0)
        picture = viewer.screenshot(canvas_only=True, flash=False)
        return len(compiled) - before, picture[..., :3].astype(float)

    viewer.dims.ndisplay = 3
    show(frames[1], Paint("red"))
    viewer.reset_view()
    show(frames[0], Paint("red"))
    number, large = show(frames[1], Paint("red"))
    assert number == 0
    number, small = show(frames[0], Paint("red"))
    assert number == 0
    assert 0 < (small[..., 0] > 50).sum() < (large[..., 0] > 50).sum()  # the new surface is on screen
    assert small[..., 2].max() < 50
    _, blue = show(frames[0], Paint("blue"))
    assert blue[..., 2].max() > 50 > blue[..., 0].max()
    dark = replace(frames[0], values=np.zeros(len(frames[0].vertices), np.float32))
    _, black = show(dark, Paint("blue"))
    assert black.max() < 50
    _, bright = show(dark, Paint("blue", limits=(-1.0, 0.0)))
    assert bright[..., 2].max() > 50
