// Entry points on the CPU: check the arguments, choose the instruction set, share the work out, register.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdlib>
#include <memory>
#include <tuple>

#include "checks.h"
#include "memory.h"
#include "plan.h"

namespace sbackprop {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

template <typename T>
const Kernels<T>& kernels() {
  constexpr bool single = sizeof(T) == sizeof(float);
#if defined(SBACKPROP_WITH_AVX2)
  // The variable lets a test reach the kernels that this processor would not choose.
  static const bool has_avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && std::getenv("SBACKPROP_PORTABLE") == nullptr;
  if (has_avx2) {
    if constexpr (single) return avx2::single_precision;
    else return avx2::double_precision;
  }
#endif
  if constexpr (single) return portable::single_precision;
  else return portable::double_precision;
}

struct Tables {
  Tensor pixels, tile_starts, tile_centres, row;
  int64_t radius;
};

template <typename T>
Geometry<T> geometry_of(const Tables& tables, const Tensor& rotation) {
  Geometry<T> geometry;
  const int side = static_cast<int>(tables.row.size(0));
  geometry.pixels = tables.pixels.const_data_ptr<float>();
  geometry.tile_starts = tables.tile_starts.const_data_ptr<int32_t>();
  geometry.tile_centres = tables.tile_centres.const_data_ptr<float>();
  geometry.rows = {tables.row.const_data_ptr<int32_t>(), side, side / 2};
  geometry.rotation = rotation.const_data_ptr<T>();
  geometry.limit = (T(tables.radius) + T(0.5)) * (T(tables.radius) + T(0.5));
  geometry.pixel_count = tables.pixels.size(0);
  geometry.combine = false;
  return geometry;
}

int tile_count(const Tables& tables) { return static_cast<int>(tables.tile_starts.size(0)) - 1; }

template <typename T>
Plan plan_batch(Geometry<T>& geometry, int64_t images, const Tables& tables) {
  const double stretch = largest_stretch(geometry.rotation, images);
  Plan plan = make_plan(geometry, 0, images, tile_count(tables), stretch);
  geometry.combine = plan.combine;
  return plan;
}

// One Scratch per thread, all zero.
template <typename T>
struct Workers {
  int count = worker_count();
  std::unique_ptr<Scratch<T>[]> scratch{new Scratch<T>[count]()};
};

// Coefficients as the kernels read them: one number per lane, zero in lanes that the vector before already covers.
template <typename T>
std::vector<T> pack_coefficients(const Tensor& coefficients, int stride) {
  const int64_t images = coefficients.size(0);
  const int channels = static_cast<int>(coefficients.size(1));
  const int lanes = lanes_for(channels);
  const T* from = coefficients.const_data_ptr<T>();
  std::vector<T> packed(images * stride, T(0));
  for (int64_t image = 0; image < images; ++image) {
    for (int k = 0; k < 2 * channels; ++k) {
      const bool in_last = k >= 2 * channels / lanes * lanes;
      const int at = in_last ? stride - 2 * channels + k : k;
      packed[image * stride + at] = from[image * channels + k / 2];
    }
  }
  return packed;
}

// Run a kernel over all items where writes can't meet: items in runs that keep neighbours together.
template <typename T, typename Run>
void run_freely(const Plan& plan, Workers<T>& workers, const Run& run) {
  constexpr int64_t kRun = 64;
  const int64_t count = static_cast<int64_t>(plan.items.size());
  for_each_parallel((count + kRun - 1) / kRun, workers.count, [&](int64_t index, int worker) {
    const int64_t begin = index * kRun;
    run(plan.items.data() + begin, std::min(kRun, count - begin), workers.scratch[worker]);
  });
}

// Run a kernel that adds to the volume: columns of one colour at a time, each by one thread in a fixed order.
template <typename T, typename Run>
void run_coloured(const Plan& plan, Workers<T>& workers, const Run& run) {
  for (const auto& columns : plan.colours) {
    for_each_parallel(static_cast<int64_t>(columns.size()), workers.count, [&](int64_t index, int worker) {
      const Column& column = columns[index];
      run(plan.items.data() + column.begin, column.end - column.begin, workers.scratch[worker]);
    });
  }
}

// Fills in a task's mixture; keeps the coefficients that it points to, and the order of work.
template <typename T>
struct Mixture {
  Plan plan;
  std::vector<T> packed;

