// The preconditioned step of the volumes. It moves bytes and hardly computes, so one instruction set serves.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <optional>

#include "checks.h"

namespace sbackprop {
namespace {

// Give both voxels of each Hermitian pair (n, 2) the mean of their values, one of them conjugated.
template <typename T>
void tie_pairs(T* values, int64_t channels, const int64_t* pairs, int64_t count) {
  torch::stable::parallel_for(0, count, 256, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      T* const a = values + 2 * channels * pairs[2 * k];
      T* const b = values + 2 * channels * pairs[2 * k + 1];
      for (int64_t c = 0; c < 2 * channels; c += 2) {
        const T re = (a[c] + b[c]) / 2, im = (a[c + 1] - b[c + 1]) / 2;
        a[c] = b[c] = re;
        a[c + 1] = im;
        b[c + 1] = -im;
      }
    }
  });
}

// V += decay (1 - w inverse) V + pull inverse dV, and dV = 0: everything is read and written once.
template <typename T>
void descend_as(
    const Tensor& volumes, const Tensor& gradient, const Tensor& weight, const Tensor& inverse, const Tensor& pairs,
    T decay, T pull) {
  const int64_t size = volumes.size(0), channels = volumes.size(1);
  T* const values = volumes.mutable_data_ptr<T>();
  T* const slopes = gradient.mutable_data_ptr<T>();
  const T* const weights = weight.const_data_ptr<T>();
  const T* const inverses = inverse.const_data_ptr<T>();
  tie_pairs(slopes, channels, pairs.const_data_ptr<int64_t>(), pairs.size(0));
  torch::stable::parallel_for(0, size, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t voxel = begin; voxel < end; ++voxel) {
      const T weight = weights[voxel];
      const T* __restrict own = inverses + voxel * channels;
      T* __restrict value = values + 2 * voxel * channels;
      T* __restrict slope = slopes + 2 * voxel * channels;
      for (int64_t c = 0; c < channels; ++c) {
        const T keep = 1 + decay * (1 - weight * own[c]), step = pull * own[c];
        value[2 * c] = keep * value[2 * c] + step * slope[2 * c];
        value[2 * c + 1] = keep * value[2 * c + 1] + step * slope[2 * c + 1];
        slope[2 * c] = slope[2 * c + 1] = 0;
      }
    }
  });
}

void descend(
    const Tensor& volumes, const Tensor& gradient, const Tensor& weight, const Tensor& inverse, const Tensor& pairs,
    double decay, double pull, std::optional<Tensor> reading) {
  const int64_t size = volumes.size(0), channels = volumes.size(1);
  check_like(volumes, "volumes", volumes, {size, channels, 2});
  check_like(gradient, "gradient", volumes, {size, channels, 2});
  check_like(weight, "weight", volumes, {size});
  check_like(inverse, "inverse", volumes, {size, channels});
  check_indices(pairs, "pairs", {pairs.size(0), 2}, size);
  if (is_double(volumes)) descend_as<double>(volumes, gradient, weight, inverse, pairs, decay, pull);
  else descend_as<float>(volumes, gradient, weight, inverse, pairs, static_cast<float>(decay), static_cast<float>(pull));
  if (reading) torch::stable::copy_(*reading, volumes);
}

}  // namespace
}  // namespace sbackprop

STABLE_TORCH_LIBRARY_IMPL(napari_sbackprop, CPU, library) {
  library.impl("descend", TORCH_BOX(&sbackprop::descend));
}
