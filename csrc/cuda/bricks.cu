// What the pixels of a batch give to each voxel, summed without atomics: a block owns a brick of voxels and takes the images
// that meet it in their order, so that sums have the same bits in every run.
#include "tile.h"

namespace sbackprop {

constexpr int kBrickSide = 8;
constexpr int kBrickVoxels = kBrickSide * kBrickSide * kBrickSide;
constexpr float kReach = (kBrickSide + 1) / 2.0f;    // along each axis, from a brick's centre to points that touch it
constexpr int kOwned = kBrickVoxels / kThreads;      // voxels of a thread: threadIdx.x + j * kThreads
constexpr int kSums = 34;                            // of each of them at a time, in registers; _SUMS in ops/cuda.py

struct Bricks {
  const int* corners;    // (n, 3), lowest voxel of each brick
  const int* voxels;     // (n, kBrickVoxels), stored voxels, x fastest; -1 for none
  const int* parts;      // (m, 4): brick, first image, end of images, slot of the scratch memory or -1 for the result
  const int* plane;      // (2 radius + 1, radius + 1), the pixel at (y, x); -1 for none
  int radius;            // of the disc

  SBACKPROP_INLINE int pixel(int x, int y) const { return plane[(y + radius) * (radius + 1) + x]; }
};

// One image beside one brick.
struct Meeting {
  const float* rotation;    // (3, 3)
  const int* corner;        // (3,)
  int image;

