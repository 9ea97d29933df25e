// Keras's operations that are layers of the kind `operation`, both ways: where several rows have
// one operation, the first is written.
#pragma once

#include <array>
#include <string_view>

#include "core/nn/operation_layers.h"

namespace trireme::formats {

struct OperationRow {
  std::string_view keras;
  nn::Operation op;
};
inline constexpr auto kBinaryOperations = std::to_array<OperationRow>({
    {"Add", nn::Operation::kAdd},
    {"Subtract", nn::Operation::kSubtract},
    {"Multiply", nn::Operation::kMultiply},
    {"TrueDivide", nn::Operation::kDivide},
    {"Divide", nn::Operation::kDivide},
    {"Maximum", nn::Operation::kMaximum},
    {"Minimum", nn::Operation::kMinimum},
    {"Power", nn::Operation::kPower},
    {"Equal", nn::Operation::kEqual},
    {"NotEqual", nn::Operation::kNotEqual},
    {"Greater", nn::Operation::kGreater},
    {"Less", nn::Operation::kLess},
    {"Matmul", nn::Operation::kMatmul},
});
inline constexpr auto kOperationsAlongAxes = std::to_array<OperationRow>({
    {"Sum", nn::Operation::kSum},
    {"Mean", nn::Operation::kMean},
    {"Max", nn::Operation::kMax},
    {"Min", nn::Operation::kMin},
    {"Prod", nn::Operation::kProduct},
    {"Cumsum", nn::Operation::kCumsum},
    {"ExpandDims", nn::Operation::kExpandDims},
    {"Squeeze", nn::Operation::kSqueeze},
});
inline constexpr auto kUnaryOperations = std::to_array<OperationRow>({
    {"Abs", nn::Operation::kAbs},
    {"Absolute", nn::Operation::kAbs},
    {"Square", nn::Operation::kSquare},
    {"Sqrt", nn::Operation::kSqrt},
    {"Exp", nn::Operation::kExp},
    {"Log", nn::Operation::kLog},
    {"OnesLike", nn::Operation::kOnesLike},
    {"ZerosLike", nn::Operation::kZerosLike},
});

}  // namespace trireme::formats
