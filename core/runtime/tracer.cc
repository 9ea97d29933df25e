#include "core/runtime/tracer.h"

#include <chrono>

namespace trireme {

int64_t Tracer::now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Tracer::add(const Span& what, int64_t begin_ns, int64_t end_ns) {
  MutexLock lock(mutex_);
  if (spans_.size() >= capacity_) {
    ++dropped_;
    return;
  }
  Span& span = spans_.emplace_back(what);
  span.step = step_;
  span.begin_ns = begin_ns;
  span.end_ns = end_ns;
}

void Tracer::set_step(int64_t step) {
  MutexLock lock(mutex_);
  step_ = step;
}

std::vector<Span> Tracer::spans() const {
  MutexLock lock(mutex_);
  return spans_;
}

size_t Tracer::dropped() const {
  MutexLock lock(mutex_);
  return dropped_;
}

}  // namespace trireme
