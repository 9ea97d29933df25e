// Stacks to switch between on one thread of the host: a thread of a block waits on one.
//
// A fiber is entered by resume() and left by suspend(); both are told to the sanitizers. Not
// thread-safe: the fake driver's lock is held around all of it.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace trireme::fake_cuda {

class Fiber {
 public:
  // Runs `entry(argument)`, which must never return, at the first resume().
  Fiber(void (*entry)(void*), void* argument);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void resume();   // from outside of any fiber; returns when the fiber suspends
  void suspend();  // from this fiber
  // Forgets where the fiber was: the next resume() begins `entry` anew. No destructor on its stack
  // runs.
  void reset();

 private:
  struct Context;
  static void start(Fiber* fiber);

  void (*entry_)(void*);
  void* argument_;
  std::unique_ptr<Context> context_;
};

}  // namespace trireme::fake_cuda