  SBACKPROP_INLINE Point<float> centre() const {
    constexpr float half = (kBrickSide - 1) / 2.0f;
    return {corner[0] + half, corner[1] + half, corner[2] + half};
  }
  SBACKPROP_INLINE Point<float> x_axis() const { return {rotation[0], rotation[1], rotation[2]}; }
  SBACKPROP_INLINE Point<float> y_axis() const { return {rotation[3], rotation[4], rotation[5]}; }
};

SBACKPROP_INLINE float dot(Point<float> a, Point<float> b) { return a.x * b.x + a.y * b.y + a.z * b.z; }

SBACKPROP_INLINE Point<float> combine(float s, Point<float> a, float t, Point<float> b) {
  return {s * a.x + t * b.x, s * a.y + t * b.y, s * a.z + t * b.z};
}

__device__ inline float sum_of_sizes(Point<float> a) { return fabsf(a.x) + fabsf(a.y) + fabsf(a.z); }

// Whether the plane of the slice meets the brick; also where that cannot be told, since pixels are looked at one by one.
__device__ inline bool may_meet(const Meeting& meeting) {
  const Point<float> a = meeting.x_axis(), b = meeting.y_axis(), centre = meeting.centre();
  const Point<float> normal = {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
  const float rounding = 1e-6f * sum_of_sizes(a) * sum_of_sizes(b) * sum_of_sizes(centre);
  return !(fabsf(dot(normal, centre)) > kReach * sum_of_sizes(normal) + rounding);
}

// Whole numbers from `first` on.
struct Range {
  int first, count;
};

// Those within `reach` of `at` and not beyond the radius; all up to the radius where `at` is not a number.
__device__ inline Range range_around(float at, float reach, int radius) {
  const float below = fmaxf(fminf(reach - at, radius), -radius - 1), above = fmaxf(fminf(reach + at, radius), -radius - 1);
  const int first = -floor_to_int(below), count = floor_to_int(above) - first + 1;
  return {first, count > 0 ? count : 0};
}

// Locations of the whole plane around those whose points touch the brick: a rectangle.
struct Rectangle {
  Range x, y;
};

__device__ inline Rectangle locations_near(const Meeting& meeting, int radius) {
  const Point<float> a = meeting.x_axis(), b = meeting.y_axis(), centre = meeting.centre();
  const float xx = dot(a, a), yy = dot(b, b), xy = dot(a, b), determinant = xx * yy - xy * xy;
  // Axes that are nearly parallel have no inverse worth the name: take all locations.
  const float inverse = determinant > 0.01f * xx * yy ? 1 / determinant : __uint_as_float(0x7fc00000u);
  const Point<float> along_x = combine(inverse * yy, a, -inverse * xy, b);
  const Point<float> along_y = combine(inverse * xx, b, -inverse * xy, a);
  const float reach = kReach + 1e-4f * sum_of_sizes(centre);    // with room for rounding
  return {range_around(dot(along_x, centre), reach * sum_of_sizes(along_x), radius),
          range_around(dot(along_y, centre), reach * sum_of_sizes(along_y), radius)};
}

// Whether the point of location (x, y) touches the brick; its cell, relative to the brick.
__device__ inline bool touches(const Geometry& geometry, const Meeting& meeting, Point<float> p, Cell<float>& cell) {
  if (!(p.x >= 0 && squared_norm(p) <= geometry.limit)) return false;
  cell = locate(p);
  cell.x -= meeting.corner[0];
  cell.y -= meeting.corner[1];
  cell.z -= meeting.corner[2];
  const auto near = [](int at) { return -1 <= at && at < kBrickSide; };
  return near(cell.x) && near(cell.y) && near(cell.z);
}

// kParts numbers at a point.
template <int kParts>
struct Contribution {
  Cell<float> cell;
  float value[kParts] = {};

  __device__ void add(const float* from, bool conjugate) {
    for (int k = 0; k < kParts; ++k) value[k] += k == 1 && conjugate ? -from[k] : from[k];
  }
  __device__ unsigned size() const {
    unsigned bits = size_bits(value[0]);
    for (int k = 1; k < kParts; ++k) bits = bits > size_bits(value[k]) ? bits : size_bits(value[k]);
    return bits;
  }
};

// Call `act` with what each location of the plane gives to the brick. By one warp: locations that touch the brick, about a
// quarter of those near it, wait in a queue until there is one for each lane. The pixel at (x, y) acts where p_x >= 0, and
// the conjugate of the one at (-x, -y) where that one's p_x < 0: open_tile's rule, by which each stored pixel acts once.
template <int kParts, typename Act>
__device__ inline void for_each_contribution(
    const Geometry& geometry, const Bricks& bricks, const Meeting& meeting, const float* values,
    int (&queue)[2 * kWarp], const Act& act) {
  const Rectangle near = locations_near(meeting, bricks.radius);
  const int count = near.x.count * near.y.count, lane = threadIdx.x % kWarp;
  Contribution<kParts> own;
  int x, y;
  const auto locate_at = [&](int i) -> Point<float> {
    x = near.x.first + i % near.x.count;
    y = near.y.first + i / near.x.count;
    return slice_point(meeting.rotation, static_cast<float>(x), static_cast<float>(y));
  };
  int waiting = 0;
  for (int base = 0; base < count || waiting > 0; base += kWarp) {
    const bool found = base + lane < count && touches(geometry, meeting, locate_at(base + lane), own.cell);
    const unsigned all = __ballot_sync(kAllLanes, found);
    if (found) queue[waiting + bit_count(all & ((1u << lane) - 1))] = base + lane;
    waiting += bit_count(all);
    __syncwarp();
    if (waiting < kWarp && base + kWarp < count) continue;
    const int taken = waiting < kWarp ? waiting : kWarp;
    waiting -= taken;
    if (lane < taken) {
      const Point<float> p = locate_at(queue[waiting + lane]);
      touches(geometry, meeting, p, own.cell);
      const int here = x >= 0 ? bricks.pixel(x, y) : -1;
      const int opposite = x <= 0 && p.x > 0 ? bricks.pixel(-x, -y) : -1;
      for (float& number : own.value) number = 0;
      if (here >= 0) own.add(values + kParts * geometry.at(meeting.image, here), false);
      if (opposite >= 0) own.add(values + kParts * geometry.at(meeting.image, opposite), true);
      act(own);
    }
    __syncwarp();
  }
}

// By one warp: spread what the image gives to the brick over `voxels`, in fixed point. Returns the step of those.
template <int kParts>
__device__ inline float spread_image(
    const Geometry& geometry, const Bricks& bricks, const Meeting& meeting, const float* values,
    int (&queue)[2 * kWarp], int (&voxels)[kParts][kBrickVoxels]) {
  for (int i = threadIdx.x % kWarp; i < kBrickVoxels; i += kWarp) {
    for (int k = 0; k < kParts; ++k) voxels[k][i] = 0;
  }
  unsigned largest = 0;
  int count = 0;
  for_each_contribution<kParts>(geometry, bricks, meeting, values, queue, [&](const Contribution<kParts>& own) {
    largest = largest > own.size() ? largest : own.size();
    ++count;
  });
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const unsigned other = __shfl_xor_sync(kAllLanes, largest, step);
    largest = largest > other ? largest : other;
    count += __shfl_xor_sync(kAllLanes, count, step);
  }
  __syncwarp();
  const FixedPoint fixed(largest, count);
  for_each_contribution<kParts>(geometry, bricks, meeting, values, queue, [&](const Contribution<kParts>& own) {
    float weight[8];
    corner_weights(own.cell.fx, own.cell.fy, own.cell.fz, weight);
    for (int e = 0; e < 8; ++e) {
      const int x = own.cell.x + (e & 1), y = own.cell.y + (e >> 1 & 1), z = own.cell.z + (e >> 2);
      const auto inside = [](int at) { return 0 <= at && at < kBrickSide; };
      if (!inside(x) || !inside(y) || !inside(z)) continue;
      const int voxel = (z * kBrickSide + y) * kBrickSide + x;
      for (int k = 0; k < kParts; ++k) atomicAdd(&voxels[k][voxel], fixed.to_fixed(weight[e] * own.value[k]));
    }
  });
  return fixed.step;
}

// A result has rows (kFactors, kParts); a block takes a chunk of the factors, so that its sums fit into registers.
template <int kParts, int kFactors>
struct Rows {
  static constexpr int kLength = kFactors * kParts;
  static constexpr int kChunks = (kLength + kSums - 1) / kSums;
  static constexpr int kChunk = (kFactors + kChunks - 1) / kChunks;
  static constexpr int kEntries = kChunk * kParts;

