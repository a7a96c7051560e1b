// Where a pixel of a central slice falls in the half sphere of stored voxels, and the trilinear arithmetic there.
// Written once for every back end: plain C++17 without includes, so that a host compiler, nvcc and NVRTC all take it.
#pragma once

#if defined(__CUDACC__)
#define SBACKPROP_INLINE __host__ __device__ __forceinline__
#else
#define SBACKPROP_INLINE inline __attribute__((always_inline))
#endif

namespace sbackprop {

constexpr int kTileSide = 8;                          // pixels; the half disc is stored in tiles of this side
constexpr int kTilePixels = kTileSide * kTileSide;
constexpr float kTileHalfDiagonal = 4.9498f;          // (kTileSide - 1) / sqrt(2), rounded up
constexpr float kCombineLimit = 1.05f;                // rows of the rotation longer than this don't fit the local box
constexpr int kBoxSide = 16;                          // local box that holds every corner of a tile's pixels
constexpr int kBoxRows = kBoxSide * kBoxSide;
constexpr int kBoxMargin = 7;                         // box origin lies this far below the tile's centre

template <typename T>
struct Point {
  T x, y, z;
};

// Point of the slice at image frequency (x, y): p = x A[0] + y A[1], the rows of A being the image's axes in the map.
template <typename T>
SBACKPROP_INLINE Point<T> slice_point(const T* rotation, T x, T y) {
  return {x * rotation[0] + y * rotation[3], x * rotation[1] + y * rotation[4], x * rotation[2] + y * rotation[5]};
}

template <typename T>
SBACKPROP_INLINE Point<T> negated_if(bool negate, Point<T> p) {
  return negate ? Point<T>{-p.x, -p.y, -p.z} : p;
}

template <typename T>
SBACKPROP_INLINE T squared_norm(Point<T> p) {
  return p.x * p.x + p.y * p.y + p.z * p.z;
}

// floor() without a library call: the baseline x86-64 instruction set has no rounding instruction.
template <typename T>
SBACKPROP_INLINE int floor_to_int(T value) {
  const int truncated = static_cast<int>(value);
  return truncated - (value < static_cast<T>(truncated));
}

// Unit cell of a point and its position inside the cell.
template <typename T>
struct Cell {
  int x, y, z;
  T fx, fy, fz;
};

template <typename T>
SBACKPROP_INLINE Cell<T> locate(Point<T> p) {
  const int x = floor_to_int(p.x), y = floor_to_int(p.y), z = floor_to_int(p.z);
  return {x, y, z, p.x - static_cast<T>(x), p.y - static_cast<T>(y), p.z - static_cast<T>(z)};
}

// Corner e of a cell is (x + (e & 1), y + (e >> 1 & 1), z + (e >> 2)).
template <typename T>
SBACKPROP_INLINE void corner_weights(T fx, T fy, T fz, T weight[8]) {
  const T gx = 1 - fx, gy = 1 - fy, gz = 1 - fz;
  const T yz[4] = {gy * gz, fy * gz, gy * fz, fy * fz};
  for (int pair = 0; pair < 4; ++pair) {
    weight[2 * pair] = gx * yz[pair];
    weight[2 * pair + 1] = fx * yz[pair];
  }
}

// Stored voxels: rows along x, contiguous and starting at x = 0; row[z + offset][y + offset] is a row's first voxel.
struct VoxelRows {
  const int* row;
  int side;
  int offset;

  SBACKPROP_INLINE int start(int y, int z) const { return row[(z + offset) * side + y + offset]; }
};

// First voxel (the corner at x) of the four x-pairs of a cell, ordered as corner_weights orders pairs.
template <typename T>
SBACKPROP_INLINE void corner_pairs(const VoxelRows& rows, const Cell<T>& cell, int first[4]) {
  for (int pair = 0; pair < 4; ++pair) first[pair] = rows.start(cell.y + (pair & 1), cell.z + (pair >> 1)) + cell.x;
}

// Gradient of sum_e w_e a_e in the point, where a_e is one real number per corner.
template <typename T>
SBACKPROP_INLINE Point<T> corner_gradient(T fx, T fy, T fz, const T a[8]) {
  const T gx = 1 - fx, gy = 1 - fy, gz = 1 - fz;
  Point<T> d;
  d.x = gz * (gy * (a[1] - a[0]) + fy * (a[3] - a[2])) + fz * (gy * (a[5] - a[4]) + fy * (a[7] - a[6]));
  d.y = gz * (gx * (a[2] - a[0]) + fx * (a[3] - a[1])) + fz * (gx * (a[6] - a[4]) + fx * (a[7] - a[5]));
  d.z = gy * (gx * (a[4] - a[0]) + fx * (a[5] - a[1])) + fy * (gx * (a[6] - a[2]) + fx * (a[7] - a[3]));
  return d;
}

}  // namespace sbackprop
