// The definition of an elementwise op out of the columns of a row (core/ops/elementwise_rows.h says
// what they are): shape rule by broadcasting, gradient, traits and the text of its formula.
#pragma once

#include <functional>
#include <string>

#include "core/graph/op_def.h"
#include "core/ops/elementwise_formula.h"
#include "core/ops/ops.h"
#include "core/ops/rules.h"

namespace trireme {

enum class OperandOrder { kOrdered, kCommutative };

using GradientRule = std::function<void(GradientContext&)>;

// `gradient` may be null.
OpDef unary_elementwise(std::string name, Numbers numbers, PrecisionClass precision,
                        std::string real, std::string integer, GradientRule gradient);
OpDef binary_elementwise(std::string name, Numbers numbers, PrecisionClass precision,
                         OperandOrder order, std::string real, std::string integer,
                         GradientRule gradient);

// Whether an op that takes such numbers takes `dtype`.
bool takes(Numbers numbers, DType dtype);

}  // namespace trireme

// An OpDef out of a row.
#define TRIREME_UNARY_DEFINITION(op, numbers, precision, real, integer, ...)                     \
  ::trireme::unary_elementwise(                                                                  \
      #op, ::trireme::Numbers::numbers, ::trireme::PrecisionClass::precision, #real, #integer,   \
      ::trireme::GradientRule(__VA_OPT__([](::trireme::GradientContext& g) {                     \
        using namespace ::trireme::ops;                                                          \
        using ::trireme::Value;                                                                  \
        [[maybe_unused]] const Value x = g.input(0), y = g.output(0), grad = g.grad_of_output(); \
        [[maybe_unused]] const auto set = [&g](Value dx) { g.set_grad(0, dx); };                 \
        __VA_ARGS__;                                                                             \
      })))
#define TRIREME_BINARY_DEFINITION(op, numbers, precision, order, real, integer, ...)  \
  ::trireme::binary_elementwise(                                                      \
      #op, ::trireme::Numbers::numbers, ::trireme::PrecisionClass::precision,         \
      ::trireme::OperandOrder::order, #real, #integer,                                \
      ::trireme::GradientRule(__VA_OPT__([](::trireme::GradientContext& g) {          \
        using namespace ::trireme::ops;                                               \
        using ::trireme::Value;                                                       \
        [[maybe_unused]] const Value a = g.input(0), b = g.input(1), y = g.output(0), \
                                     grad = g.grad_of_output();                       \
        [[maybe_unused]] const auto set = [&](Value da, Value db) {                   \
          g.set_grad(0, unbroadcast(da, a));                                          \
          g.set_grad(1, unbroadcast(db, b));                                          \
        };                                                                            \
        __VA_ARGS__;                                                                  \
      })))
