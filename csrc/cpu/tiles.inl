// A tile's pixels in the local box of voxels around them. Included once per instruction set, inside its namespace.

// Pixels of one item: those whose point has the item's sign.
template <typename T>
struct Tile {
  int count;                  // inside the sphere
  int pixel[kTilePixels];
  int slot[kTilePixels];      // lower corner in the box, (z * kBoxSide + y) * kBoxSide + x
  T fx[kTilePixels], fy[kTilePixels], fz[kTilePixels];
  T row[4][kTilePixels];      // weights of the four rows of corners along x
  int outside_count;
  int outside[kTilePixels];   // pixels beyond the sphere
  int x, y, z;                // voxel of box slot 0
};

// Step between the lower and the upper corner of a cell along each axis of the box.
constexpr int kStepY = kBoxSide, kStepZ = kBoxRows;
constexpr int kRowSlot[4] = {0, kStepY, kStepZ, kStepZ + kStepY};
constexpr int kCornerSlot[8] = {0, 1, kStepY, kStepY + 1, kStepZ, kStepZ + 1, kStepZ + kStepY, kStepZ + kStepY + 1};

template <typename T>
inline void place_box(const Geometry<T>& geometry, const Item& item, Tile<T>& tile) {
  const T* rotation = geometry.rotation + 9 * int64_t{item.image};
  const float* centre = geometry.tile_centres + 2 * item.tile;
  const Point<T> p = negated_if(item.negated != 0, slice_point<T>(rotation, centre[0], centre[1]));
  const int x = floor_to_int(p.x) - kBoxMargin;
  tile.x = x > 0 ? x : 0;
  tile.y = floor_to_int(p.y) - kBoxMargin;
  tile.z = floor_to_int(p.z) - kBoxMargin;
}

// Locate the item's pixels relative to the box. Two loops: the first has no branches and becomes vector code.
template <typename T>
inline void locate_pixels(const Geometry<T>& geometry, const Item& item, Tile<T>& tile) {
  const T* rotation = geometry.rotation + 9 * int64_t{item.image};
  const int begin = geometry.tile_starts[item.tile];
  const int total = geometry.tile_starts[item.tile + 1] - begin;
  const float* pixels = geometry.pixels + 3 * int64_t{begin};
  T fx[kTilePixels], fy[kTilePixels], fz[kTilePixels], norm[kTilePixels];
  int slot[kTilePixels], mine[kTilePixels];
  const bool negated = item.negated != 0;
  for (int i = 0; i < total; ++i) {
    const Point<T> raw = slice_point<T>(rotation, pixels[3 * i], pixels[3 * i + 1]);
    mine[i] = (raw.x < 0) == negated;
    const Point<T> p = negated_if(negated, raw);
    const Cell<T> cell = locate(p);
    slot[i] = ((cell.z - tile.z) * kBoxSide + cell.y - tile.y) * kBoxSide + cell.x - tile.x;
    fx[i] = cell.fx;
    fy[i] = cell.fy;
    fz[i] = cell.fz;
    norm[i] = squared_norm(p);
  }
  tile.count = tile.outside_count = 0;
  for (int i = 0; i < total; ++i) {
    if (!mine[i]) continue;
    if (!(norm[i] <= geometry.limit)) {  // so written that a pose that is not a number stays outside
      tile.outside[tile.outside_count++] = begin + i;
      continue;
    }
    const int n = tile.count++;
    tile.pixel[n] = begin + i;
    tile.slot[n] = slot[i];
    tile.fx[n] = fx[i];
    tile.fy[n] = fy[i];
    tile.fz[n] = fz[i];
  }
  for (int n = 0; n < tile.count; ++n) {
    const T fy = tile.fy[n], fz = tile.fz[n];
    tile.row[0][n] = (1 - fy) * (1 - fz);
    tile.row[1][n] = fy * (1 - fz);
    tile.row[2][n] = (1 - fy) * fz;
    tile.row[3][n] = fy * fz;
  }
}

// Mark the corners of every pixel: bit x of marks[z, y], and bit y of planes[z] for a row with marks.
template <typename T>
inline void mark_voxels(const Tile<T>& tile, uint16_t* marks, uint32_t* planes) {
  for (int n = 0; n < tile.count; ++n) {
    const unsigned slot = tile.slot[n];
    const unsigned row = slot / kBoxSide, z = slot / kBoxRows;
    const uint16_t pair = static_cast<uint16_t>(3u << (slot % kBoxSide));
    marks[row] |= pair;
    marks[row + 1] |= pair;
    marks[row + kBoxSide] |= pair;
    marks[row + kBoxSide + 1] |= pair;
    const uint32_t rows = 3u << (row % kBoxSide);
    planes[z] |= rows;
    planes[z + 1] |= rows;
  }
}

