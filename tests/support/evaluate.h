// A tiny interpreter over a kernel table, for tests of ops without the runtime.
//
// It runs the nodes that the fetches need, one after another in the order in which they were built,
// allocates as it goes and never works in place. Views share the memory of their input, as they do
// in the runtime.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "core/graph/graph.h"

namespace trireme {
class KernelTable;
}

namespace trireme::testing {

// What placeholders and variables hold. An op that mutates its input writes through to the tensor
// that was fed.
using Feeds = std::vector<std::pair<Value, Tensor>>;

// The value of each fetch. Throws Error{kNotFound} naming the node when there is no kernel for it
// or nothing was fed.
std::vector<Tensor> evaluate(const std::vector<Value>& fetches, const Feeds& feeds,
                             std::string_view device_kind, const KernelTable& kernels);

// The kernels of the kinds "reference" and "cpu", registered once for the whole test program.
const KernelTable& test_kernels();

// As above with the kernels of test_kernels().
std::vector<Tensor> evaluate(const std::vector<Value>& fetches, const Feeds& feeds,
                             std::string_view device_kind = "reference");

// Uniform numbers in [low, high) (whole numbers for integer dtypes, either for bool), drawn by
// Philox from `seed`.
Tensor random_tensor(DType dtype, const Shape& shape, double low, double high, uint64_t seed);

// Empty when |actual − expected| ≤ tolerance · (1 + |expected|) everywhere (exactly equal for
// integers), else a sentence that names the first element that differs. NaN equals NaN.
std::string difference(const Tensor& actual, const Tensor& expected, double tolerance);

}  // namespace trireme::testing
