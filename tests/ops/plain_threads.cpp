// In place of torch's: its threads are OpenMP's, whose waiting for each other ThreadSanitizer does not see.
#include <torch/csrc/stable/c/shim.h>

#include <algorithm>
#include <thread>
#include <vector>

extern "C" AOTITorchError torch_parallel_for(
    int64_t begin, int64_t end, int64_t grain_size, ParallelFunc function, void* context) {
  const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(8, (end - begin) / std::max<int64_t>(1, grain_size)));
  std::vector<std::thread> threads;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t from = begin + (end - begin) * part / parts, to = begin + (end - begin) * (part + 1) / parts;
    threads.emplace_back([=] { function(from, to, context); });
  }
  for (std::thread& thread : threads) thread.join();
  return 0;
}
