// Kernels for x86-64 with AVX2 and FMA; compiled with -mavx2 -mfma and chosen at run time.
#define SBACKPROP_ISA avx2
#include "kernels.inl"
