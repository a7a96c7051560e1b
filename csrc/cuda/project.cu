// Slices of mixed volumes, their misfit to data, and the gradients of both: one block per item (a tile of an image, one
// sign of p_x). The twin on the CPU is cpu/project.inl; the geometry is trilinear.h for both.
#include "tile.h"

namespace sbackprop {

// What a thread has of its block's item.
struct Own {
  Item item;
  Pixel pixel;
  float coefficients[kPerLane];
};

// Open the block's item; false where the list has none for it. Ends with a barrier.
__device__ inline bool open_item(
    const Geometry& geometry, const int* items, int tiles, const float* coefficients, Touched& touched, Own& own) {
  const int packed = items[blockIdx.x];
  if (packed < 0) return false;
  own.item = unpack_item(packed, tiles);
  own.pixel = open_tile(geometry, own.item, touched);
  load_coefficients(coefficients, own.item.image, own.coefficients);
  return true;
}

// A pixel's value from the mixed voxels at its corners; 0 beyond the sphere.
__device__ inline Complex interpolate(const Pixel& pixel, const Complex* mixed) {
  Complex sum = {0, 0};
  if (!pixel.inside) return sum;
  float weight[8];
  corner_weights(pixel.fx, pixel.fy, pixel.fz, weight);
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

// Spread g, the gradient in each pixel's value, over the touched voxels, then from one reading of each row dV += s (x) G
// and ds += Re(conj(G) V). volumes_gradient may be null; coefficients_gradient is (B, C).
__device__ inline void add_gradients(
    const Own& own, Complex g, const Touched& touched, Spread& spread, const Stored* volumes, float* volumes_gradient,
    float* coefficients_gradient) {
  const FixedPoint fixed = scatter_complex(own.pixel, g, touched, spread);
  const int lane = threadIdx.x % kGroup;
  float sums[kPerLane] = {};
  for (int i = threadIdx.x / kGroup; i < touched.count; i += kGroups) {
    const int voxel = touched.voxel[i];
    if (voxel < 0) continue;
    const Complex sum = spread.at(i, fixed);
    const long long start = 2ll * kChannels * voxel;
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) {
      const int c = lane + j * kGroup;
      if (c >= kChannels) break;
      const Complex v = load_complex(volumes + start + 2 * c);
      sums[j] += sum.re * v.re + sum.im * v.im;
      if (volumes_gradient == nullptr) continue;
      add_complex(volumes_gradient + start + 2 * c, own.coefficients[j] * sum.re, own.coefficients[j] * sum.im);
    }
  }
  add_coefficients(sums, coefficients_gradient + static_cast<long long>(kChannels) * own.item.image);
}

// Gradient of a pixel's misfit q |transfer X - y|^2 in its value X; the misfit is added to `sum`.
__device__ inline Complex differentiate(Complex value, float transfer, Complex datum, float weight, float* sum) {
  const float re = transfer * value.re - datum.re, im = transfer * value.im - datum.im;
  *sum += weight * (re * re + im * im);
  return {2 * weight * transfer * re, 2 * weight * transfer * im};
}

extern "C" __global__ void __launch_bounds__(kThreads) project(
    Geometry geometry, const int* items, int tiles, const Stored* volumes, const float* coefficients, float* slices) {
  __shared__ Touched touched;
  __shared__ Complex mixed[kMaxTouched];
  Own own;
  if (!open_item(geometry, items, tiles, coefficients, touched, own)) return;
  mix_touched(volumes, own.coefficients, touched, mixed);
  if (own.pixel.index < 0) return;
  const Complex value = conjugated_if(own.item.negated != 0, interpolate(own.pixel, mixed));
  store_complex(slices + 2 * geometry.at(own.item.image, own.pixel.index), value);
}

// volumes_gradient and rotation_gradient may be null; all gradients are added to.
extern "C" __global__ void __launch_bounds__(kThreads) project_backward(
    Geometry geometry, const int* items, int tiles, const Stored* volumes, const float* coefficients,
    const float* gradient, float* volumes_gradient, float* coefficients_gradient, float* rotation_gradient) {
  __shared__ Touched touched;
  __shared__ Complex mixed[kMaxTouched];
  __shared__ Spread spread;
  Own own;
  if (!open_item(geometry, items, tiles, coefficients, touched, own)) return;
  Complex g = {0, 0};
  if (own.pixel.inside) g = load_signed(gradient, own.item, geometry.at(own.item.image, own.pixel.index));
  if (rotation_gradient != nullptr) {
    mix_touched(volumes, own.coefficients, touched, mixed);
    add_rotation(geometry, own.item, own.pixel, g, mixed, rotation_gradient);
  }
  add_gradients(own, g, touched, spread, volumes, volumes_gradient, coefficients_gradient);
}

// Image b of the batch is row rows[b] of data and transfer. energy (B,) and both gradients are added to.
extern "C" __global__ void __launch_bounds__(kThreads) misfit(
    Geometry geometry, const int* items, int tiles, const Stored* volumes, const float* coefficients, const float* data,
    const float* transfer, const long long* rows, float* volumes_gradient, float* energy, float* coefficients_gradient) {
  __shared__ Touched touched;
  __shared__ Complex mixed[kMaxTouched];
  __shared__ Spread spread;
  Own own;
  if (!open_item(geometry, items, tiles, coefficients, touched, own)) return;
  mix_touched(volumes, own.coefficients, touched, mixed);
  const int index = own.pixel.index;
  float sum = 0;
  Complex g = {0, 0};
  if (index >= 0) {
    const long long at = geometry.at(rows[own.item.image], index);
    const Complex value = interpolate(own.pixel, mixed), datum = load_signed(data, own.item, at);
    g = differentiate(value, transfer[at], datum, geometry.pixels[3 * index + 2], &sum);
  }
  add_warp_sums(&sum, 1, energy + own.item.image);
  // Beyond the sphere a pixel has a misfit but moves nothing, and must not choose the step of the fixed point.
  if (!own.pixel.inside) g = {0, 0};
  add_gradients(own, g, touched, spread, volumes, volumes_gradient, coefficients_gradient);
}

}  // namespace sbackprop
