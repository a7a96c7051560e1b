// A tile's pixels and the voxels they touch, by one block of kThreads threads. Includes nothing of the system, so that
// NVRTC takes it; SBACKPROP_CHANNELS is the number C of channels; SBACKPROP_BFLOAT16, that volumes are read as such.
#pragma once

#include "../trilinear.h"

namespace sbackprop {

constexpr int kThreads = 128;
constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kChannels = SBACKPROP_CHANNELS;
constexpr int kGroup = 8;                              // lanes that read one voxel's row together
constexpr int kGroups = kThreads / kGroup;
constexpr int kPerLane = (kChannels + kGroup - 1) / kGroup;
constexpr int kMaxTouched = 8 * kTilePixels;

using Bfloat16 = unsigned short;                       // the upper half of a float
#ifdef SBACKPROP_BFLOAT16
using Stored = Bfloat16;                               // what volumes are read from; all else is float
#else
using Stored = float;
#endif

struct Complex {
  float re, im;
};

struct Geometry {
  const float* pixels;         // (P, 3): x, y, weight q
  const int* tile_starts;      // (T + 1,)
  const float* tile_centres;   // (T, 2)
  const int* row;              // (side, side)
  const float* rotation;       // (B, 3, 3)
  int side;
  int pixel_count;
  float limit;                 // points with |p|^2 beyond it contribute nothing

  SBACKPROP_INLINE VoxelRows rows() const { return {row, side, side / 2}; }

  // Position of a pixel in an array (images, P).
  SBACKPROP_INLINE long long at(long long image, int pixel) const { return image * pixel_count + pixel; }
};

// One tile of one image and one sign of p_x, packed as (image * tiles + tile) * 2 + negated.
struct Item {
  int image, tile, negated;
};

SBACKPROP_INLINE Item unpack_item(int packed, int tiles) {
  return {packed / (2 * tiles), packed / 2 % tiles, packed & 1};
}

// Rows longer than the local box allows: every pixel then keeps its eight corners to itself.
SBACKPROP_INLINE bool fits_box(const float* a) {
  const float xx = a[0] * a[0] + a[1] * a[1] + a[2] * a[2];
  const float yy = a[3] * a[3] + a[4] * a[4] + a[5] * a[5];
  const float xy = a[0] * a[3] + a[1] * a[4] + a[2] * a[5];
  // Largest eigenvalue of [xx xy; xy yy] <= limit^2, without a root.
  const float room = kCombineLimit * kCombineLimit;
  return xx <= room && yy <= room && (room - xx) * (room - yy) >= xy * xy;
}

// Voxels touched by a tile; `value` and `fixed` are parallel to `voxel`.
struct Touched {
  unsigned marks[kBoxRows];    // bit x of row (z, y)
  int first[kBoxRows];         // list position of a row's first voxel
  int warp_total[kThreads / kWarp];
  int count;
  int voxel[kMaxTouched];      // -1 where a pixel of the other sign would have stood
};

// The pixel of a thread: threads 0 .. kTilePixels - 1 have one each.
struct Pixel {
  int index;                   // among all pixels; -1 for none, or one of the other sign
  bool inside;                 // reads voxels
  float fx, fy, fz;
  int slot[4];                 // list position of the lower voxel of each x-pair; the upper one follows
};

__device__ inline int bit_count(unsigned bits) { return __popc(bits); }

// Exclusive prefix sum of one number per thread.
__device__ inline int scan_exclusive(int value, int* warp_total, int* total) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  int sum = value;
  for (int step = 1; step < kWarp; step *= 2) {
    const int below = __shfl_up_sync(kAllLanes, sum, step);
    if (lane >= step) sum += below;
  }
  if (lane == kWarp - 1) warp_total[warp] = sum;
  __syncthreads();
  int before = 0, all = 0;
  for (int w = 0; w < kThreads / kWarp; ++w) {
    if (w < warp) before += warp_total[w];
    all += warp_total[w];
  }
  if (threadIdx.x == 0) *total = all;
  return before + sum - value;
}

// Write the list of marked voxels; each thread has two rows of the box.
__device__ inline void list_marked(const Geometry& geometry, int x0, int y0, int z0, Touched& touched) {
  constexpr int kRows = kBoxRows / kThreads;
  int own = 0;
  for (int k = 0; k < kRows; ++k) own += bit_count(touched.marks[kRows * threadIdx.x + k]);
  int at = scan_exclusive(own, touched.warp_total, &touched.count);
  for (int k = 0; k < kRows; ++k) {
    const int row = kRows * threadIdx.x + k;
    touched.first[row] = at;
    unsigned mask = touched.marks[row];
    if (mask == 0) continue;
    const int start = geometry.rows().start(y0 + row % kBoxSide, z0 + row / kBoxSide) + x0;
    for (; mask != 0; mask &= mask - 1) touched.voxel[at++] = start + bit_count((mask & -mask) - 1);
  }
}

