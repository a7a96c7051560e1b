// Fresh, large gradients: page faults cost more than the zeros themselves.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <cstdint>
#include <cstring>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace sbackprop {

// Zero `bytes` bytes on all threads. Memory that the kernel has not handed out yet comes in 2 MB pages where it can.
inline void fill_zero(void* memory, int64_t bytes) {
  constexpr int64_t kHugePage = int64_t{1} << 21;
  char* const start = static_cast<char*>(memory);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  const auto address = reinterpret_cast<uintptr_t>(memory);
  const auto first = (address + kHugePage - 1) / kHugePage * kHugePage;
  const auto last = (address + bytes) / kHugePage * kHugePage;
  if (bytes > 0 && first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
  torch::stable::parallel_for(0, bytes, kHugePage, [&](int64_t begin, int64_t end) {
    std::memset(start + begin, 0, end - begin);
  });
}

}  // namespace sbackprop
