// The CPU kernels on one batch without torch: numbers come by standard input and go by standard output.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "tasks.h"

using namespace sbackprop;

template <typename T>
std::vector<T> take(size_t count) {
  std::vector<T> values(count);
  if (std::fread(values.data(), sizeof(T), count, stdin) != count) std::exit(1);
  return values;
}

void give(const std::vector<float>& values) { std::fwrite(values.data(), sizeof(float), values.size(), stdout); }

int main() {
  const auto size = take<int32_t>(6);
  const int images = size[0], pixels = size[1], tiles = size[2], side = size[3], voxels = size[4], channels = size[5];
  const int packed = channels * (channels + 1) / 2;
  const auto disc = take<float>(3 * pixels);
  const auto tile_starts = take<int32_t>(tiles + 1);
  const auto tile_centres = take<float>(2 * tiles);
  const auto row = take<int32_t>(side * side);
  const auto rotation = take<float>(9 * images), volumes = take<float>(2 * voxels * channels);
  const auto data = take<float>(2 * images * pixels), transfer = take<float>(images * pixels);
  const int stride = vectors_for(channels) * lanes_for(channels);
  const auto coefficients = take<float>(images * stride), second = take<float>(images * packed);
  const float radius = side / 2 - 2.5f;
  const Geometry<float> geometry{
      disc.data(), tile_starts.data(), tile_centres.data(), {row.data(), side, side / 2},
      rotation.data(), radius * radius, pixels, true};

  std::vector<Item> items;
  std::vector<int64_t> rows;
  for (int image = 0; image < images; ++image) {
    rows.push_back(image);
    for (int part = 0; part < 2 * tiles; ++part) {
      items.push_back({image, part / 2, part % 2, static_cast<int32_t>(items.size())});
    }
  }
  const auto scratch = std::make_unique<Scratch<float>>();
  const auto& kernels = portable::single_precision;
  const MixtureTask<float> mixture{geometry, channels, volumes.data(), coefficients.data(), stride};

  std::vector<float> slices(data.size());
  kernels.project({mixture, slices.data()}, items.data(), items.size(), *scratch);
  give(slices);

  std::vector<float> misfit(items.size()), slopes(items.size() * channels), gradient(volumes.size());
  kernels.misfit(
      {mixture, rows.data(), data.data(), transfer.data(), gradient.data(), slopes.data(), misfit.data()}, items.data(),
      items.size(), *scratch);
  give(misfit), give(slopes), give(gradient);

  std::vector<float> matrix(int64_t{voxels} * packed), vector(volumes.size());
  kernels.normal(
      {geometry, channels, data.data(), transfer.data(), coefficients.data(), stride, second.data(), matrix.data(),
       vector.data()},
      items.data(), items.size(), *scratch);
  give(matrix), give(vector);

  std::vector<float> workspace(gram_workspace(channels)), products(images * gram_products(channels));
  kernels.gram(
      {geometry, channels, volumes.data(), data.data(), transfer.data()}, items.data(), items.size(), 0,
      workspace.data(), products.data());
  give(products);
}
