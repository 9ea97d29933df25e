// Runs host-compiled kernels: block after block, and the threads of a block one after the other
// until one must wait.
//
// A thread that never waits costs a function call. One that waits keeps its stack (a Fiber) and the
// next thread begins on another. Blocks, and the threads in them, are taken forwards in one launch
// and backwards in the next, so that what relies on an order shows. All of it is called under the
// fake driver's lock.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/fake_cuda/fiber.h"
#include "tests/support/fake_cuda/module.h"

namespace trireme::fake_cuda {

using trireme_fake::Coordinates;
using trireme_fake::KernelEntry;
using trireme_fake::Module;

// Why work on the device ended early, in the words of cuda.h's errors.
struct DeviceFault {
  enum Kind { kIllegalAddress, kMisalignedAddress, kLaunchFailed } kind = kLaunchFailed;
  std::string what;
};

// A signal that the work raised, as the handler saw it.
struct RaisedSignal {
  int number = 0;
  uintptr_t address = 0;
};

class BlockRunner {
 public:
  // `explain` says what an address is: which allocation, how far out.
  explicit BlockRunner(std::function<std::string(uintptr_t)> explain);
  ~BlockRunner();

  std::optional<DeviceFault> run(Module& module, const KernelEntry& kernel, Coordinates grid,
                                 Coordinates block, void** arguments);
  // Any other work, with the same handling of its faults and exceptions.
  std::optional<DeviceFault> run_guarded(const std::function<void()>& work);

 private:
  struct Thread;
  struct Warp;
  static const trireme_fake::Runtime kRuntime;

  static void fiber_main(void* runner);
  DeviceFault explain(const RaisedSignal& raised) const;
  static void land();  // where a signal handler sends the work that raised a signal
  void take_threads();
  bool run_block();
  Fiber& idle_fiber();
  uint32_t wait_for_block(uint32_t value, int line);
  const uint64_t* wait_for_warp(uint32_t mask, uint64_t value, int line);
  void select(uint32_t thread);
  void suspend_thread();
  [[noreturn]] void fail(std::string what);
  std::string divergence() const;
  std::string place() const;  // "thread (3, 0, 0) of block (1, 0, 0)"

  std::function<std::string(uintptr_t)> explain_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
  Fiber* running_ = nullptr;  // null: no work runs
  std::optional<DeviceFault> fault_;

  // Of the work that runs.
  const std::function<void()>* guarded_ = nullptr;
  Module* module_ = nullptr;
  const KernelEntry* kernel_ = nullptr;
  void** arguments_ = nullptr;
  bool backwards_ = false, waited_ = false;
  uint64_t launches_ = 0;
  std::map<const KernelEntry*, bool> waits_;  // by kernel: whether one of its blocks ever waited

  // Of the block that runs.
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<uint32_t> ready_;
  uint32_t count_ = 0, next_ = 0, finished_ = 0, current_ = 0;
  uint32_t at_barrier_ = 0, barrier_sum_ = 0, barrier_result_ = 0;
  int barrier_line_ = 0;
};

}  // namespace trireme::fake_cuda
