// Slices of mixed volumes, their misfit to data, and the gradients of both. Included once per instruction set, inside its namespace.

template <typename T>
inline void write_slice(const ProjectTask<T>& task, const Item& item, int pixel, Complex<T> value) {
  T* to = task.slices + 2 * (item.image * task.geometry.pixel_count + pixel);
  to[0] = value.re;
  to[1] = item.negated ? -value.im : value.im;
}

// Values of a tile's pixels, real and imaginary parts apart.
template <typename T>
struct alignas(64) Values {
  T re[kTilePixels], im[kTilePixels];
};

template <typename T>
inline void interpolate(const T* box, const Tile<T>& tile, Values<T>& values) {
  using V = Vector<T, 4>;
  for (int n = 0; n < tile.count; ++n) {
    const T* at = box + 2 * tile.slot[n];
    V sum = tile.row[0][n] * load<V>(at);
    for (int k = 1; k < 4; ++k) sum += tile.row[k][n] * load<V>(at + 2 * kRowSlot[k]);
    const T fx = tile.fx[n];
    values.re[n] = sum[0] + fx * (sum[2] - sum[0]);
    values.im[n] = sum[1] + fx * (sum[3] - sum[1]);
  }
}

constexpr int kPrefetchDistance = 16;  // voxels; measured on Zen 3, flat between 8 and 32

// U = sum_c s_c V_c of the touched voxels, into the box.
template <typename T, int C, int L>
inline void mix_touched(
    const Row<T, C, L>& row, const T* volumes, const T* coefficients, const Touched& touched, T* box) {
  typename Row<T, C, L>::V own[Row<T, C, L>::capacity];
  row.load_coefficients(coefficients, own);
  const auto prefetch = [&](int64_t voxel) __attribute__((always_inline)) {
    prefetch_row(volumes + voxel * row.floats, row.floats);
  };
  for_touched(touched, kPrefetchDistance, prefetch, [&](int slot, int64_t voxel) {
    const Complex<T> mixed = row.mix(own, volumes + voxel * row.floats);
    store(box + 2 * slot, Vector<T, 2>{mixed.re, mixed.im});
  });
}

template <typename T, int C, int L>
void project_tile(const ProjectTask<T>& task, const Item& item, Scratch<T>& scratch) {
  const Row<T, C, L> row(task.channels);
  const T* coefficients = task.coefficients + int64_t{item.image} * task.coefficient_stride;
  Tile<T> tile;
  Touched touched;
  open_tile(task.geometry, item, scratch.marks, tile, touched);
  mix_touched(row, task.volumes, coefficients, touched, scratch.mixed);
  Values<T> values;
  interpolate(scratch.mixed, tile, values);
  for (int n = 0; n < tile.count; ++n) {
    write_slice(task, item, tile.pixel[n], Complex<T>{values.re[n], values.im[n]});
  }
  for (int n = 0; n < tile.outside_count; ++n) write_slice(task, item, tile.outside[n], Complex<T>{0, 0});
}

template <typename T, int C, int L>
void project_pixels(const ProjectTask<T>& task, const Item& item) {
  const Row<T, C, L> row(task.channels);
  const T* coefficients = task.coefficients + int64_t{item.image} * task.coefficient_stride;
  typename Row<T, C, L>::V own[Row<T, C, L>::capacity];
  row.load_coefficients(coefficients, own);
  for (int pixel = task.geometry.tile_starts[item.tile]; pixel < task.geometry.tile_starts[item.tile + 1]; ++pixel) {
    const Stencil<T> stencil = stencil_of(task.geometry, item, pixel);
    if (!stencil.mine) continue;
    Complex<T> sum{0, 0};
    if (stencil.inside) {
      for (int e = 0; e < 8; ++e) {
        const int64_t voxel = stencil.first[e >> 1] + (e & 1);
        const Complex<T> mixed = row.mix(own, task.volumes + voxel * row.floats);
        sum.re += stencil.weight[e] * mixed.re;
        sum.im += stencil.weight[e] * mixed.im;
      }
    }
    write_slice(task, item, pixel, sum);
  }
}