// Voxels that a tile touches, in memory order. Rows count from their first to their last mark: a gap is rare, and
// reading over it is cheaper than a branch that the processor cannot foresee.
struct Touched {
  int count;
  int slot[kBoxRows * kBoxSide + kLanes];
  int voxel[kBoxRows * kBoxSide + kLanes];
};

// List the marked voxels and clear the marks.
template <typename T>
inline void collect_touched(
    const Geometry<T>& geometry, const Tile<T>& tile, uint16_t* marks, const uint32_t* planes, Touched& touched) {
  int count = 0;
  for (int z = 0; z < kBoxSide; ++z) {
    for (uint32_t rows = planes[z]; rows != 0; rows &= rows - 1) {
      const int y = __builtin_ctz(rows), row = z * kBoxSide + y;
      const unsigned mask = marks[row];
      marks[row] = 0;
      const int first = __builtin_ctz(mask), length = 32 - __builtin_clz(mask) - first;
      const int slot = row * kBoxSide + first;
      const int voxel = geometry.rows.start(tile.y + y, tile.z + z) + tile.x + first;
      for (int done = 0; done < length; done += kLanes) {
        for (int k = 0; k < kLanes; ++k) {  // whole vectors; what is too much is overwritten by the next row
          touched.slot[count + done + k] = slot + done + k;
          touched.voxel[count + done + k] = voxel + done + k;
        }
      }
      count += length;
    }
  }
  touched.count = count;
}

// Call visit(slot, voxel) for every touched voxel; prefetch(voxel) runs a few voxels ahead, since rows of the volume
// follow each other too irregularly for the processor to guess. `prefetch` must be always_inline: GCC 12 takes the call
// of a function that only prefetches for one without effect and removes it.
template <typename Prefetch, typename Visit>
inline __attribute__((always_inline)) void for_touched(
    const Touched& touched, int distance, Prefetch&& prefetch, Visit&& visit) {
  for (int i = 0; i < touched.count && i < distance; ++i) prefetch(touched.voxel[i]);
  for (int i = 0; i < touched.count; ++i) {
    if (i + distance < touched.count) prefetch(touched.voxel[i + distance]);
    visit(touched.slot[i], int64_t{touched.voxel[i]});
  }
}

// Place, locate and list in one go.
template <typename T>
inline void open_tile(
    const Geometry<T>& geometry, const Item& item, uint16_t* marks, Tile<T>& tile, Touched& touched) {
  place_box(geometry, item, tile);
  locate_pixels(geometry, item, tile);
  uint32_t planes[kBoxSide] = {};
  mark_voxels(tile, marks, planes);
  collect_touched(geometry, tile, marks, planes, touched);
}

template <typename T>
inline __attribute__((always_inline)) void prefetch_row(const T* row, int numbers) {
  constexpr int kLine = 64 / sizeof(T);
  for (int k = 0; k < numbers; k += kLine) __builtin_prefetch(row + k);
  // Rows begin at a multiple of two numbers, so that two more than whole lines never reach into another.
  if (numbers % kLine != 2) __builtin_prefetch(row + numbers - 1);
}

// One pixel of the direct path: its corners in the volume instead of the box.
template <typename T>
struct Stencil {
  bool mine;    // has the item's sign
  bool inside;  // and lies in the sphere; the rest is set only then
  int first[4];
  T fx, fy, fz;
  T weight[8];
};

template <typename T>
inline Stencil<T> stencil_of(const Geometry<T>& geometry, const Item& item, int pixel) {
  Stencil<T> stencil;
  const float* at = geometry.pixels + 3 * int64_t{pixel};
  Point<T> p = slice_point<T>(geometry.rotation + 9 * int64_t{item.image}, at[0], at[1]);
  stencil.mine = (p.x < 0) == (item.negated != 0);
  p = negated_if(item.negated != 0, p);
  stencil.inside = stencil.mine && squared_norm(p) <= geometry.limit;
  if (!stencil.inside) return stencil;
  const Cell<T> cell = locate(p);
  corner_pairs(geometry.rows, cell, stencil.first);
  corner_weights(cell.fx, cell.fy, cell.fz, stencil.weight);
  stencil.fx = cell.fx;
  stencil.fy = cell.fy;
  stencil.fz = cell.fz;
  return stencil;
}
