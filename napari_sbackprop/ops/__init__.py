"""Image formation as fused operations on Fourier volumes: slices, misfit, Gram matrices, normal equations."""

from napari_sbackprop.ops.dispatch import Backend, backend
from napari_sbackprop.ops.extension import CompileError, compile_extension
from napari_sbackprop.ops.image_formation import (
    descend,
    gram,
    is_native,
    misfit,
    normal_equations,
    project,
)

__all__ = [
    "Backend",
    "CompileError",
    "backend",
    "compile_extension",
    "descend",
    "gram",
    "is_native",
    "misfit",
    "normal_equations",
    "project",
]
