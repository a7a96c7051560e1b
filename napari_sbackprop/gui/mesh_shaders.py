"""Compiled shaders of meshes, kept from one map to the next."""

from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary


def keep_mesh_shaders() -> None:
    """Have vispy compile a mesh's shaders anew for other colours only, not for other vertices.

    With each set of vertices vispy 0.17 makes an equal function anew that turns values into colours, and compiles
    for it: a quarter of the time from a click to its surface where the processor draws. Does nothing where vispy has
    no such method.
    """
    from vispy.visuals.mesh import MeshVisual

    build = getattr(MeshVisual, "_build_color_transform", None)
    if build is None or hasattr(build, "__wrapped__"):
        return
    kept: WeakKeyDictionary[Any, tuple[Any, Any]] = WeakKeyDictionary()

    @wraps(build)
    def build_once(mesh: Any, colours: Any) -> Any:
        if mesh.clim == "auto":  # depends on the values
            return build(mesh, colours)
        look = (colours.ndim, colours.shape[1:], mesh.clim, mesh.cmap)
        if mesh not in kept or kept[mesh][0] != look:
            kept[mesh] = look, build(mesh, colours)
        return kept[mesh][1]

    MeshVisual._build_color_transform = build_once
