// Single operations as layers: what networks of other programs do between their layers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/nn/layer.h"

namespace trireme::nn {

enum class Operation : uint8_t {
  // Of one input along `axes`; without any: of an example's numbers.
  kSum,
  kMean,
  kMax,
  kMin,
  kProduct,
  kCumsum,  // along one axis
  // Of two inputs, or of one and `value`; shapes broadcast as in NumPy.
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kMaximum,
  kMinimum,
  kPower,
  kEqual,
  kNotEqual,
  kGreater,
  kLess,
  kMatmul,
  // Of one input, number by number.
  kAbs,
  kSquare,
  kSqrt,
  kExp,
  kLog,
  kOnesLike,
  kZerosLike,
  kFloat,  // as f32
  kInt,    // as i32, towards 0
  // Axes of size 1 at the places `axes` of the output, and those of the input left out.
  kExpandDims,
  kSqueeze,
};

struct OperationOptions {
  Operation function = Operation::kSum;
  std::vector<int64_t> axes = {};    // the batch is axis 0; negative: from the last
  bool keep_dims = false;            // of sums and the like: the axes stay, of size 1
  std::optional<double> value = {};  // in place of the second input
  bool value_first = false;          // it stands before the input
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class OperationLayer : public LayerOf<OperationOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "operation"; }
  bool keeps_mask() const override { return false; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};

}  // namespace trireme::nn
