#include "plan.h"

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <atomic>
#include <cmath>

namespace sbackprop {

namespace {

// Longest image vector of x A[0] + y A[1] for unit (x, y): largest singular value of the two rows.
template <typename T>
double stretch_of(const T* rotation) {
  double xx = 0, xy = 0, yy = 0;
  for (int axis = 0; axis < 3; ++axis) {
    xx += double(rotation[axis]) * rotation[axis];
    xy += double(rotation[axis]) * rotation[3 + axis];
    yy += double(rotation[3 + axis]) * rotation[3 + axis];
  }
  return std::sqrt(0.5 * (xx + yy) + std::hypot(0.5 * (xx - yy), xy));
}

// Bricks of one side length; columns are bricks stacked along x.
struct Bricks {
  double half_width;  // of the sphere's bounding cube
  int side;
  int count;  // along each axis

  Bricks(int reach, double half_diagonal) : half_width(reach + 0.5) {
    // Columns of one colour are a column apart: voxels of a tile reach half_diagonal + 1 beyond its centre.
    side = std::max(12, static_cast<int>(std::ceil(2 * half_diagonal + 2)));
    count = static_cast<int>(std::ceil(2 * half_width / side));
  }
  int along(double position) const {
    const double brick = std::floor((position + half_width) / side);
    return static_cast<int>(std::min(std::max(0.0, brick), count - 1.0));  // 0 for what is not a number
  }
  int columns() const { return count * count; }
  int bins() const { return columns() * count; }
  template <typename T>
  int bin(Point<T> p) const {
    return (along(p.z) * count + along(p.y)) * count + along(p.x);
  }
  int colour(int column) const { return 2 * (column / count % 2) + column % count % 2; }
};

constexpr int kAbsent = -1;

// Bin of every (image, tile, sign), kAbsent where no pixel of the tile can have the sign.
template <typename T>
std::vector<int32_t> item_bins(
    const Geometry<T>& geometry, const T* rotation, int64_t images, int tiles, const Bricks& bricks,
    double half_diagonal) {
  std::vector<int32_t> bins(2 * images * tiles);
  torch::stable::parallel_for(0, images, 16, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin * tiles; k < end * tiles; ++k) {
      const float* centre = geometry.tile_centres + 2 * (k % tiles);
      const Point<T> p = slice_point<T>(rotation + 9 * (k / tiles), centre[0], centre[1]);
      for (int negated = 0; negated < 2; ++negated) {
        const Point<T> q = negated_if(negated != 0, p);
        bins[2 * k + negated] = q.x < -half_diagonal ? kAbsent : bricks.bin(q);
      }
    }
  });
  return bins;
}

}  // namespace

template <typename T>
double largest_stretch(const T* rotation, int64_t images) {
  double largest = 1;
  for (int64_t image = 0; image < images; ++image) {
    const double stretch = stretch_of(rotation + 9 * image);
    // A pose that is not a number has no place in a box; the direct path finds all its pixels outside.
    largest = std::max(largest, std::isfinite(stretch) ? stretch : 2.0);
  }
  return largest;
}

template <typename T>
Plan make_plan(const Geometry<T>& geometry, int64_t first, int64_t images, int tiles, double stretch) {
  const double half_diagonal = kTileHalfDiagonal * stretch + 1e-3;
  const Bricks bricks(geometry.rows.offset, half_diagonal);
  const std::vector<int32_t> bins =
      item_bins(geometry, geometry.rotation + 9 * first, images, tiles, bricks, half_diagonal);

  Plan plan;
  plan.combine = stretch <= kCombineLimit;
  std::vector<int64_t> starts(bricks.bins() + 1, 0);
  for (const int32_t bin : bins)
    if (bin != kAbsent) ++starts[bin + 1];
  for (int bin = 0; bin < bricks.bins(); ++bin) starts[bin + 1] += starts[bin];

  plan.colours.resize(4);
  for (int column = 0; column < bricks.columns(); ++column) {
    const Column span{starts[column * bricks.count], starts[(column + 1) * bricks.count]};
    if (span.begin != span.end) plan.colours[bricks.colour(column)].push_back(span);
  }
  for (auto& columns : plan.colours) {
    std::sort(columns.begin(), columns.end(), [](const Column& a, const Column& b) {
      return a.end - a.begin != b.end - b.begin ? a.end - a.begin > b.end - b.begin : a.begin < b.begin;
    });
  }

  plan.items.resize(starts.back());
  plan.image_starts.assign(1, 0);
  int32_t order = 0;
  for (int64_t k = 0; k < static_cast<int64_t>(bins.size()); ++k) {
    if (bins[k] != kAbsent) {
      plan.items[starts[bins[k]]++] = {
          static_cast<int32_t>(first + k / (2 * tiles)), static_cast<int32_t>(k / 2 % tiles), static_cast<int32_t>(k % 2),
          order++};
    }
    if ((k + 1) % (2 * tiles) == 0) plan.image_starts.push_back(order);
  }
  return plan;
}

template double largest_stretch(const float*, int64_t);
template double largest_stretch(const double*, int64_t);
template Plan make_plan(const Geometry<float>&, int64_t, int64_t, int, double);
template Plan make_plan(const Geometry<double>&, int64_t, int64_t, int, double);

int worker_count() { return static_cast<int>(torch::stable::get_num_threads()); }

void for_each_parallel(int64_t count, int workers, const std::function<void(int64_t, int)>& work) {
  std::atomic<int64_t> next{0};
  // parallel_for deals out equal shares beforehand; work items differ too much in length for that.
  torch::stable::parallel_for(0, workers, 1, [&](int64_t worker, int64_t) {
    for (int64_t index = next++; index < count; index = next++) work(index, static_cast<int>(worker));
  });
}

}  // namespace sbackprop
