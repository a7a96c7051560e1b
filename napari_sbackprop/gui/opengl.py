"""Which OpenGL draws: a GPU, or the processor."""

SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swrast", "software rasterizer", "gdi generic")


def is_software(renderer: str) -> bool:
    """Whether a GL_RENDERER string names a renderer on the processor; an unknown one counts as such."""
    name = renderer.lower()
    return not name or any(known in name for known in SOFTWARE_RENDERERS)


def renderer_name() -> str:
    """GL_RENDERER of the current context; empty where there is none."""
    from vispy.gloo import gl

    try:
        return str(gl.glGetParameter(gl.GL_RENDERER) or "")
    except RuntimeError:
        return ""