// Pixels of the direct path: a list with eight places per pixel and no sharing.
__device__ inline void list_corners(const Geometry& geometry, const Cell<float>& cell, Pixel& pixel, Touched& touched) {
  if (threadIdx.x == 0) touched.count = kMaxTouched;
  if (threadIdx.x >= kTilePixels) return;
  int first[4];
  if (pixel.inside) corner_pairs(geometry.rows(), cell, first);
  for (int pair = 0; pair < 4; ++pair) {
    pixel.slot[pair] = 8 * threadIdx.x + 2 * pair;
    touched.voxel[pixel.slot[pair]] = pixel.inside ? first[pair] : -1;
    touched.voxel[pixel.slot[pair] + 1] = pixel.inside ? first[pair] + 1 : -1;
  }
}

// Locate the item's pixels and list the voxels they touch. Ends with a barrier.
__device__ inline Pixel open_tile(const Geometry& geometry, const Item& item, Touched& touched) {
  const float* rotation = geometry.rotation + 9 * item.image;
  const int begin = geometry.tile_starts[item.tile], end = geometry.tile_starts[item.tile + 1];
  const bool combine = fits_box(rotation);
  Pixel pixel;
  pixel.index = -1;
  pixel.inside = false;
  Cell<float> cell = {0, 0, 0, 0, 0, 0};
  if (begin + static_cast<int>(threadIdx.x) < end) {
    const int index = begin + threadIdx.x;
    const Point<float> raw = slice_point(rotation, geometry.pixels[3 * index], geometry.pixels[3 * index + 1]);
    const Point<float> p = negated_if(item.negated != 0, raw);
    if ((raw.x < 0) == (item.negated != 0)) {
      pixel.index = index;
      pixel.inside = squared_norm(p) <= geometry.limit;
    }
    if (pixel.inside) cell = locate(p);
  }
  pixel.fx = cell.fx;
  pixel.fy = cell.fy;
  pixel.fz = cell.fz;
  if (!combine) {
    list_corners(geometry, cell, pixel, touched);
    __syncthreads();
    return pixel;
  }
  const float* at = geometry.tile_centres + 2 * item.tile;
  const Point<float> centre = negated_if(item.negated != 0, slice_point(rotation, at[0], at[1]));
  const int low = floor_to_int(centre.x) - kBoxMargin;
  const int x0 = low > 0 ? low : 0;
  const int y0 = floor_to_int(centre.y) - kBoxMargin, z0 = floor_to_int(centre.z) - kBoxMargin;
  for (int row = threadIdx.x; row < kBoxRows; row += kThreads) touched.marks[row] = 0;
  __syncthreads();
  const int row = (cell.z - z0) * kBoxSide + cell.y - y0, x = cell.x - x0;
  if (pixel.inside) {
    for (int pair = 0; pair < 4; ++pair) {
      atomicOr(&touched.marks[row + (pair & 1) + (pair >> 1) * kBoxSide], 3u << x);
    }
  }
  __syncthreads();
  list_marked(geometry, x0, y0, z0, touched);
  __syncthreads();
  if (pixel.inside) {
    for (int pair = 0; pair < 4; ++pair) {
      const int r = row + (pair & 1) + (pair >> 1) * kBoxSide;
      pixel.slot[pair] = touched.first[r] + bit_count(touched.marks[r] & ((1u << x) - 1));
    }
  }
  return pixel;
}

// An image's coefficients (of (B, C)) of the channels that this lane reads: lane, lane + kGroup, ...
__device__ inline void load_coefficients(const float* coefficients, int image, float own[kPerLane]) {
  const float* from = coefficients + static_cast<long long>(kChannels) * image;
  for (int j = 0; j < kPerLane; ++j) {
    const int c = threadIdx.x % kGroup + j * kGroup;
    own[j] = c < kChannels ? from[c] : 0.0f;
  }
}

__device__ inline Complex load_complex(const float* from) {
  // Rows are 8-byte aligned whatever C is: one transaction for both parts.
  const float2 both = *reinterpret_cast<const float2*>(from);
  return {both.x, both.y};
}

__device__ inline Complex load_complex(const Bfloat16* from) {
  const unsigned both = *reinterpret_cast<const unsigned*>(from);
  return {__uint_as_float(both << 16), __uint_as_float(both & 0xffff0000u)};
}

__device__ inline void store_complex(float* to, Complex value) {
  *reinterpret_cast<float2*>(to) = float2{value.re, value.im};
}

// Rounded to nearest, ties to even; NaN apart, whose upper half alone may be infinity.
__device__ inline unsigned bfloat16_bits(float value) {
  const unsigned bits = __float_as_uint(value);
  return value != value ? 0x7fc0u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

__device__ inline void store_complex(Bfloat16* to, Complex value) {
  *reinterpret_cast<unsigned*>(to) = bfloat16_bits(value.re) | bfloat16_bits(value.im) << 16;
}

__device__ inline Complex conjugated_if(bool conjugate, Complex value) {
  return {value.re, conjugate ? -value.im : value.im};
}

// A pixel's number in an array (images, P, 2), conjugated where the item is negated.
__device__ inline Complex load_signed(const float* from, const Item& item, long long at) {
  return conjugated_if(item.negated != 0, load_complex(from + 2 * at));
}

__device__ inline void add_complex(float* to, float re, float im) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("red.global.add.v2.f32 [%0], {%1, %2};" ::"l"(to), "f"(re), "f"(im) : "memory");
#else
  atomicAdd(to, re);
  atomicAdd(to + 1, im);
#endif
}

