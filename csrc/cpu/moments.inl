// Gram matrices per image and normal equations per voxel. Included once per instruction set, inside its namespace.

// C += X^T X for rows c .. c+3 and columns of `vectors` vectors from `column`; X is (count, leading).
template <typename T, int N>
inline __attribute__((always_inline)) void multiply_block(
    const T* x, int count, int64_t leading, int64_t c, int64_t column, T* out) {
  using V = Vector<T, kLanes>;
  V sum[4][N];
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < N; ++j) sum[i][j] = load<V>(out + (c + i) * leading + column + j * kLanes);
  for (int n = 0; n < count; ++n, x += leading) {
    V right[N];
    for (int j = 0; j < N; ++j) right[j] = load<V>(x + column + j * kLanes);
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < N; ++j) sum[i][j] += x[c + i] * right[j];
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < N; ++j) store(out + (c + i) * leading + column + j * kLanes, sum[i][j]);
}

// Upper triangle (in blocks) of C += X^T X: 4 x 3 vectors of sums stay in registers.
template <typename T>
inline void add_products(const T* x, int count, int64_t leading, int64_t used, T* out) {
  for (int64_t c = 0; c < used; c += 4) {
    int64_t column = c / kLanes * kLanes;
    for (; column + 3 * kLanes <= leading; column += 3 * kLanes) multiply_block<T, 3>(x, count, leading, c, column, out);
    if (column + 2 * kLanes <= leading) {
      multiply_block<T, 2>(x, count, leading, c, column, out);
    } else if (column + kLanes <= leading) {
      multiply_block<T, 1>(x, count, leading, c, column, out);
    }
  }
}

// One pixel's two rows of X: real and imaginary parts of all channels, then of the data.
template <typename T, int C, int L>
inline void gather_pixel(
    const GramTask<T>& task, const Row<T, C, L>& row, const Item& item, int pixel, const Stencil<T>& stencil, T* x,
    int64_t leading) {
  using V = typename Row<T, C, L>::V;
  const int64_t at = item.image * task.geometry.pixel_count + pixel;
  const T root = __builtin_sqrt(T(2) * task.geometry.pixels[3 * int64_t{pixel} + 2]);
  const T scale = root * task.transfer[at];
  V sum[Row<T, C, L>::capacity];
  row.clear(sum);
  for (int e = 0; e < 8; ++e) {
    const int64_t voxel = stencil.first[e >> 1] + (e & 1);
    const T weight = stencil.weight[e] * scale;
    row.accumulate(sum, repeat<T, L>(weight, weight), task.volumes + voxel * row.floats);
  }
  const int channels = row.floats / 2;
  row.unzip(sum, x, x + leading);
  x[channels] = root * task.data[2 * at];
  x[leading + channels] = item.negated ? -root * task.data[2 * at + 1] : root * task.data[2 * at + 1];
}

// Items of one block of images, in brick order; products of image b go to b - first_image.
template <typename T, int C, int L>
void gram_items(
    const GramTask<T>& task, const Item* items, int64_t count, int64_t first_image, T* workspace, T* products) {
  const Row<T, C, L> row(task.channels);
  const Geometry<T>& geometry = task.geometry;
  const int channels = row.floats / 2;
  const int64_t leading = gram_leading(channels);
  for (int64_t i = 0; i < count; ++i) {
    const Item item = items[i];
    const int begin = geometry.tile_starts[item.tile], end = geometry.tile_starts[item.tile + 1];
    // All of the tile's voxels are asked for first: they fit the first-level cache and lie scattered in the volume.
    Stencil<T> stencils[kTilePixels];
    for (int pixel = begin; pixel < end; ++pixel) {
      Stencil<T>& stencil = stencils[pixel - begin] = stencil_of(geometry, item, pixel);
      for (int pair = 0; stencil.inside && pair < 4; ++pair) {
        prefetch_row(task.volumes + int64_t{stencil.first[pair]} * row.floats, 2 * row.floats);
      }
    }
    int rows = 0;
    for (int pixel = begin; pixel < end; ++pixel) {
      const Stencil<T>& stencil = stencils[pixel - begin];
      if (!stencil.inside) continue;
      gather_pixel<T, C, L>(task, row, item, pixel, stencil, workspace + rows * leading, leading);
      rows += 2;
    }
    const int64_t image = item.image - first_image;
    add_products(workspace, rows, leading, channels + 1, products + image * gram_products(channels));
  }
}

