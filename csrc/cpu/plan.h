// The order of work over a batch: tiles sorted by the brick of the volume that they read, in columns that can be
// written to at the same time.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tasks.h"

namespace sbackprop {

struct Column {
  int64_t begin;
  int64_t end;
};

struct Plan {
  std::vector<Item> items;                // sorted by column, then by x brick, then by image and tile
  std::vector<int64_t> image_starts;      // (B + 1,), by Item::order
  std::vector<std::vector<Column>> colours;  // columns of one colour touch disjoint voxels; longest first
  bool combine;                           // every rotation fits the local box
};

// Largest factor by which a rotation of the batch stretches image coordinates, at least 1.
template <typename T>
double largest_stretch(const T* rotation, int64_t images);

// Plan images first .. first + images - 1 of a batch whose largest stretch is given.
template <typename T>
Plan make_plan(const Geometry<T>& geometry, int64_t first, int64_t images, int tiles, double stretch);

// Number of torch's threads. Ask once per call and size what the workers need by it: another thread may change it.
int worker_count();

// Run work(index, worker) for index = 0 .. count - 1, each worker taking the next free index; `worker` is below
// `workers` and belongs to one thread at a time.
void for_each_parallel(int64_t count, int workers, const std::function<void(int64_t index, int worker)>& work);

}  // namespace sbackprop
