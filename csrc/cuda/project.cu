// Slices of mixed volumes and their gradients: one block per item (a tile of an image, one sign of p_x). The slices'
// twin on the CPU is cpu/project.inl; the geometry is trilinear.h for both.
#include "tile.h"

namespace sbackprop {

__device__ inline Complex interpolate(const Pixel& pixel, const Complex* mixed) {
  float weight[8];
  corner_weights(pixel.fx, pixel.fy, pixel.fz, weight);
  Complex sum = {0, 0};
  for (int e = 0; e < 8; ++e) {
    const Complex corner = mixed[pixel.slot[e >> 1] + (e & 1)];
    sum.re += weight[e] * corner.re;
    sum.im += weight[e] * corner.im;
  }
  return sum;
}

// Add the warp's sum of each number to memory.
__device__ inline void add_warp_sums(const float* values, int count, float* to) {
  for (int k = 0; k < count; ++k) {
    float sum = values[k];
    for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
    if (threadIdx.x % kWarp == 0 && sum != 0.0f) atomicAdd(to + k, sum);
  }
}

// dA[axis] += sign * (x or y) * d Re(conj(g) X) / dp
__device__ inline void add_rotation(
    const Geometry& geometry, const Item& item, const Pixel& pixel, Complex g, const Complex* mixed, float* gradient) {
  float slopes[6] = {0, 0, 0, 0, 0, 0};
  if (pixel.inside) {
    float real[8];
    for (int e = 0; e < 8; ++e) {
      const Complex corner = mixed[pixel.slot[e >> 1] + (e & 1)];
      real[e] = g.re * corner.re + g.im * corner.im;
    }
    const Point<float> slope = corner_gradient(pixel.fx, pixel.fy, pixel.fz, real);
    for (int axis = 0; axis < 2; ++axis) {
      const float at = geometry.pixels[3 * pixel.index + axis];
      const float scale = item.negated ? -at : at;
      slopes[3 * axis] = scale * slope.x;
      slopes[3 * axis + 1] = scale * slope.y;
      slopes[3 * axis + 2] = scale * slope.z;
    }
  }
  add_warp_sums(slopes, 6, gradient + 9 * item.image);
}

// dV += s (x) G and ds += Re(conj(G) V) over the touched voxels, from one reading of each row.
__device__ inline void add_gradients(
    const float* volumes, const float own[kPerLane], const Touched& touched, const FixedPoint& fixed, const int* real,
    const int* imaginary, float* volumes_gradient, float sums[kPerLane]) {
  const int lane = threadIdx.x % kGroup;
  for (int i = threadIdx.x / kGroup; i < touched.count; i += kGroups) {
    const int voxel = touched.voxel[i];
    if (voxel < 0) continue;
    const Complex g = {fixed.to_float(real[i]), fixed.to_float(imaginary[i])};
    const long long start = 2ll * kChannels * voxel;
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) {
      const int c = lane + j * kGroup;
      if (c >= kChannels) break;
      const Complex v = load_complex(volumes + start + 2 * c);
      sums[j] += g.re * v.re + g.im * v.im;
      if (volumes_gradient != nullptr) add_complex(volumes_gradient + start + 2 * c, own[j] * g.re, own[j] * g.im);
    }
  }
}

// Lanes with the same channels lie kGroup apart: add them up within each warp, then one atomic per warp and channel.
__device__ inline void add_coefficients(const float sums[kPerLane], float* gradient) {
#pragma unroll
  for (int j = 0; j < kPerLane; ++j) {
    float sum = sums[j];
    for (int step = kGroup; step < kWarp; step *= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
    const int c = threadIdx.x % kWarp + j * kGroup;
    if (threadIdx.x % kWarp < kGroup && c < kChannels) atomicAdd(gradient + c, sum);
  }
}

extern "C" __global__ void __launch_bounds__(kThreads) project(
    Geometry geometry, const int* items, int tiles, const float* volumes, const float* coefficients, float* slices) {
  __shared__ Touched touched;
  __shared__ Complex mixed[kMaxTouched];
  const int packed = items[blockIdx.x];
  if (packed < 0) return;
  const Item item = unpack_item(packed, tiles);
  const Pixel pixel = open_tile(geometry, item, touched);
  float own[kPerLane];
  load_coefficients(coefficients + static_cast<long long>(kChannels) * item.image, own);
  mix_touched(volumes, own, touched, mixed);
  if (pixel.index < 0) return;
  const Complex value = pixel.inside ? interpolate(pixel, mixed) : Complex{0, 0};
  float* to = slices + 2 * (static_cast<long long>(item.image) * geometry.pixel_count + pixel.index);
  to[0] = value.re;
  to[1] = item.negated ? -value.im : value.im;
}

// volumes_gradient and rotation_gradient may be null; all gradients are added to.
extern "C" __global__ void __launch_bounds__(kThreads) project_backward(
    Geometry geometry, const int* items, int tiles, const float* volumes, const float* coefficients,
    const float* gradient, float* volumes_gradient, float* coefficients_gradient, float* rotation_gradient) {
  __shared__ Touched touched;
  __shared__ Complex mixed[kMaxTouched];
  __shared__ int real[kMaxTouched], imaginary[kMaxTouched];
  __shared__ unsigned largest;
  const int packed = items[blockIdx.x];
  if (packed < 0) return;
  const Item item = unpack_item(packed, tiles);
  const Pixel pixel = open_tile(geometry, item, touched);
  float own[kPerLane];
  load_coefficients(coefficients + static_cast<long long>(kChannels) * item.image, own);
  Complex g = {0, 0};
  if (pixel.inside) {
    g = load_complex(gradient + 2 * (static_cast<long long>(item.image) * geometry.pixel_count + pixel.index));
    if (item.negated) g.im = -g.im;
  }
  clear_list(touched, real);
  clear_list(touched, imaginary);
  const FixedPoint fixed(largest_of_block(size_bits(g), &largest));
  if (pixel.inside) {
    scatter(pixel, fixed, g.re, real);
    scatter(pixel, fixed, g.im, imaginary);
  }
  if (rotation_gradient != nullptr) {
    mix_touched(volumes, own, touched, mixed);
    add_rotation(geometry, item, pixel, g, mixed, rotation_gradient);
  }
  __syncthreads();
  float sums[kPerLane] = {};
  add_gradients(volumes, own, touched, fixed, real, imaginary, volumes_gradient, sums);
  add_coefficients(sums, coefficients_gradient + static_cast<long long>(kChannels) * item.image);
}

}  // namespace sbackprop