template <typename T, int C, int L>
void project_items(const ProjectTask<T>& task, const Item* items, int64_t count, Scratch<T>& scratch) {
  for (int64_t i = 0; i < count; ++i) {
    if (task.geometry.combine) {
      project_tile<T, C, L>(task, items[i], scratch);
    } else {
      project_pixels<T, C, L>(task, items[i]);
    }
  }
}

// Incoming gradient of a pixel, conjugated as its value was.
template <typename T>
inline Complex<T> read_gradient(const BackwardTask<T>& task, const Item& item, int pixel) {
  const T* from = task.gradient + 2 * (item.image * task.geometry.pixel_count + pixel);
  return {from[0], item.negated ? -from[1] : from[1]};
}

// Add one pixel to dA: real[e] is Re(conj(g) U_e) at its corners.
template <typename T>
inline void add_rotation(const Geometry<T>& geometry, const Item& item, int pixel, Point<T> slope, T* sums) {
  const float* at = geometry.pixels + 3 * int64_t{pixel};
  const T sign = item.negated ? -1 : 1;
  for (int axis = 0; axis < 2; ++axis) {
    const T scale = sign * at[axis];
    sums[3 * axis] += scale * slope.x;
    sums[3 * axis + 1] += scale * slope.y;
    sums[3 * axis + 2] += scale * slope.z;
  }
}

// Complex number by complex number: neighbouring pixels share corners, and a load that overlaps an earlier store only in
// part would have to wait until that has reached the cache.
template <typename T>
inline void scatter(T* box, const Tile<T>& tile, const Values<T>& values) {
  using V = Vector<T, 2>;
  for (int n = 0; n < tile.count; ++n) {
    const V value = {values.re[n], values.im[n]}, high = tile.fx[n] * value, low = value - high;
    for (int k = 0; k < 4; ++k) {
      T* to = box + 2 * (tile.slot[n] + kRowSlot[k]);
      store(to, load<V>(to) + tile.row[k][n] * low);
      store(to + 2, load<V>(to + 2) + tile.row[k][n] * high);
    }
  }
}

template <typename T, int C, int L>
void write_coefficients(const Row<T, C, L>& row, const typename Row<T, C, L>::V* sum, T* to) {
  T numbers[2 * (C ? C : kMaxChannels)];
  row.unpack(sum, numbers);
  for (int c = 0; 2 * c < row.floats; ++c) to[c] = numbers[2 * c] + numbers[2 * c + 1];
}

template <typename T>
void rotation_of_tile(
    const BackwardTask<T>& task, const Item& item, const Tile<T>& tile, const T* mixed, const Values<T>& values) {
  T* sums = task.rotation_gradient + 6 * int64_t{item.order};
  for (int k = 0; k < 6; ++k) sums[k] = 0;
  for (int n = 0; n < tile.count; ++n) {
    T real[8];
    for (int e = 0; e < 8; ++e) {
      const T* u = mixed + 2 * (tile.slot[n] + kCornerSlot[e]);
      real[e] = values.re[n] * u[0] + values.im[n] * u[1];
    }
    const Point<T> slope = corner_gradient(tile.fx[n], tile.fy[n], tile.fz[n], real);
    add_rotation(task.geometry, item, tile.pixel[n], slope, sums);
  }
}

// What the pixels scattered into the box, to the gradients of the volumes and of the coefficients; empties the box.
// `cached`: the volumes' rows were read a moment ago.
template <bool cached, typename Task, typename T, int C, int L>
inline __attribute__((always_inline)) void collect_touched(
    const Task& task, const Row<T, C, L>& row, const T* coefficients, const Touched& touched, T* box, T* products) {
  typename Row<T, C, L>::V sum[Row<T, C, L>::capacity];
  row.clear(sum);
  const auto prefetch = [&](int64_t voxel) __attribute__((always_inline)) {
    if (!cached) prefetch_row(task.volumes + voxel * row.floats, row.floats);
    if (task.volumes_gradient != nullptr) prefetch_row(task.volumes_gradient + voxel * row.floats, row.floats);
  };
  for_touched(touched, kPrefetchDistance, prefetch, [&](int slot, int64_t voxel) {
    T* cell = box + 2 * slot;
    const Complex<T> g{cell[0], cell[1]};
    cell[0] = cell[1] = 0;
    row.accumulate(sum, repeat<T, L>(g.re, g.im), task.volumes + voxel * row.floats);
    if (task.volumes_gradient != nullptr) row.add_outer(task.volumes_gradient + voxel * row.floats, coefficients, g);
  });
  write_coefficients<T, C, L>(row, sum, products);
}

