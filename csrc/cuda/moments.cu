// Gram matrices per image and normal equations per voxel; their twin on the CPU is cpu/moments.inl.
#include "tile.h"

namespace sbackprop {

constexpr int kPacked = kChannels * (kChannels + 1) / 2;
constexpr int kGramPixels = 32;                              // gathered at a time
constexpr int kColumns = kChannels + 1;                      // the channels, then the data
constexpr int kPairs = kColumns * (kColumns + 1) / 2 - 1;    // upper triangle without data times data
constexpr int kPairsPerThread = (kPairs + kThreads - 1) / kThreads;

// Position of entry k of an upper triangle of `columns` columns, row-major.
__device__ inline void unpack_pair(int k, int columns, int* row, int* column) {
  *row = 0;
  while (k >= columns - *row) k -= columns - (*row)++;
  *column = *row + k;
}

// Interpolate all channels at one pixel by one group of lanes; x holds (re, im) rows of kColumns.
__device__ inline void gather_pixel(
    const Geometry& geometry, const float* rotation, int index, const Stored* volumes, float transfer, Complex data,
    float* re, float* im) {
  const int lane = threadIdx.x % kGroup;
  const float* at = geometry.pixels + 3 * index;
  const Point<float> raw = slice_point(rotation, at[0], at[1]);
  const Point<float> p = negated_if(raw.x < 0, raw);
  const bool inside = squared_norm(p) <= geometry.limit;
  const float root = inside ? sqrtf(2.0f * at[2]) : 0.0f;
  float weight[8] = {};
  int first[4] = {};
  if (inside) {
    const Cell<float> cell = locate(p);
    corner_weights(cell.fx, cell.fy, cell.fz, weight);
    corner_pairs(geometry.rows(), cell, first);
  }
  for (int c = lane; c < kChannels; c += kGroup) {
    Complex sum = {0, 0};
    for (int e = 0; inside && e < 8; ++e) {
      const Complex v = load_complex(volumes + 2ll * kChannels * (first[e >> 1] + (e & 1)) + 2 * c);
      sum.re += weight[e] * v.re;
      sum.im += weight[e] * v.im;
    }
    re[c] = root * transfer * sum.re;
    im[c] = root * transfer * sum.im;
  }
  if (lane == 0) {
    re[kChannels] = root * data.re;
    im[kChannels] = root * conjugated_if(raw.x < 0, data).im;
  }
}

// Block (part, image) adds the products of every gridDim.x-th run of pixels of the image; G's upper triangle and h.
extern "C" __global__ void __launch_bounds__(kThreads) gram(
    Geometry geometry, const Stored* volumes, const float* data, const float* transfer, float* matrix, float* vector) {
  __shared__ float x[2 * kGramPixels][kColumns];
  const int image = blockIdx.y;
  const float* rotation = geometry.rotation + 9 * image;
  float sums[kPairsPerThread] = {};
  int rows[kPairsPerThread], columns[kPairsPerThread];
#pragma unroll
  for (int k = 0; k < kPairsPerThread; ++k) {
    const int pair = threadIdx.x + k * kThreads;
    unpack_pair(pair < kPairs ? pair : 0, kColumns, &rows[k], &columns[k]);
  }
  for (int base = blockIdx.x * kGramPixels; base < geometry.pixel_count; base += gridDim.x * kGramPixels) {
    for (int n = threadIdx.x / kGroup; n < kGramPixels; n += kGroups) {
      const bool present = base + n < geometry.pixel_count;
      const int index = present ? base + n : 0;
      const long long at = geometry.at(image, index);
      const Complex datum = present ? load_complex(data + 2 * at) : Complex{0, 0};
      gather_pixel(geometry, rotation, index, volumes, present ? transfer[at] : 0.0f, datum, x[2 * n], x[2 * n + 1]);
    }
    __syncthreads();
    for (int n = 0; n < 2 * kGramPixels; ++n) {
#pragma unroll
      for (int k = 0; k < kPairsPerThread; ++k) sums[k] += x[n][rows[k]] * x[n][columns[k]];
    }
    __syncthreads();
  }
#pragma unroll
  for (int k = 0; k < kPairsPerThread; ++k) {
    if (threadIdx.x + k * kThreads >= kPairs) break;
    if (columns[k] == kChannels) {
      atomicAdd(vector + static_cast<long long>(kChannels) * image + rows[k], sums[k]);
    } else {
      atomicAdd(matrix + (static_cast<long long>(kChannels) * image + rows[k]) * kChannels + columns[k], sums[k]);
    }
  }
}

// second is packed, (B, C (C + 1) / 2); matrix and vector are added to.
extern "C" __global__ void __launch_bounds__(kThreads) normal_equations(
    Geometry geometry, const int* items, int tiles, const float* data, const float* transfer, const float* first,
    const float* second, float* matrix, float* vector) {
  __shared__ Touched touched;
  __shared__ int power[kMaxTouched];
  __shared__ unsigned largest_power;
  __shared__ Spread spread;
  const int packed = items[blockIdx.x];
  if (packed < 0) return;
  const Item item = unpack_item(packed, tiles);
  const Pixel pixel = open_tile(geometry, item, touched);
  float square = 0;
  Complex back = {0, 0};
  if (pixel.inside) {
    const long long at = geometry.at(item.image, pixel.index);
    const float weighted = geometry.pixels[3 * pixel.index + 2] * transfer[at];
    const Complex datum = load_signed(data, item, at);
    square = weighted * transfer[at];
    back = {weighted * datum.re, weighted * datum.im};
  }
  clear_list(touched, power);
  const FixedPoint square_fixed(largest_of_block(size_bits(square), &largest_power));
  if (pixel.inside) scatter(pixel, square_fixed, square, power);
  const FixedPoint back_fixed = scatter_complex(pixel, back, touched, spread);
  const float* moments = second + static_cast<long long>(kPacked) * item.image;
  const float* means = first + static_cast<long long>(kChannels) * item.image;
  const int lane = threadIdx.x % kWarp;
  for (int i = threadIdx.x / kWarp; i < touched.count; i += kThreads / kWarp) {
    const int voxel = touched.voxel[i];
    if (voxel < 0) continue;
    const float share = square_fixed.to_float(power[i]);
    const Complex g = spread.at(i, back_fixed);
    float* row = matrix + static_cast<long long>(kPacked) * voxel;
    for (int k = lane; k < kPacked; k += kWarp) atomicAdd(row + k, share * moments[k]);
    for (int c = lane; c < kChannels; c += kWarp) {
      add_complex(vector + 2ll * kChannels * voxel + 2 * c, means[c] * g.re, means[c] * g.im);
    }
  }
}

}  // namespace sbackprop
