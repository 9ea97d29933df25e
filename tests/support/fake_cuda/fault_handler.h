// Turns SIGSEGV, SIGBUS, SIGILL and SIGFPE that device work raises into errors of that work, and
// says which host code touched device memory. Other signals go where they went before.
#pragma once

#include <optional>

#include "tests/support/fake_cuda/block_runner.h"

namespace trireme::fake_cuda {

class FaultHandler {
 public:
  // Sets the handlers where they are not set. Cheap when they are.
  static void install();

  // While it lives, a signal that the calling thread raises goes on in `landing`, on the stack on
  // which it was raised; take() there gives the signal.
  class Work {
   public:
    Work(BlockRunner& runner, void (*landing)());
    ~Work();
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;
  };
  static std::optional<RaisedSignal> take();

  // Says whether an address is device memory, to tell of host code that touches it. Called in a
  // signal handler.
  static void set_device_memory_test(bool (*is_device_memory)(uintptr_t));
};

}  // namespace trireme::fake_cuda
