// Kernels for the baseline instruction set of the platform (NEON where that is 64-bit ARM).
#define SBACKPROP_ISA portable
#include "kernels.inl"
