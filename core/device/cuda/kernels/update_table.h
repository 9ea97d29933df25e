// What an update kernel is told of the variables that it updates: for the host and for kernels.
#pragma once

#include <stdint.h>

namespace trireme::cuda {

// What the updates of one launch share. Null where the rule has none.
struct UpdateShared {
  const float* lr;
  const int64_t* step;
  const bool* only_if;  // false there: nothing changes
};

// Tensors of one launch, cut into chunks of kChunk elements. It travels as a kernel parameter, and
// these have 32764 bytes together (from CUDA 12.1 on, which any driver for CUDA 13 is).
template <int Slots>
struct UpdateTable {
  static constexpr int kTensors = 256;
  static constexpr int64_t kChunk = 2048;

  void* variable[kTensors];
  void* slots[Slots == 0 ? 1 : Slots][kTensors];
  const void* gradient[kTensors];
  int64_t count[kTensors];
  uint32_t first_chunk[kTensors];
  uint8_t gradient_kind[kTensors];  // GradientKind
  UpdateShared shared;
  uint32_t chunks;
  int32_t tensors;
};

// A variable whose rows are updated by number. given: [count, width].
template <int Slots>
struct SparseVariable {
  void* variable;
  void* slots[Slots == 0 ? 1 : Slots];
  const void* given;
  int64_t width;
  UpdateShared shared;
};

enum GradientKind : uint8_t { kOfVariable, kF16, kBF16 };

}  // namespace trireme::cuda
