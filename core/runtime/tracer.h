// When each kernel of a session ran: what a timeline is drawn from.
//
// Kernels of several streams write at once; each stream has a lane of its own. Costs two readings
// of the clock a kernel, and nothing when a session has no tracer. Keeps the first `capacity`
// spans.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/thread_annotations.h"

namespace trireme {

struct Span {
  std::string name;       // of the node
  std::string operation;  // "MatMul"
  std::string device;     // "/device:CPU:0"
  int stream = 0;         // kComputeStream or kCommunicationStream
  std::string label;      // of a collective: the bucket
  int64_t step = 0;
  int64_t begin_ns = 0, end_ns = 0;  // of Tracer::now_ns()
};

class Tracer {
 public:
  explicit Tracer(size_t capacity = 200'000) : capacity_(capacity) {}

  static int64_t now_ns();  // the steady clock of this machine
  // `what` with its times filled in.
  void add(const Span& what, int64_t begin_ns, int64_t end_ns) EXCLUDES(mutex_);
  // Spans that follow belong to this step.
  void set_step(int64_t step) EXCLUDES(mutex_);

  std::vector<Span> spans() const EXCLUDES(mutex_);
  size_t dropped() const EXCLUDES(mutex_);  // for want of capacity

 private:
  const size_t capacity_;
  mutable Mutex mutex_;
  std::vector<Span> spans_ GUARDED_BY(mutex_);
  size_t dropped_ GUARDED_BY(mutex_) = 0;
  int64_t step_ GUARDED_BY(mutex_) = 0;
};

}  // namespace trireme
