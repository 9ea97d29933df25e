// An elementwise op of a program outside the tree: one row, as those of
// core/ops/elementwise_rows.h.
//
//   namespace acme {
//   // x · tanh(log(1 + e^x))
//   TRIREME_UNARY_OP(Mish, mish, kReal, kWide, a * tanh(log1p(exp(a))), T(),
//                    const Value t = tanh(softplus(x));
//                    set(grad * (t + x * sigmoid(x) * (constant_like(t, 1) - square(t)))))
//   }
//
// makes acme::mish(x), which builds a node, and acme::mish_op(), which is to be made known to the
// graphs, `ops.add(acme::mish_op().definition)`, and to the devices, `add_elementwise_kernels(
// kernels, acme::mish_op())`. It then is as good as the ops of the tree: it broadcasts, is fused
// into chains, is differentiated, and runs on every kind of device. The CPU's loop is compiled with
// the program: build it for the processors that it is for (-march=x86-64-v3 -O3 -fno-math-errno).
#pragma once

#include <cstdint>
#include <vector>

#include "core/device/elementwise_loops.h"
#include "core/device/elementwise_types.h"
#include "core/ops/elementwise_definition.h"

namespace trireme {

// How one dtype is computed.
struct ElementwiseLoop {
  // y[i] = formula(inputs[0][i · strides[0]], …) for i < n, where each stride is 0 or 1.
  using Function = void (*)(const void* const* inputs, const int64_t* strides, void* y, int64_t n);

  DType dtype;
  Function in_own_type;   // as ComputeType says, for the CPU
  Function in_wide_type;  // as WideType says, for the reference
};

struct ElementwiseOp {
  OpDef definition;
  std::vector<ElementwiseLoop> loops;
};

// Each in the folder of its kind of device. The last does nothing in a build without GPUs.
void add_reference_elementwise(KernelTable& table, const ElementwiseOp& op);
void add_cpu_elementwise(KernelTable& table, const ElementwiseOp& op);
void add_cuda_elementwise(KernelTable& table, const OpDef& op);

// Adds the op's kernels to a table that has those of the tree.
inline void add_elementwise_kernels(KernelTable& table, const ElementwiseOp& op) {
  add_reference_elementwise(table, op);
  add_cpu_elementwise(table, op);
  add_cuda_elementwise(table, op.definition);
}

template <typename Formula, typename T, typename C>
void elementwise_loop(const void* const* inputs, const int64_t* strides, void* y, int64_t n) {
  auto* const to = static_cast<typename Formula::template Result<T>*>(y);
  const T* const a = static_cast<const T*>(inputs[0]);
  if constexpr (Formula::kInputs == 1) {
    unary_loop<Formula, C>(a, to, n);
  } else {
    binary_loop<Formula, C>(a, strides[0], static_cast<const T*>(inputs[1]), strides[1], to, n);
  }
}

template <typename Formula>
ElementwiseOp make_elementwise_op(OpDef definition) {
  ElementwiseOp op{std::move(definition), {}};
  for_each_type_of<Formula::kNumbers>([&]<typename T>(T) {
    op.loops.push_back({dtype_of<T>, elementwise_loop<Formula, T, ComputeType<T>>,
                        elementwise_loop<Formula, T, WideType<T>>});
  });
  return op;
}

}  // namespace trireme

// What the columns are: core/ops/elementwise_rows.h.
#define TRIREME_UNARY_OP(op, function, numbers, precision, real, integer, ...)                     \
  namespace {                                                                                      \
  TRIREME_UNARY_FORMULA(op, numbers, real, integer)                                                \
  }                                                                                                \
  inline ::trireme::Value function(::trireme::Value x) { return ::trireme::ops::build(#op, {x}); } \
  inline ::trireme::ElementwiseOp function##_op() {                                                \
    return ::trireme::make_elementwise_op<op##Formula>(TRIREME_UNARY_DEFINITION(                   \
        op, numbers, precision, real, integer __VA_OPT__(, ) __VA_ARGS__));                        \
  }
#define TRIREME_BINARY_OP(op, function, numbers, precision, order, real, integer, ...) \
  namespace {                                                                          \
  TRIREME_BINARY_FORMULA(op, numbers, real, integer)                                   \
  }                                                                                    \
  inline ::trireme::Value function(::trireme::Value a, ::trireme::Value b) {           \
    return ::trireme::ops::build(#op, {a, b});                                         \
  }                                                                                    \
  inline ::trireme::ElementwiseOp function##_op() {                                    \
    return ::trireme::make_elementwise_op<op##Formula>(TRIREME_BINARY_DEFINITION(      \
        op, numbers, precision, order, real, integer __VA_OPT__(, ) __VA_ARGS__));     \
  }
