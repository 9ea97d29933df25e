// Elementwise ops as CUDA C++: the kernel that a chain of them becomes. What an op computes is said
// by OpDef::formula. Private to core/device/cuda.
//
// The source includes nothing, so that NVRTC needs no files; the same text compiles for the host
// with the header that emulates CUDA C++ in tests. It depends on the chain, on dtypes and on how
// shapes broadcast; sizes that only say how much there is (the batch) are arguments, so that most
// batches share a kernel. Functions, callable from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/ops/elementwise_chain.h"

namespace trireme::cuda {

// Whether a chain computes `op` for inputs of `dtype` (of OpTraits::kernel_dtype_input).
bool has_chain_op(const OpDef& op, DType dtype);

// A kernel `name` with an address for each input, then for each output, then `long long count`, the
// elements of an output. A thread takes `per_thread` elements at a time. Addresses are aligned to
// 16 bytes; output 0 may be one of the inputs, when it has as many elements.
struct ChainSource {
  std::string name;
  std::string text;
  int64_t count = 0;
  int per_thread = 1;
};

// `types`: of all values of the chain, as chain_types() gives them, of known shapes. `ops`: where
// its steps stand. Floats of 16
// bits are computed in f32 from the first op to the last and rounded where they are stored: a chain
// is no less exact than its ops one by one, but not bit for bit the same.
ChainSource generate_chain(const Chain& chain, std::span<const TensorType> types,
                           const OpTable& ops);

}  // namespace trireme::cuda
