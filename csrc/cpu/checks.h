// Argument checks: one sentence each, before any pointer is used.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include <initializer_list>
#include <string>

#include "tasks.h"

namespace sbackprop {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline bool is_double(const Tensor& tensor) { return tensor.scalar_type() == ScalarType::Double; }

inline std::string shape_text(const int64_t* sizes, size_t count) {
  std::string text = "(";
  for (size_t k = 0; k < count; ++k) text += (k ? ", " : "") + std::to_string(sizes[k]);
  return text + ")";
}

inline void check_shape(const Tensor& tensor, const char* name, std::initializer_list<int64_t> shape) {
  const auto sizes = tensor.sizes();
  bool same = sizes.size() == shape.size();
  for (size_t k = 0; same && k < shape.size(); ++k) same = sizes[k] == shape.begin()[k];
  STD_TORCH_CHECK(
      same, name, " has the shape ", shape_text(sizes.data(), sizes.size()), ", expected ",
      shape_text(shape.begin(), shape.size()), ".");
  STD_TORCH_CHECK(tensor.is_contiguous(), name, " must be contiguous.");
}

// Same precision as `like`, given shape, contiguous.
inline void check_like(const Tensor& tensor, const char* name, const Tensor& like, std::initializer_list<int64_t> shape) {
  const ScalarType type = like.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double, "Volumes must be float32 or float64.");
  STD_TORCH_CHECK(tensor.scalar_type() == type, name, " must have the same precision as the volumes.");
  check_shape(tensor, name, shape);
}

// int64 of the given shape, between 0 and count - 1.
inline void check_indices(const Tensor& tensor, const char* name, std::initializer_list<int64_t> shape, int64_t count) {
  check_shape(tensor, name, shape);
  STD_TORCH_CHECK(tensor.scalar_type() == ScalarType::Long, name, " must be int64.");
  const int64_t* values = tensor.const_data_ptr<int64_t>();
  for (int64_t k = 0; k < tensor.numel(); ++k) {
    STD_TORCH_CHECK(values[k] >= 0 && values[k] < count, name, " has ", values[k], ", but there are ", count, " rows.");
  }
}

inline void check_channels(int64_t channels) {
  STD_TORCH_CHECK(
      channels >= 1 && channels <= kMaxChannels, "Between 1 and ", kMaxChannels, " channels are supported, not ",
      channels, ".");
}

inline void check_tables(
    const Tensor& pixels, const Tensor& tile_starts, const Tensor& tile_centres, const Tensor& row, int64_t radius) {
  const int64_t side = 2 * (radius + 3) + 1;
  check_shape(pixels, "pixels", {pixels.size(0), 3});
  check_shape(tile_starts, "tile_starts", {tile_centres.size(0) + 1});
  check_shape(tile_centres, "tile_centres", {tile_centres.size(0), 2});
  check_shape(row, "row", {side, side});
  STD_TORCH_CHECK(
      pixels.scalar_type() == ScalarType::Float && tile_centres.scalar_type() == ScalarType::Float,
      "pixels and tile_centres must be float32.");
  STD_TORCH_CHECK(
      tile_starts.scalar_type() == ScalarType::Int && row.scalar_type() == ScalarType::Int,
      "tile_starts and row must be int32.");
}

inline void check_volumes(const Tensor& volumes, const Tensor& coefficients, const Tensor& rotation) {
  const int64_t images = coefficients.size(0);
  check_like(volumes, "volumes", volumes, {volumes.size(0), volumes.size(1), 2});
  check_channels(volumes.size(1));
  check_like(coefficients, "coefficients", volumes, {images, volumes.size(1)});
  check_like(rotation, "rotation", volumes, {images, 3, 3});
}

}  // namespace sbackprop
