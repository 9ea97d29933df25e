// What a library of host-compiled kernels and the fake driver tell each other.
//
// emulation.h fills a Module in each such library; the driver finds it by dlsym(kModuleSymbol),
// puts its Runtime there and runs the kernels thread by thread. Small, because every generated
// kernel is compiled with it: no standard library.
#pragma once

#include <stdint.h>

namespace trireme_fake {

struct Coordinates {
  uint32_t x, y, z;
};

struct Parameter {
  uint32_t bytes, alignment;
  bool pointer;
};

struct KernelEntry {
  const char* name;
  void (*function)();
  void (*call)(void (*function)(), void** arguments);
  const Parameter* parameters;
  int parameter_count;
  KernelEntry* next;
};

// What a thread of a block may ask of whoever runs it. `line` tells the places in a kernel apart.
struct Runtime {
  // __syncthreads(); with its forms that count: the sum of `value` over the block.
  uint32_t (*barrier)(uint32_t value, int line);
  // Waits for the warp; the values that its 32 lanes gave, valid until the lane's next exchange.
  const uint64_t* (*exchange)(uint32_t mask, uint64_t value, int line);
  [[noreturn]] void (*trap)();
};

struct Module {
  KernelEntry* kernels;
  const Runtime* runtime;
  // Of the thread that runs now, set by the driver.
  Coordinates thread, block, block_size, grid_size;
};

inline constexpr const char* kModuleSymbol = "trireme_fake_module";

}  // namespace trireme_fake
