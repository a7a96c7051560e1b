"""Image formation as fused operations on Fourier volumes: project, Gram matrices, normal equations."""

from napari_sbackprop.ops.reference import gram, normal_equations, project

__all__ = ["gram", "normal_equations", "project"]