  // What each warp brings of its image; later the sums, on their way to memory.
  union Shared {
    struct {
      int voxels[kWarps][kParts][kBrickVoxels], queue[kWarps][2 * kWarp];
      float step[kWarps];
      alignas(16) float factors[kWarps][(kChunk + 3) / 4 * 4];
    } images;
    float rows[kThreads][kEntries];
  };

  // sums += factors (x) what the images brought, in their order.
  __device__ static void add_images(const Shared& shared, int count, float (&sums)[kOwned][kEntries]) {
    for (int m = 0; m < count; ++m) {
#pragma unroll
      for (int j = 0; j < kOwned; ++j) {
        float share[kParts];
        bool any = false;
        for (int k = 0; k < kParts; ++k) {
          share[k] = static_cast<float>(shared.images.voxels[m][k][threadIdx.x + j * kThreads]) * shared.images.step[m];
          any |= share[k] != 0;
        }
        if (!any) continue;
#pragma unroll
        for (int i = 0; i < kEntries; ++i) sums[j][i] += shared.images.factors[m][i / kParts] * share[i % kParts];
      }
    }
  }

  // Add the sums to rows of the result, or leave them in a slot of the scratch memory; neighbours write neighbours.
  __device__ static void write(
      const float (&sums)[kOwned][kEntries], const int* voxels, int slot, Shared& shared, float* scratch,
      float* result) {
    const int start = blockIdx.y * kEntries;
#pragma unroll
    for (int j = 0; j < kOwned; ++j) {
      __syncthreads();
#pragma unroll
      for (int i = 0; i < kEntries; ++i) shared.rows[threadIdx.x][i] = sums[j][i];
      __syncthreads();
      for (int i = threadIdx.x; i < kThreads * kEntries; i += kThreads) {
        const int local = i / kEntries + j * kThreads, entry = start + i % kEntries;
        const float sum = shared.rows[i / kEntries][i % kEntries];
        if (entry >= kLength) continue;
        if (slot >= 0) {
          scratch[(static_cast<long long>(slot) * kBrickVoxels + local) * kLength + entry] = sum;
        } else if (voxels[local] >= 0) {
          result[static_cast<long long>(voxels[local]) * kLength + entry] += sum;
        }
      }
    }
  }
};

// Block (part, chunk): result[v, l] += sum_b factors[b, l] sum_p w_vp values[b, p] over the part's brick and images.
// values are (B, P, kParts), conjugated where the pixel's point is negated, factors (B, kFactors), and the result is
// (W, kFactors, kParts).
template <int kParts, int kFactors>
__device__ inline void add_part(
    const Geometry& geometry, const Bricks& bricks, const float* values, const float* factors, float* scratch,
    float* result) {
  using Rows = Rows<kParts, kFactors>;
  __shared__ typename Rows::Shared shared;
  __shared__ int meeting_images[kThreads], warp_total[kWarps], count;
  const int* part = bricks.parts + 4 * blockIdx.x;
  const int brick = part[0], last = part[2], slot = part[3], warp = threadIdx.x / kWarp;
  bool met = false;
  float sums[kOwned][Rows::kEntries] = {};
  for (int first = part[1]; first < last; first += kThreads) {
    const int image = first + threadIdx.x;
    const auto meeting = [&](int of) -> Meeting { return {geometry.rotation + 9ll * of, bricks.corners + 3 * brick, of}; };
    const bool meets = image < last && may_meet(meeting(image));
    const int at = scan_exclusive(meets, warp_total, &count);
    if (meets) meeting_images[at] = image;
    __syncthreads();
    met |= count > 0;
    for (int done = 0; done < count; done += kWarps) {
      if (done + warp < count) {
        const int own = meeting_images[done + warp];
        const float step = spread_image<kParts>(
            geometry, bricks, meeting(own), values, shared.images.queue[warp], shared.images.voxels[warp]);
        if (threadIdx.x % kWarp == 0) shared.images.step[warp] = step;
        for (int l = threadIdx.x % kWarp; l < Rows::kChunk; l += kWarp) {
          const int factor = blockIdx.y * Rows::kChunk + l;
          shared.images.factors[warp][l] = factor < kFactors ? factors[static_cast<long long>(kFactors) * own + factor] : 0;
        }
      }
      __syncthreads();
      Rows::add_images(shared, count - done < kWarps ? count - done : kWarps, sums);
      __syncthreads();
    }
  }
  if (met || slot >= 0) Rows::write(sums, bricks.voxels + kBrickVoxels * brick, slot, shared, scratch, result);
}

// The gradient of volumes (W, C, 2) from that of pixels (B, P, 2), and the right-hand side of the normal equations.
extern "C" __global__ void __launch_bounds__(kThreads, 3) add_to_volumes(
    Geometry geometry, Bricks bricks, const float* values, const float* factors, float* scratch, float* result) {
  add_part<2, kChannels>(geometry, bricks, values, factors, scratch, result);
}

// The matrix of the normal equations (W, C (C + 1) / 2) from the pixels' power (B, P).
extern "C" __global__ void __launch_bounds__(kThreads, 3) add_to_matrices(
    Geometry geometry, Bricks bricks, const float* values, const float* factors, float* scratch, float* result) {
  add_part<1, kChannels * (kChannels + 1) / 2>(geometry, bricks, values, factors, scratch, result);
}

// Add the scratch memory to the result: `several` (n, 3) is brick, first slot, end of slots. A warp takes a voxel at a time.
extern "C" __global__ void __launch_bounds__(kThreads) add_scratch(
    const int* voxels, const int* several, int length, const float* scratch, float* result) {
  const int* own = several + 3 * blockIdx.x;
  for (int local = blockIdx.y * kWarps + threadIdx.x / kWarp; local < kBrickVoxels; local += gridDim.y * kWarps) {
    const int voxel = voxels[kBrickVoxels * own[0] + local];
    if (voxel < 0) continue;
    for (int i = threadIdx.x % kWarp; i < length; i += kWarp) {
      float sum = 0;
      for (int slot = own[1]; slot < own[2]; ++slot) {
        sum += scratch[(static_cast<long long>(slot) * kBrickVoxels + local) * length + i];
      }
      result[static_cast<long long>(voxel) * length + i] += sum;
    }
  }
}

}  // namespace sbackprop
