// For the other fake libraries (cuBLASLt, cuDNN): work of theirs on a stream of the fake driver.
// They link libcuda.so.1.
#pragma once

#include <cuda.h>

#include <functional>
#include <string>
#include <vector>

namespace trireme::fake_cuda {

// Device memory that the work reads or writes.
struct MemoryRange {
  const void* address = nullptr;
  size_t bytes = 0;
  const char* what = "";  // "the workspace"
};

// Enqueues `run` as one kernel launch named `name`; a capture records it, and `run` is then called
// at each launch of the graph. It runs when the stream is waited for, with access to device memory;
// what it throws is the card's error. The ranges are checked now, and each time before it runs.
// Returns what cuLaunchKernel would.
__attribute__((visibility("default"))) CUresult enqueue(CUstream stream, std::string name,
                                                        std::vector<MemoryRange> ranges,
                                                        std::function<void()> run);

// The same, for work that can only start when `ready` says so, because others take part (a
// collective). `ready` is called under the driver's lock and must call nothing of it.
__attribute__((visibility("default"))) CUresult enqueue_when(CUstream stream, std::string name,
                                                             std::vector<MemoryRange> ranges,
                                                             std::function<bool()> ready,
                                                             std::function<void()> run);

// The card whose context the calling thread has; -1: none.
__attribute__((visibility("default"))) int current_card();

// Tells of wrong use that the calling library found, on stderr and to FakeCuda::take_complaints().
__attribute__((visibility("default"))) void complain(const std::string& text);

}  // namespace trireme::fake_cuda
