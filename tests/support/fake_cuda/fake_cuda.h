// What tests ask of the fake CUDA driver (tests/support/fake_cuda): how often what ran, and which
// operation waited for which. Header-only: the fake is found in the driver that is loaded.
#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace trireme::fake_cuda {

enum class OperationKind {
  kKernel,
  kHostToDevice,
  kDeviceToHost,
  kDeviceToDevice,
  kPeerCopy,
  kMemset,
  kHostFunction,
  kMarker,  // an event, the begin or end of a graph
};

struct Statistics {
  std::map<std::string, int64_t> launches;  // by kernel; that of a library call has its name
  std::map<OperationKind, int64_t> operations, bytes;  // that ran, also those of graphs
  std::map<OperationKind, int64_t> graph_nodes;        // that ran in graphs
  int64_t graph_launches = 0, graphs_instantiated = 0;
  int64_t allocations = 0, frees = 0;                // of device memory
  int64_t pinned_allocations = 0, pinned_frees = 0;  // of page-locked host memory
  int64_t synchronizations = 0;                      // calls that waited for a stream or event
};

struct LoggedOperation {
  uint64_t id = 0;
  OperationKind kind = OperationKind::kMarker;
  std::string name;
  int card = 0;
  const void* stream = nullptr;  // the CUstream that it, or its graph, was enqueued on
  bool of_graph = false;
  size_t bytes = 0;
  uint64_t start = 0;           // the how manieth that ran
  std::vector<uint64_t> after;  // what it had to wait for: its stream's last, events
};

class FakeCuda {
 public:
  virtual ~FakeCuda() = default;
  // Since the last reset.
  virtual Statistics statistics() = 0;
  virtual void reset_statistics() = 0;
  // What has run since start_log(), in that order.
  virtual void start_log() = 0;
  virtual std::vector<LoggedOperation> stop_log() = 0;
  // What the fake refused as wrong use, or found wrong in a kernel, since the last call.
  virtual std::vector<std::string> take_complaints() = 0;
  // Lets cards that have failed go on, as no real driver does.
  virtual void revive() = 0;
  // Begins the order of what runs anew from a seed (TRIREME_FAKE_SEED).
  virtual void seed(uint64_t seed) = 0;
};

// Null, with a real driver or none. Opens the driver that the program would open. Where the build
// put the fake one before all others (TRIREME_EXPECT_FAKE_CUDA), throws when it is not found.
inline FakeCuda* fake_cuda() {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  void* get = driver ? dlsym(driver, "trireme_fake_cuda") : nullptr;
  if (get) return reinterpret_cast<FakeCuda* (*)()>(get)();
  if (getenv("TRIREME_EXPECT_FAKE_CUDA")) {
    const char* why = dlerror();
    throw std::runtime_error(std::string("no fake CUDA driver: ") + (why ? why : ""));
  }
  return nullptr;
}

// Whether `first` had to be done before `then` could start, by what `log` says of streams, events
// and graphs. Two of which neither is before the other overlap on a real GPU.
inline bool happens_before(const std::vector<LoggedOperation>& log, uint64_t first, uint64_t then) {
  std::map<uint64_t, const LoggedOperation*> by_id;
  for (const LoggedOperation& operation : log) by_id[operation.id] = &operation;
  std::vector<uint64_t> open = {then};
  std::map<uint64_t, bool> seen;
  while (!open.empty()) {
    const auto at = by_id.find(open.back());
    open.pop_back();
    if (at == by_id.end()) continue;
    for (const uint64_t id : at->second->after) {
      if (id == first) return true;
      if (!seen[id]) open.push_back(id);
      seen[id] = true;
    }
  }
  return false;
}

}  // namespace trireme::fake_cuda
