// What the per-ISA kernels are told and how they are called. No std containers here: these files are compiled once per
// instruction set, and the linker may keep any copy of an inline library function for all of them.
#pragma once

#include <cstdint>

#include "../trilinear.h"

namespace sbackprop {

// Floats in a vector. Those that the processor does not have as such are split badly by GCC.
#if defined(__aarch64__)
constexpr int kLanes = 4;
#else
constexpr int kLanes = 8;
#endif
constexpr int kMaxChannels = 256;

// One tile of one image, and which half of it: pixels whose point has p_x < 0 are sliced at -p and conjugated.
struct Item {
  int32_t image;
  int32_t tile;
  int32_t negated;
  int32_t order;  // position among all items before sorting; sums over an image's items run in this order
};

template <typename T>
struct Geometry {
  const float* pixels;         // (P, 3): x, y, weight q
  const int32_t* tile_starts;  // (T + 1,)
  const float* tile_centres;   // (T, 2)
  VoxelRows rows;
  const T* rotation;           // (B, 3, 3)
  T limit;                     // points with |p|^2 beyond it contribute nothing
  int64_t pixel_count;
  bool combine;                // tiles fit the local box, else each pixel reads its eight corners
};

// Working memory of one thread. Between items `marks` and `box` are zero.
template <typename T>
struct Scratch {
  alignas(64) uint16_t marks[kBoxRows];          // bit x of row (z, y): a pixel touches this voxel
  alignas(64) T mixed[kBoxRows * kBoxSide * 2];  // U = sum_c s_c V_c of touched voxels
  alignas(64) T box[kBoxRows * kBoxSide * 4];    // what the pixels scatter
};

// Slices of volumes that are mixed for each image.
template <typename T>
struct MixtureTask {
  Geometry<T> geometry;
  int channels;
  const T* volumes;       // (W, C, 2)
  const T* coefficients;  // (B, stride) from pack_coefficients
  int coefficient_stride;
};

template <typename T>
struct ProjectTask : MixtureTask<T> {
  T* slices;  // (B, P, 2)
};

template <typename T>
struct BackwardTask : MixtureTask<T> {
  const T* gradient;         // (B, P, 2)
  T* volumes_gradient;       // (W, C, 2), added to; may be null
  T* coefficients_gradient;  // (items, C), by Item::order
  T* rotation_gradient;      // (items, 6), by Item::order; may be null
};

// Misfit of slices to data, and its gradients: what projecting, comparing and going back would need three passes for.
template <typename T>
struct MisfitTask : MixtureTask<T> {
  const int64_t* rows;       // (B,), row of each image in data and transfer
  const T* data;             // (N, P, 2)
  const T* transfer;         // (N, P)
  T* volumes_gradient;       // (W, C, 2), added to
  T* coefficients_gradient;  // (items, C), by Item::order
  T* misfit;                 // (items,), by Item::order
};

template <typename T>
struct GramTask {
  Geometry<T> geometry;
  int channels;
  const T* volumes;
  const T* data;      // (B, P, 2)
  const T* transfer;  // (B, P)
};

template <typename T>
struct NormalTask {
  Geometry<T> geometry;
  int channels;
  const T* data;
  const T* transfer;
  const T* first;          // (B, stride) from pack_coefficients
  int coefficient_stride;
  const T* second;         // (B, C (C + 1) / 2)
  T* matrix;               // (W, C (C + 1) / 2), added to
  T* vector;               // (W, C, 2), added to
};

// Channels 0 .. C-1 as re, im pairs are read by vectors of `lanes`; the last vector is moved back so that it ends with
// the row. Rows of fewer than kLanes numbers go pair by pair.
inline int lanes_for(int channels) { return 2 * channels < kLanes ? 2 : kLanes; }
inline int vectors_for(int channels) { return (2 * channels + lanes_for(channels) - 1) / lanes_for(channels); }

// Gram products are those of C + 1 columns, the channels and the data, in rows padded to whole vectors.
inline int64_t gram_leading(int channels) { return (channels + 1 + kLanes - 1) / kLanes * kLanes; }
inline int64_t gram_workspace(int channels) { return gram_leading(channels) * 2 * kTilePixels; }         // a thread
inline int64_t gram_products(int channels) { return gram_leading(channels) * gram_leading(channels); }  // an image

template <typename T>
struct Kernels {
  void (*project)(const ProjectTask<T>&, const Item*, int64_t count, Scratch<T>&);
  void (*backward)(const BackwardTask<T>&, const Item*, int64_t count, Scratch<T>&);
  void (*misfit)(const MisfitTask<T>&, const Item*, int64_t count, Scratch<T>&);
  void (*normal)(const NormalTask<T>&, const Item*, int64_t count, Scratch<T>&);
  void (*gram)(
      const GramTask<T>&, const Item*, int64_t count, int64_t first_image, T* workspace, T* products);
};

namespace portable {
extern const Kernels<float> single_precision;
extern const Kernels<double> double_precision;
}  // namespace portable

#if defined(SBACKPROP_WITH_AVX2)
namespace avx2 {
extern const Kernels<float> single_precision;
extern const Kernels<double> double_precision;
}  // namespace avx2
#endif

}  // namespace sbackprop
