// The step of a solver that knows the diagonal of the Hessian. Threads take one channel of one voxel at a time, a grid
// apart; the twin on the CPU is descend_as in cpu/operation.cpp.
#include "tile.h"

namespace sbackprop {

__device__ inline long long first_of_thread() { return static_cast<long long>(blockIdx.x) * kThreads + threadIdx.x; }

__device__ inline long long threads_of_grid() { return static_cast<long long>(gridDim.x) * kThreads; }

// Give both voxels of each Hermitian pair (n, 2) the mean of their values (W, C, 2), one of them conjugated.
extern "C" __global__ void __launch_bounds__(kThreads) tie_pairs(
    float* values, const long long* pairs, long long count) {
  for (long long i = first_of_thread(); i < count * kChannels; i += threads_of_grid()) {
    const long long pair = i / kChannels, c = i % kChannels;
    float* const first = values + 2 * (kChannels * pairs[2 * pair] + c);
    float* const second = values + 2 * (kChannels * pairs[2 * pair + 1] + c);
    const Complex a = load_complex(first), b = load_complex(second);
    const Complex mean = {(a.re + b.re) / 2, (a.im - b.im) / 2};
    store_complex(first, mean);
    store_complex(second, conjugated_if(true, mean));
  }
}

// V += decay (1 - w inverse) V + pull inverse dV, and dV = 0; volumes and gradient (W, C, 2), weight (W,), inverse (W, C).
// reading, the volumes rounded for the next misfit, may be null.
extern "C" __global__ void __launch_bounds__(kThreads) descend(
    float* volumes, float* gradient, const float* weight, const float* inverse, Bfloat16* reading,
    long long size, float decay, float pull) {
  for (long long i = first_of_thread(); i < size * kChannels; i += threads_of_grid()) {
    const float keep = 1 + decay * (1 - weight[i / kChannels] * inverse[i]), step = pull * inverse[i];
    const Complex v = load_complex(volumes + 2 * i), g = load_complex(gradient + 2 * i);
    const Complex next = {keep * v.re + step * g.re, keep * v.im + step * g.im};
    store_complex(volumes + 2 * i, next);
    if (reading != nullptr) store_complex(reading + 2 * i, next);
    store_complex(gradient + 2 * i, {0, 0});
  }
}

}  // namespace sbackprop