  Mixture(
      MixtureTask<T>& task, const Tensor& volumes, const Tensor& coefficients, const Tensor& rotation,
      const Tables& tables) {
    task.geometry = geometry_of<T>(tables, rotation);
    plan = plan_batch(task.geometry, coefficients.size(0), tables);
    task.channels = static_cast<int>(volumes.size(1));
    task.volumes = volumes.const_data_ptr<T>();
    task.coefficient_stride = vectors_for(task.channels) * lanes_for(task.channels);
    packed = pack_coefficients<T>(coefficients, task.coefficient_stride);
    task.coefficients = packed.data();
  }
};

template <typename T>
Tensor project_as(const Tensor& volumes, const Tensor& coefficients, const Tensor& rotation, const Tables& tables) {
  Tensor slices = torch::stable::new_empty(volumes, {coefficients.size(0), tables.pixels.size(0), 2});
  ProjectTask<T> task;
  const Mixture<T> mixture(task, volumes, coefficients, rotation, tables);
  task.slices = slices.mutable_data_ptr<T>();
  Workers<T> workers;
  run_freely(mixture.plan, workers, [&](const Item* items, int64_t count, Scratch<T>& scratch) {
    kernels<T>().project(task, items, count, scratch);
  });
  return slices;
}

// Sum (items, width) partials over each image's items, in a fixed order.
template <typename T>
void fold_partials(const Plan& plan, const std::vector<T>& partials, int64_t width, int64_t stride, T* out) {
  const int64_t images = static_cast<int64_t>(plan.image_starts.size()) - 1;
  torch::stable::parallel_for(0, images, 16, [&](int64_t begin, int64_t end) {
    for (int64_t image = begin; image < end; ++image) {
      for (int64_t k = 0; k < stride; ++k) out[image * stride + k] = 0;
      for (int64_t item = plan.image_starts[image]; item < plan.image_starts[image + 1]; ++item) {
        for (int64_t k = 0; k < width; ++k) out[image * stride + k] += partials[item * width + k];
      }
    }
  });
}

template <typename T>
std::tuple<Tensor, Tensor, Tensor> backward_as(
    const Tensor& gradient, const Tensor& volumes, const Tensor& coefficients, const Tensor& rotation,
    const Tables& tables, bool need_volumes, bool need_rotation) {
  const int channels = static_cast<int>(volumes.size(1));
  const int64_t images = coefficients.size(0);
  BackwardTask<T> task;
  const Mixture<T> mixture(task, volumes, coefficients, rotation, tables);
  const Plan& plan = mixture.plan;
  task.gradient = gradient.const_data_ptr<T>();

  Tensor volumes_gradient = torch::stable::new_empty(volumes, {need_volumes ? volumes.size(0) : 0, channels, 2});
  fill_zero(volumes_gradient.mutable_data_ptr<T>(), volumes_gradient.numel() * sizeof(T));
  std::vector<T> coefficient_partials(plan.items.size() * channels);
  std::vector<T> rotation_partials(need_rotation ? plan.items.size() * 6 : 0);
  task.volumes_gradient = need_volumes ? volumes_gradient.mutable_data_ptr<T>() : nullptr;
  task.coefficients_gradient = coefficient_partials.data();
  task.rotation_gradient = need_rotation ? rotation_partials.data() : nullptr;

  Workers<T> workers;
  const auto run = [&](const Item* items, int64_t count, Scratch<T>& scratch) {
    kernels<T>().backward(task, items, count, scratch);
  };
  if (need_volumes) run_coloured(plan, workers, run);
  else run_freely(plan, workers, run);

  Tensor coefficients_gradient = torch::stable::new_empty(coefficients, {images, channels});
  fold_partials<T>(plan, coefficient_partials, channels, channels, coefficients_gradient.mutable_data_ptr<T>());
  Tensor rotation_gradient = torch::stable::new_empty(rotation, {need_rotation ? images : 0, 3, 3});
  if (need_rotation) fold_partials<T>(plan, rotation_partials, 6, 9, rotation_gradient.mutable_data_ptr<T>());
  return {volumes_gradient, coefficients_gradient, rotation_gradient};
}

template <typename T>
std::tuple<Tensor, Tensor> misfit_as(
    const Tensor& volumes, const Tensor& coefficients, const Tensor& rotation, const Tensor& data, const Tensor& transfer,
    const Tensor& rows, const Tables& tables, const Tensor& gradient) {
  const int channels = static_cast<int>(volumes.size(1));
  const int64_t images = coefficients.size(0);
  MisfitTask<T> task;
  const Mixture<T> mixture(task, volumes, coefficients, rotation, tables);
  const Plan& plan = mixture.plan;
  task.rows = rows.const_data_ptr<int64_t>();
  task.data = data.const_data_ptr<T>();
  task.transfer = transfer.const_data_ptr<T>();
  task.volumes_gradient = gradient.mutable_data_ptr<T>();
  std::vector<T> coefficient_partials(plan.items.size() * channels), misfit_partials(plan.items.size());
  task.coefficients_gradient = coefficient_partials.data();
  task.misfit = misfit_partials.data();

  Workers<T> workers;
  run_coloured(plan, workers, [&](const Item* items, int64_t count, Scratch<T>& scratch) {
    kernels<T>().misfit(task, items, count, scratch);
  });
  Tensor misfit = torch::stable::new_empty(coefficients, {images});
  Tensor slope = torch::stable::new_empty(coefficients, {images, channels});
  fold_partials<T>(plan, misfit_partials, 1, 1, misfit.mutable_data_ptr<T>());
  fold_partials<T>(plan, coefficient_partials, channels, channels, slope.mutable_data_ptr<T>());
  return {misfit, slope};
}

// Copy one image's products to G and h; the kernels fill the upper triangle.
template <typename T>
void unpack_products(const T* products, int channels, T* matrix, T* vector) {
  const int64_t leading = gram_leading(channels);
  for (int c = 0; c < channels; ++c) {
    for (int d = c; d < channels; ++d) matrix[c * channels + d] = matrix[d * channels + c] = products[c * leading + d];
    vector[c] = products[c * leading + channels];
  }
}

template <typename T>
std::tuple<Tensor, Tensor> gram_as(
    const Tensor& volumes, const Tensor& data, const Tensor& transfer, const Tensor& rotation, const Tables& tables) {
  const int64_t images = data.size(0);
  const int channels = static_cast<int>(volumes.size(1));
  Tensor matrix = torch::stable::new_empty(volumes, {images, channels, channels});
  Tensor vector = torch::stable::new_empty(volumes, {images, channels});
  GramTask<T> task;
  task.geometry = geometry_of<T>(tables, rotation);
  task.channels = channels;
  task.volumes = volumes.const_data_ptr<T>();
  task.data = data.const_data_ptr<T>();
  task.transfer = transfer.const_data_ptr<T>();
  T* const matrices = matrix.mutable_data_ptr<T>();
  T* const vectors = vector.mutable_data_ptr<T>();
  const double stretch = largest_stretch(task.geometry.rotation, images);
  // Each thread owns a block of images, so that its tiles can go in brick order and no sums are shared.
  const int workers = worker_count();
  const int64_t block = std::max<int64_t>(1, (images + workers - 1) / workers);
  for_each_parallel((images + block - 1) / block, workers, [&](int64_t index, int) {
    const int64_t first = index * block, count = std::min(block, images - first);
    const Plan plan = make_plan(task.geometry, first, count, tile_count(tables), stretch);
    std::vector<T> workspace(gram_workspace(channels), T(0)), products(count * gram_products(channels), T(0));
    kernels<T>().gram(
        task, plan.items.data(), static_cast<int64_t>(plan.items.size()), first, workspace.data(), products.data());
    for (int64_t k = 0; k < count; ++k) {
      unpack_products(
          products.data() + k * gram_products(channels), channels, matrices + (first + k) * channels * channels,
          vectors + (first + k) * channels);
    }
  });
  return {matrix, vector};
}

// Upper triangles, row-major, of (B, C, C).
template <typename T>
std::vector<T> pack_triangles(const Tensor& second) {
  const int64_t images = second.size(0), channels = second.size(1);
  const T* from = second.const_data_ptr<T>();
  std::vector<T> packed;
  packed.reserve(images * channels * (channels + 1) / 2);
  for (int64_t row = 0; row < images * channels; ++row) {
    for (int64_t column = row % channels; column < channels; ++column) packed.push_back(from[row * channels + column]);
  }
  return packed;
}

template <typename T>
void normal_equations_as(
    const Tensor& data, const Tensor& transfer, const Tensor& first, const Tensor& second, const Tensor& rotation,
    const Tables& tables, const Tensor& matrix, const Tensor& vector) {
  NormalTask<T> task;
  task.geometry = geometry_of<T>(tables, rotation);
  const Plan plan = plan_batch(task.geometry, data.size(0), tables);
  task.channels = static_cast<int>(first.size(1));
  task.data = data.const_data_ptr<T>();
  task.transfer = transfer.const_data_ptr<T>();
  task.coefficient_stride = vectors_for(task.channels) * lanes_for(task.channels);
  const std::vector<T> packed = pack_coefficients<T>(first, task.coefficient_stride);
  const std::vector<T> triangles = pack_triangles<T>(second);
  task.first = packed.data();
  task.second = triangles.data();
  task.matrix = matrix.mutable_data_ptr<T>();
  task.vector = vector.mutable_data_ptr<T>();
  Workers<T> workers;
  run_coloured(plan, workers, [&](const Item* items, int64_t count, Scratch<T>& scratch) {
    kernels<T>().normal(task, items, count, scratch);
  });
}

Tensor project(
    const Tensor& volumes, const Tensor& coefficients, const Tensor& rotation, const Tensor& pixels,
    const Tensor& tile_starts, const Tensor& tile_centres, const Tensor& row, int64_t radius) {
  const Tables tables{pixels, tile_starts, tile_centres, row, radius};
  check_tables(pixels, tile_starts, tile_centres, row, radius);
  check_volumes(volumes, coefficients, rotation);
  return is_double(volumes) ? project_as<double>(volumes, coefficients, rotation, tables)
                            : project_as<float>(volumes, coefficients, rotation, tables);
}

std::tuple<Tensor, Tensor, Tensor> project_backward(
    const Tensor& gradient, const Tensor& volumes, const Tensor& coefficients, const Tensor& rotation,
    const Tensor& pixels, const Tensor& tile_starts, const Tensor& tile_centres, const Tensor& row, int64_t radius,
    bool need_volumes, bool need_rotation) {
  const Tables tables{pixels, tile_starts, tile_centres, row, radius};
  check_tables(pixels, tile_starts, tile_centres, row, radius);
  check_volumes(volumes, coefficients, rotation);
  check_like(gradient, "gradient", volumes, {coefficients.size(0), pixels.size(0), 2});
  const auto run = is_double(volumes) ? backward_as<double> : backward_as<float>;
  return run(gradient, volumes, coefficients, rotation, tables, need_volumes, need_rotation);
}

std::tuple<Tensor, Tensor> misfit(
    const Tensor& volumes, const Tensor& coefficients, const Tensor& rotation, const Tensor& data, const Tensor& transfer,
    const Tensor& rows, const Tensor& pixels, const Tensor& tile_starts, const Tensor& tile_centres, const Tensor& row,
    int64_t radius, const Tensor& gradient) {
  const Tables tables{pixels, tile_starts, tile_centres, row, radius};
  check_tables(pixels, tile_starts, tile_centres, row, radius);
  check_volumes(volumes, coefficients, rotation);
  check_like(data, "data", volumes, {data.size(0), pixels.size(0), 2});
  check_like(transfer, "transfer", volumes, {data.size(0), pixels.size(0)});
  check_indices(rows, "rows", {coefficients.size(0)}, data.size(0));
  check_like(gradient, "gradient", volumes, {volumes.size(0), volumes.size(1), 2});
  const auto run = is_double(volumes) ? misfit_as<double> : misfit_as<float>;
  return run(volumes, coefficients, rotation, data, transfer, rows, tables, gradient);
}

std::tuple<Tensor, Tensor> gram(
    const Tensor& volumes, const Tensor& data, const Tensor& transfer, const Tensor& rotation, const Tensor& pixels,
    const Tensor& tile_starts, const Tensor& tile_centres, const Tensor& row, int64_t radius) {
  const Tables tables{pixels, tile_starts, tile_centres, row, radius};
  const int64_t images = data.size(0);
  check_tables(pixels, tile_starts, tile_centres, row, radius);
  check_like(volumes, "volumes", volumes, {volumes.size(0), volumes.size(1), 2});
  check_channels(volumes.size(1));
  check_like(data, "data", volumes, {images, pixels.size(0), 2});
  check_like(transfer, "transfer", volumes, {images, pixels.size(0)});
  check_like(rotation, "rotation", volumes, {images, 3, 3});
  const auto run = is_double(volumes) ? gram_as<double> : gram_as<float>;
  return run(volumes, data, transfer, rotation, tables);
}

void normal_equations(
    const Tensor& data, const Tensor& transfer, const Tensor& first, const Tensor& second, const Tensor& rotation,
    const Tensor& pixels, const Tensor& tile_starts, const Tensor& tile_centres, const Tensor& row, int64_t radius,
    const Tensor& matrix, const Tensor& vector) {
  const Tables tables{pixels, tile_starts, tile_centres, row, radius};
  const int64_t images = data.size(0), channels = first.size(1), size = vector.size(0);
  check_tables(pixels, tile_starts, tile_centres, row, radius);
  check_channels(channels);
  check_like(data, "data", vector, {images, pixels.size(0), 2});
  check_like(transfer, "transfer", vector, {images, pixels.size(0)});
  check_like(first, "first", vector, {images, channels});
  check_like(second, "second", vector, {images, channels, channels});
  check_like(rotation, "rotation", vector, {images, 3, 3});
  check_like(matrix, "matrix", vector, {size, channels * (channels + 1) / 2});
  check_like(vector, "vector", vector, {size, channels, 2});
  const auto run = is_double(vector) ? normal_equations_as<double> : normal_equations_as<float>;
  run(data, transfer, first, second, rotation, tables, matrix, vector);
}

}  // namespace
}  // namespace sbackprop

STABLE_TORCH_LIBRARY_IMPL(napari_sbackprop, CPU, library) {
  library.impl("project", TORCH_BOX(&sbackprop::project));
  library.impl("project_backward", TORCH_BOX(&sbackprop::project_backward));
  library.impl("misfit", TORCH_BOX(&sbackprop::misfit));
  library.impl("gram", TORCH_BOX(&sbackprop::gram));
  library.impl("normal_equations", TORCH_BOX(&sbackprop::normal_equations));
}
