// The kernels of one instruction set: included by one file per set, which names it in SBACKPROP_ISA.
#include "tasks.h"

namespace sbackprop {
namespace SBACKPROP_ISA {
namespace {

#include "rows.inl"
#include "tiles.inl"
#include "project.inl"
#include "moments.inl"

template <int N>
struct Constant {
  static constexpr int value = N;
};

// Call f with the channel count as a compile-time constant where it is a common one: K = 8, 16, 32 basis volumes.
template <typename T, typename Function>
inline void with_channels(int channels, Function&& f) {
  if (lanes_for(channels) != kLanes) return f(Constant<0>{}, Constant<2>{});
  if constexpr (sizeof(T) == sizeof(float)) {
    if (channels == 9) return f(Constant<9>{}, Constant<kLanes>{});
    if (channels == 17) return f(Constant<17>{}, Constant<kLanes>{});
    if (channels == 33) return f(Constant<33>{}, Constant<kLanes>{});
    if (channels == 65) return f(Constant<65>{}, Constant<kLanes>{});
  }
  f(Constant<0>{}, Constant<kLanes>{});
}

template <typename T>
void project(const ProjectTask<T>& task, const Item* items, int64_t count, Scratch<T>& scratch) {
  with_channels<T>(task.channels, [&](auto c, auto lanes) {
    project_items<T, decltype(c)::value, decltype(lanes)::value>(task, items, count, scratch);
  });
}

template <typename T>
void backward(const BackwardTask<T>& task, const Item* items, int64_t count, Scratch<T>& scratch) {
  with_channels<T>(task.channels, [&](auto c, auto lanes) {
    backward_items<T, decltype(c)::value, decltype(lanes)::value>(task, items, count, scratch);
  });
}

template <typename T>
void misfit(const MisfitTask<T>& task, const Item* items, int64_t count, Scratch<T>& scratch) {
  with_channels<T>(task.channels, [&](auto c, auto lanes) {
    misfit_items<T, decltype(c)::value, decltype(lanes)::value>(task, items, count, scratch);
  });
}

template <typename T>
void normal(const NormalTask<T>& task, const Item* items, int64_t count, Scratch<T>& scratch) {
  with_channels<T>(task.channels, [&](auto c, auto lanes) {
    normal_items<T, decltype(c)::value, decltype(lanes)::value>(task, items, count, scratch);
  });
}

template <typename T>
void gram(const GramTask<T>& task, const Item* items, int64_t count, int64_t first_image, T* workspace, T* products) {
  with_channels<T>(task.channels, [&](auto c, auto lanes) {
    gram_items<T, decltype(c)::value, decltype(lanes)::value>(task, items, count, first_image, workspace, products);
  });
}

}  // namespace

const Kernels<float> single_precision = {project<float>, backward<float>, misfit<float>, normal<float>, gram<float>};
const Kernels<double> double_precision = {
    project<double>, backward<double>, misfit<double>, normal<double>, gram<double>};

}  // namespace SBACKPROP_ISA
}  // namespace sbackprop