template <typename T, int C, int L>
void backward_tile(const BackwardTask<T>& task, const Item& item, Scratch<T>& scratch) {
  const Row<T, C, L> row(task.channels);
  const T* coefficients = task.coefficients + int64_t{item.image} * task.coefficient_stride;
  Tile<T> tile;
  Touched touched;
  open_tile(task.geometry, item, scratch.marks, tile, touched);
  Values<T> values;
  for (int n = 0; n < tile.count; ++n) {
    const Complex<T> g = read_gradient(task, item, tile.pixel[n]);
    values.re[n] = g.re;
    values.im[n] = g.im;
  }
  if (task.rotation_gradient != nullptr) {
    mix_touched(row, task.volumes, coefficients, touched, scratch.mixed);
    rotation_of_tile(task, item, tile, scratch.mixed, values);
  }
  scatter(scratch.box, tile, values);
  T* const products = task.coefficients_gradient + int64_t{item.order} * task.channels;
  collect_touched<false>(task, row, coefficients, touched, scratch.box, products);
}

template <typename T, int C, int L>
void backward_pixels(const BackwardTask<T>& task, const Item& item) {
  const Row<T, C, L> row(task.channels);
  const T* coefficients = task.coefficients + int64_t{item.image} * task.coefficient_stride;
  typename Row<T, C, L>::V sum[Row<T, C, L>::capacity], own[Row<T, C, L>::capacity];
  row.clear(sum);
  row.load_coefficients(coefficients, own);
  T slopes[6] = {0, 0, 0, 0, 0, 0};
  for (int pixel = task.geometry.tile_starts[item.tile]; pixel < task.geometry.tile_starts[item.tile + 1]; ++pixel) {
    const Stencil<T> stencil = stencil_of(task.geometry, item, pixel);
    if (!stencil.inside) continue;
    const Complex<T> g = read_gradient(task, item, pixel);
    T real[8];
    for (int e = 0; e < 8; ++e) {
      const int64_t start = (stencil.first[e >> 1] + int64_t{e & 1}) * row.floats;
      const Complex<T> share{stencil.weight[e] * g.re, stencil.weight[e] * g.im};
      if (task.rotation_gradient != nullptr) {
        const Complex<T> mixed = row.mix(own, task.volumes + start);
        real[e] = g.re * mixed.re + g.im * mixed.im;
      }
      row.accumulate(sum, repeat<T, L>(share.re, share.im), task.volumes + start);
      if (task.volumes_gradient != nullptr) row.add_outer(task.volumes_gradient + start, coefficients, share);
    }
    if (task.rotation_gradient != nullptr) {
      add_rotation(task.geometry, item, pixel, corner_gradient(stencil.fx, stencil.fy, stencil.fz, real), slopes);
    }
  }
  write_coefficients<T, C, L>(row, sum, task.coefficients_gradient + int64_t{item.order} * task.channels);
  if (task.rotation_gradient == nullptr) return;
  for (int k = 0; k < 6; ++k) task.rotation_gradient[6 * int64_t{item.order} + k] = slopes[k];
}

template <typename T, int C, int L>
void backward_items(const BackwardTask<T>& task, const Item* items, int64_t count, Scratch<T>& scratch) {
  for (int64_t i = 0; i < count; ++i) {
    if (task.geometry.combine) {
      backward_tile<T, C, L>(task, items[i], scratch);
    } else {
      backward_pixels<T, C, L>(task, items[i]);
    }
  }
}

