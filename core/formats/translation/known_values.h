// What importers of graphs work out while they read: sizes that depend on the batch, and values
// that follow from constants.
#pragma once

#include <cstdint>

#include "core/graph/graph.h"
#include "core/tensor/tensor.h"

namespace trireme {
class KernelTable;
}

namespace trireme::formats {

// constant + per_batch · (number of examples in the batch): the sizes that graphs compute with.
struct BatchNumber {
  int64_t constant = 0;
  int64_t per_batch = 0;

  bool is_constant() const { return per_batch == 0; }
  bool operator==(const BatchNumber&) const = default;
};

inline constexpr uint64_t kMostExample = uint64_t{1} << 36;  // bytes of a value, of one example
// Whether a value of `type` is of a size that a graph could have; of an unknown dimension 1 counts.
bool is_possible(const TensorType& type);

// The value of `wanted`, which follows from constants alone, by the reference kernels. Throws
// Error{kInvalidArgument} when an op has none, and for a value of more than `most_bytes` or of a
// size that is not known.
Tensor evaluate_constants(Value wanted, const KernelTable& kernels, uint64_t most_bytes);

}  // namespace trireme::formats