// to += scale * from
template <typename T>
inline __attribute__((always_inline)) void add_scaled(T* to, const T* from, T scale, int count) {
  using V = Vector<T, kLanes>;
  int k = 0;
  for (; k + kLanes <= count; k += kLanes) store(to + k, load<V>(to + k) + scale * load<V>(from + k));
  for (; k < count; ++k) to[k] += scale * from[k];
}

// What one pixel spreads over its corners: q transfer^2 and q transfer data.
template <typename T>
inline Vector<T, 4> pixel_share(const NormalTask<T>& task, const Item& item, int pixel) {
  const int64_t at = item.image * task.geometry.pixel_count + pixel;
  const T transfer = task.transfer[at];
  const T weighted = transfer * task.geometry.pixels[3 * int64_t{pixel} + 2];
  const T imaginary = task.data[2 * at + 1];
  return Vector<T, 4>{
      weighted * transfer, weighted * task.data[2 * at], weighted * (item.negated ? -imaginary : imaginary), 0};
}

template <typename T, int C, int L>
inline __attribute__((always_inline)) void add_voxel(
    const NormalTask<T>& task, const Row<T, C, L>& row, const T* first, const T* second, int64_t voxel,
    Vector<T, 4> share) {
  const int packed = row.floats / 2 * (row.floats / 2 + 1) / 2;
  add_scaled<T>(task.matrix + voxel * packed, second, share[0], packed);
  row.add_outer(task.vector + voxel * row.floats, first, Complex<T>{share[1], share[2]});
}

constexpr int kMatrixPrefetchDistance = 3;  // voxels; rows are long

template <typename T, int C, int L>
void normal_item(const NormalTask<T>& task, const Item& item, Scratch<T>& scratch) {
  using V = Vector<T, 4>;
  const Row<T, C, L> row(task.channels);
  const int packed = row.floats / 2 * (row.floats / 2 + 1) / 2;
  const T* first = task.first + int64_t{item.image} * task.coefficient_stride;
  const T* second = task.second + int64_t{item.image} * packed;
  if (!task.geometry.combine) {
    const int end = task.geometry.tile_starts[item.tile + 1];
    for (int pixel = task.geometry.tile_starts[item.tile]; pixel < end; ++pixel) {
      const Stencil<T> stencil = stencil_of(task.geometry, item, pixel);
      if (!stencil.inside) continue;
      const V share = pixel_share(task, item, pixel);
      for (int e = 0; e < 8; ++e) {
        const int64_t voxel = stencil.first[e >> 1] + (e & 1);
        add_voxel<T, C, L>(task, row, first, second, voxel, stencil.weight[e] * share);
      }
    }
    return;
  }
  Tile<T> tile;
  Touched touched;
  open_tile(task.geometry, item, scratch.marks, tile, touched);
  for (int n = 0; n < tile.count; ++n) {
    T weight[8];
    corner_weights(tile.fx[n], tile.fy[n], tile.fz[n], weight);
    const V share = pixel_share(task, item, tile.pixel[n]);
    for (int e = 0; e < 8; ++e) {
      T* cell = scratch.box + 4 * (tile.slot[n] + kCornerSlot[e]);
      store(cell, load<V>(cell) + weight[e] * share);
    }
  }
  const auto prefetch = [&](int64_t voxel) __attribute__((always_inline)) {
    prefetch_row(task.matrix + voxel * packed, packed);
    prefetch_row(task.vector + voxel * row.floats, row.floats);
  };
  for_touched(touched, kMatrixPrefetchDistance, prefetch, [&](int slot, int64_t voxel) {
    T* cell = scratch.box + 4 * slot;
    const V share = load<V>(cell);
    store(cell, V{});
    add_voxel<T, C, L>(task, row, first, second, voxel, share);
  });
}

template <typename T, int C, int L>
void normal_items(const NormalTask<T>& task, const Item* items, int64_t count, Scratch<T>& scratch) {
  for (int64_t i = 0; i < count; ++i) normal_item<T, C, L>(task, items[i], scratch);
}
