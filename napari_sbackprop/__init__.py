"""Heterogeneity analysis of cryo-EM particles by sparse Fourier backpropagation.

Kimanius, Jamali, Scheres, "Sparse Fourier Backpropagation in Cryo-EM Reconstruction", NeurIPS 2022.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
