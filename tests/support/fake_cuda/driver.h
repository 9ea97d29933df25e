// The state of the fake driver: cards, streams, events, captures, graphs. All under one lock.
//
// An exported function is one call(…): it locks, looks whether it is allowed now, runs its body,
// and turns Refusal into the CUresult that a real driver returns, told on stderr when it means that
// the program is wrong.
#pragma once

#include <cuda.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fake_cuda/block_runner.h"
#include "tests/support/fake_cuda/fake_cuda.h"
#include "tests/support/fake_cuda/memory.h"
#include "tests/support/fake_cuda/scheduler.h"

namespace trireme::fake_cuda {

struct Card {
  CUresult error = CUDA_SUCCESS;  // once it is not, the card is lost, as a real one is
  std::string error_text;
  int retained = 0;
  std::set<int> peers;
};

// Work that a capture has recorded. Nodes come after those of `after`.
struct GraphNode {
  std::shared_ptr<const Work> work;
  int card = 0;
  std::vector<size_t> after;
};

struct Capture {
  CUstream origin = nullptr;
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  std::thread::id thread;
  std::vector<GraphNode> nodes;
  std::set<CUstream> streams;
  bool ended = false;
  std::string invalid;  // why, when it is
};

}  // namespace trireme::fake_cuda

// The types that cuda.h leaves open.
struct CUctx_st {
  int card = 0;
};
struct CUstream_st {
  CUcontext context = nullptr;
  trireme::fake_cuda::OperationPtr last;
  std::shared_ptr<trireme::fake_cuda::Capture> capture;
  std::set<size_t> tips;  // of the capture: what the next node comes after
};
struct CUevent_st {
  CUcontext context = nullptr;
  bool timed = true;
  trireme::fake_cuda::OperationPtr record;
  std::shared_ptr<trireme::fake_cuda::Capture> capture;  // when it was last recorded in one
  std::set<size_t> tips;
};
struct CUgraphNode_st {
  trireme::fake_cuda::GraphNode node;
};
struct CUgraph_st {
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;
};
struct CUgraphExec_st {
  std::vector<trireme::fake_cuda::GraphNode> nodes;
  trireme::fake_cuda::OperationPtr last;
};
struct CUkern_st {
  trireme::fake_cuda::Module* module = nullptr;
  const trireme::fake_cuda::KernelEntry* entry = nullptr;
  int max_dynamic_shared = 48 << 10;
};
struct CUlib_st {
  std::map<std::string, std::unique_ptr<CUkern_st>> kernels;
  void* handle = nullptr;  // of dlopen
};

namespace trireme::fake_cuda {

struct Refusal {
  CUresult result;
  std::string why;
};
[[noreturn]] inline void refuse(CUresult result, std::string why) {
  throw Refusal{result, std::move(why)};
}

using Lock = std::unique_lock<std::mutex>;

class Driver : public Scheduler::Owner {
 public:
  Driver();
  bool failed(int card) const override;
  void fail(int card, const DeviceFault& fault) override;
  void complain(const std::string& text);

  // Throws Refusal when the handle is unknown.
  CUstream_st& stream(CUstream handle);
  CUevent_st& event(CUevent handle);
  // Also throws when the calling thread's context is of another card.
  CUstream_st& stream_of_current(CUstream handle);
  // Throws when [address, address + bytes) is not in one allocation that `card` may use.
  void require_device_memory(uintptr_t address, size_t bytes, int card, const std::string& what);
  // Enqueues on the stream, or records when it captures.
  void enqueue(CUstream_st& stream, std::shared_ptr<const Work> work);
  // Throws when the calling thread's captures forbid a call that waits or allocates, and
  // invalidates them.
  void forbid_in_capture();
  void forbid_on_captured(CUstream_st& stream);
  // Throws the error of a card that has failed.
  void require_sound(int card) const;

  std::mutex mutex;
  bool initialized = false;
  size_t memory_bytes = 0;
  std::vector<Card> cards;
  std::vector<std::unique_ptr<CUctx_st>> contexts;
  Memory memory;
  BlockRunner runner;
  Scheduler scheduler;
  std::map<CUstream, std::unique_ptr<CUstream_st>> streams;
  std::map<CUevent, std::unique_ptr<CUevent_st>> events;
  std::map<CUgraph, std::unique_ptr<CUgraph_st>> graphs;
  std::map<CUgraphExec, std::unique_ptr<CUgraphExec_st>> executables;
  std::map<CUlibrary, std::unique_ptr<CUlib_st>> libraries;
  std::map<const void*, CUkern_st*> kernels;  // of all libraries
  std::set<std::shared_ptr<Capture>> captures;
  std::vector<std::string> complaints;
};

// Made at the first call, never destroyed: other libraries' destructors still call it.
Driver& driver();

inline thread_local CUcontext current_context = nullptr;
// While the calling thread runs a function that was enqueued for the host.
inline thread_local bool in_host_function = false;
CUctx_st& require_context();  // throws Refusal when the calling thread has none

// The calling thread's last refusal, for cuGetErrorString.
struct LastError {
  CUresult result = CUDA_SUCCESS;
  std::string why, text;
};
LastError& last_error();

enum CallRule {
  kAnyTime,  // before cuInit, too
  kInitialized,
  kInContext,    // needs a current context whose card has not failed
  kNotCapturing  // the same, and may not come while a capture forbids it
};
CUresult call(const char* function, CallRule rule,
              const std::function<void(Driver& driver, Lock& lock)>& body);

}  // namespace trireme::fake_cuda