// U = sum_c s_c V_c of every touched voxel. Ends with a barrier.
__device__ inline void mix_touched(
    const Stored* volumes, const float own[kPerLane], const Touched& touched, Complex* mixed) {
  const int lane = threadIdx.x % kGroup;
  for (int base = 0; base < touched.count; base += kGroups) {
    const int i = base + threadIdx.x / kGroup;
    const int voxel = i < touched.count ? touched.voxel[i] : -1;
    Complex sum = {0, 0};
    if (voxel >= 0) {
      const Stored* row = volumes + 2ll * kChannels * voxel;
#pragma unroll
      for (int j = 0; j < kPerLane; ++j) {
        const int c = lane + j * kGroup;
        if (c >= kChannels) break;
        const Complex v = load_complex(row + 2 * c);
        sum.re += own[j] * v.re;
        sum.im += own[j] * v.im;
      }
    }
    for (int step = kGroup / 2; step > 0; step /= 2) {
      sum.re += __shfl_xor_sync(kAllLanes, sum.re, step);
      sum.im += __shfl_xor_sync(kAllLanes, sum.im, step);
    }
    if (lane == 0 && i < touched.count) mixed[i] = sum;
  }
  __syncthreads();
}

// Shared float atomics are compare-and-swap loops; integers have an instruction, and their sum has no order. The step
// is a power of two such that kTilePixels numbers up to `largest` cannot overflow: at least 24 bits for the largest.
struct FixedPoint {
  float scale, step;

  __device__ explicit FixedPoint(unsigned largest_bits) {
    const int exponent = static_cast<int>(largest_bits >> 23) - 127;
    int shift = 23 - exponent;
    shift = shift > 126 ? 126 : shift;
    scale = __uint_as_float(static_cast<unsigned>(shift + 127) << 23);
    // A number that is not finite must not vanish: it turns the whole tile's result into NaN.
    step = exponent == 128 ? __uint_as_float(0x7fc00000u) : __uint_as_float(static_cast<unsigned>(127 - shift) << 23);
  }
  __device__ int to_fixed(float value) const { return __float2int_rn(value * scale); }
  __device__ float to_float(int value) const { return static_cast<float>(value) * step; }
};

// |value| as bits, which rank as the numbers do and NaN above infinity.
__device__ inline unsigned size_bits(float value) { return __float_as_uint(value) & 0x7fffffffu; }

__device__ inline unsigned size_bits(Complex value) {
  const unsigned re = size_bits(value.re), im = size_bits(value.im);
  return re > im ? re : im;
}

// Largest bits of the block. `shared` is one word that nobody uses; the call ends with a barrier.
__device__ inline unsigned largest_of_block(unsigned bits, unsigned* shared) {
  if (threadIdx.x == 0) *shared = 0;
  __syncthreads();
  atomicMax(shared, bits);
  __syncthreads();
  return *shared;
}

// Spread a pixel's number over its corners in a fixed-point list.
__device__ inline void scatter(const Pixel& pixel, const FixedPoint& fixed, float value, int* list) {
  float weight[8];
  corner_weights(pixel.fx, pixel.fy, pixel.fz, weight);
  for (int e = 0; e < 8; ++e) atomicAdd(&list[pixel.slot[e >> 1] + (e & 1)], fixed.to_fixed(weight[e] * value));
}

__device__ inline void clear_list(const Touched& touched, int* list) {
  for (int i = threadIdx.x; i < touched.count; i += kThreads) list[i] = 0;
}

// Complex numbers of the pixels, spread over the touched voxels.
struct Spread {
  int real[kMaxTouched], imaginary[kMaxTouched];
  unsigned largest;

  __device__ Complex at(int i, const FixedPoint& fixed) const {
    return {fixed.to_float(real[i]), fixed.to_float(imaginary[i])};
  }
};

// Spread one number per pixel; pixels that read no voxels must bring 0. Ends with a barrier.
__device__ inline FixedPoint scatter_complex(
    const Pixel& pixel, Complex value, const Touched& touched, Spread& spread) {
  clear_list(touched, spread.real);
  clear_list(touched, spread.imaginary);
  const FixedPoint fixed(largest_of_block(size_bits(value), &spread.largest));
  if (pixel.inside) {
    scatter(pixel, fixed, value.re, spread.real);
    scatter(pixel, fixed, value.im, spread.imaginary);
  }
  __syncthreads();
  return fixed;
}

}  // namespace sbackprop