// Turn a slice's value into the gradient of its misfit, q |transfer X - y|^2, which is added to `sum`.
template <typename T>
inline Complex<T> differentiate(const MisfitTask<T>& task, const Item& item, int pixel, Complex<T> value, T& sum) {
  const int64_t at = task.rows[item.image] * task.geometry.pixel_count + pixel;
  const T transfer = task.transfer[at], weight = task.geometry.pixels[3 * int64_t{pixel} + 2];
  const T re = transfer * value.re - task.data[2 * at];
  const T im = transfer * value.im - (item.negated ? -task.data[2 * at + 1] : task.data[2 * at + 1]);
  sum += weight * (re * re + im * im);
  return {2 * weight * transfer * re, 2 * weight * transfer * im};
}

template <typename T, int C, int L>
void misfit_tile(const MisfitTask<T>& task, const Item& item, Scratch<T>& scratch) {
  const Row<T, C, L> row(task.channels);
  const T* coefficients = task.coefficients + int64_t{item.image} * task.coefficient_stride;
  Tile<T> tile;
  Touched touched;
  open_tile(task.geometry, item, scratch.marks, tile, touched);
  mix_touched(row, task.volumes, coefficients, touched, scratch.mixed);
  Values<T> values;
  interpolate(scratch.mixed, tile, values);
  T sum = 0;
  for (int n = 0; n < tile.count; ++n) {
    const Complex<T> g =
        differentiate(task, item, tile.pixel[n], Complex<T>{values.re[n], values.im[n]}, sum);
    values.re[n] = g.re;
    values.im[n] = g.im;
  }
  scatter(scratch.box, tile, values);
  for (int n = 0; n < tile.outside_count; ++n) differentiate(task, item, tile.outside[n], Complex<T>{0, 0}, sum);
  task.misfit[item.order] = sum;
  T* const products = task.coefficients_gradient + int64_t{item.order} * task.channels;
  collect_touched<true>(task, row, coefficients, touched, scratch.box, products);
}

template <typename T, int C, int L>
void misfit_pixels(const MisfitTask<T>& task, const Item& item) {
  const Row<T, C, L> row(task.channels);
  const T* coefficients = task.coefficients + int64_t{item.image} * task.coefficient_stride;
  typename Row<T, C, L>::V sum[Row<T, C, L>::capacity], own[Row<T, C, L>::capacity];
  row.clear(sum);
  row.load_coefficients(coefficients, own);
  T misfit = 0;
  for (int pixel = task.geometry.tile_starts[item.tile]; pixel < task.geometry.tile_starts[item.tile + 1]; ++pixel) {
    const Stencil<T> stencil = stencil_of(task.geometry, item, pixel);
    if (!stencil.mine) continue;
    Complex<T> value{0, 0};
    for (int e = 0; stencil.inside && e < 8; ++e) {
      const Complex<T> mixed = row.mix(own, task.volumes + (stencil.first[e >> 1] + int64_t{e & 1}) * row.floats);
      value.re += stencil.weight[e] * mixed.re;
      value.im += stencil.weight[e] * mixed.im;
    }
    const Complex<T> g = differentiate(task, item, pixel, value, misfit);
    for (int e = 0; stencil.inside && e < 8; ++e) {
      const int64_t start = (stencil.first[e >> 1] + int64_t{e & 1}) * row.floats;
      const Complex<T> share{stencil.weight[e] * g.re, stencil.weight[e] * g.im};
      row.accumulate(sum, repeat<T, L>(share.re, share.im), task.volumes + start);
      row.add_outer(task.volumes_gradient + start, coefficients, share);
    }
  }
  task.misfit[item.order] = misfit;
  write_coefficients<T, C, L>(row, sum, task.coefficients_gradient + int64_t{item.order} * task.channels);
}

template <typename T, int C, int L>
void misfit_items(const MisfitTask<T>& task, const Item* items, int64_t count, Scratch<T>& scratch) {
  for (int64_t i = 0; i < count; ++i) {
    if (task.geometry.combine) {
      misfit_tile<T, C, L>(task, items[i], scratch);
    } else {
      misfit_pixels<T, C, L>(task, items[i]);
    }
  }
}
