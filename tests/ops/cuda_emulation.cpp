// Runs the CUDA kernels of csrc/cuda on the host, unchanged: every thread of a block is a fibre, and fibres go on in
// random order between barriers, so that a missing barrier shows. One block at a time, in random order; shared memory is
// static.
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <utility>
#include <vector>

struct Index {
  unsigned x, y, z;
};
struct float2 {
  float x, y;
};
static Index threadIdx, blockIdx, gridDim;

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)

namespace emulation {

constexpr int kBlock = 128, kLanes = 32;
constexpr size_t kStack = 128 * 1024;
enum class Wait { none, block, warp, done };

// A context starts a fibre; from then on it is left and entered by jumps, which need no system call.
struct Fibre {
  ucontext_t context;
  jmp_buf place;
  bool started = false;
  std::vector<char> stack = std::vector<char>(kStack);
  Wait wait = Wait::none;
};

static std::vector<Fibre> fibres(kBlock);
static jmp_buf scheduler;
static std::function<void()> body;
static unsigned exchange[kBlock];

__attribute__((noinline)) static void wait_for(Wait what) {
  Fibre& self = fibres[threadIdx.x];
  self.wait = what;
  if (_setjmp(self.place) == 0) _longjmp(scheduler, 1);
}

static void enter() {
  for (;;) {
    body();
    wait_for(Wait::done);
  }
}

__attribute__((noinline)) static void resume(unsigned k) {
  Fibre& fibre = fibres[k];
  threadIdx = {k, 0, 0};
  if (_setjmp(scheduler) != 0) return;
  if (fibre.started) _longjmp(fibre.place, 1);
  fibre.started = true;
  getcontext(&fibre.context);
  fibre.context.uc_stack.ss_sp = fibre.stack.data();
  fibre.context.uc_stack.ss_size = kStack;
  makecontext(&fibre.context, enter, 0);
  setcontext(&fibre.context);
}

// Let go those who all wait for the same barrier; false when nobody can go on.
static bool release() {
  const auto waits = [](int from, int to, Wait what) {
    return std::all_of(fibres.begin() + from, fibres.begin() + to, [&](const Fibre& f) { return f.wait == what; });
  };
  const auto let_go = [](int from, int to) {
    for (int k = from; k < to; ++k) fibres[k].wait = Wait::none;
    return true;
  };
  if (waits(0, kBlock, Wait::block)) return let_go(0, kBlock);
  bool any = false;
  for (int warp = 0; warp < kBlock; warp += kLanes) {
    if (waits(warp, warp + kLanes, Wait::warp)) any = let_go(warp, warp + kLanes);
  }
  return any;
}

static bool run_block(std::mt19937& random) {
  for (Fibre& fibre : fibres) fibre.wait = Wait::none;
  std::vector<int> order(kBlock);
  for (int k = 0; k < kBlock; ++k) order[k] = k;
  for (;;) {
    std::shuffle(order.begin(), order.end(), random);
    for (const int k : order) {
      if (fibres[k].wait == Wait::none) resume(k);
    }
    if (std::all_of(fibres.begin(), fibres.end(), [](const Fibre& f) { return f.wait == Wait::done; })) return true;
    if (!release()) {
      std::fprintf(stderr, "block (%u, %u): some threads wait at a barrier that others never reach\n", blockIdx.x, blockIdx.y);
      for (Fibre& fibre : fibres) fibre.started = false;
      return false;
    }
  }
}

template <typename T>
T from_lane(T value, int lane) {
  static_assert(sizeof(T) == sizeof(unsigned));
  std::memcpy(&exchange[threadIdx.x], &value, sizeof(T));
  wait_for(Wait::warp);
  T other;
  std::memcpy(&other, &exchange[threadIdx.x / kLanes * kLanes + lane], sizeof(T));
  wait_for(Wait::warp);
  return other;
}

template <typename... A, size_t... I>
std::function<void()> call_with(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
  return [=] { kernel(*static_cast<A*>(arguments[I])...); };
}

template <typename... A>
std::function<void()> call_with(void (*kernel)(A...), void** arguments) {
  return call_with(kernel, arguments, std::index_sequence_for<A...>());
}

}  // namespace emulation

static void __syncthreads() { emulation::wait_for(emulation::Wait::block); }
static void __syncwarp() { emulation::wait_for(emulation::Wait::warp); }
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return emulation::from_lane(value, static_cast<int>(threadIdx.x % emulation::kLanes) ^ mask);
}
template <typename T>
T __shfl_up_sync(unsigned, T value, int step) {
  const int lane = threadIdx.x % emulation::kLanes;
  return emulation::from_lane(value, lane >= step ? lane - step : lane);
}
static unsigned __ballot_sync(unsigned, bool own) {
  unsigned bits = own ? 1u << threadIdx.x % emulation::kLanes : 0;
  for (int step = 1; step < emulation::kLanes; step *= 2) bits |= __shfl_xor_sync(0u, bits, step);
  return bits;
}
template <typename T>
T atomicAdd(T* to, T value) {
  const T before = *to;
  *to += value;
  return before;
}
static unsigned atomicOr(unsigned* to, unsigned value) { return std::exchange(*to, *to | value); }
static unsigned atomicMax(unsigned* to, unsigned value) { return std::exchange(*to, std::max(*to, value)); }
static int __popc(unsigned bits) { return __builtin_popcount(bits); }
static int __float2int_rn(float value) {
  if (std::isnan(value)) return 0;
  return static_cast<int>(std::clamp(std::nearbyint(double{value}), -2147483648.0, 2147483647.0));
}
static unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
static float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

#include "project.cu"

#include "bricks.cu"
#include "descend.cu"
#include "moments.cu"

// Same arguments as cuLaunchKernel takes; 0 when every block came to its end.
extern "C" int emulate(const char* kernel, unsigned x, unsigned y, void** arguments, unsigned seed) {
  using namespace emulation;
  if (!std::strcmp(kernel, "project")) body = call_with(sbackprop::project, arguments);
  else if (!std::strcmp(kernel, "project_backward")) body = call_with(sbackprop::project_backward, arguments);
  else if (!std::strcmp(kernel, "misfit")) body = call_with(sbackprop::misfit, arguments);
  else if (!std::strcmp(kernel, "tie_pairs")) body = call_with(sbackprop::tie_pairs, arguments);
  else if (!std::strcmp(kernel, "descend")) body = call_with(sbackprop::descend, arguments);
  else if (!std::strcmp(kernel, "gram")) body = call_with(sbackprop::gram, arguments);
  else if (!std::strcmp(kernel, "normal_equations")) body = call_with(sbackprop::normal_equations, arguments);
  else if (!std::strcmp(kernel, "add_to_volumes")) body = call_with(sbackprop::add_to_volumes, arguments);
  else if (!std::strcmp(kernel, "add_to_matrices")) body = call_with(sbackprop::add_to_matrices, arguments);
  else if (!std::strcmp(kernel, "add_scratch")) body = call_with(sbackprop::add_scratch, arguments);
  else return 2;
  std::mt19937 random(seed);
  gridDim = {x, y, 1};
  std::vector<unsigned> blocks(x * y);
  for (unsigned k = 0; k < x * y; ++k) blocks[k] = k;
  std::shuffle(blocks.begin(), blocks.end(), random);
  for (const unsigned k : blocks) {
    blockIdx = {k % x, k / x, 0};
    if (!run_block(random)) return 1;
  }
  return 0;
}
