#include "core/device/elementwise_op.h"
#include "core/device/elementwise_types.h"
#include "core/device/formulas.h"
#include "core/device/reference/index.h"

namespace trireme {
namespace {

// What an op computes, in WideType: a pointer, so that the loops are compiled for types, not for
// ops.
template <typename Wide, typename Result>
using BinaryFunction = Result (*)(Wide, Wide);
template <typename Wide, typename Result>
using UnaryFunction = Result (*)(Wide);

// y[i] = function(a[i], b[i]) with broadcasting; Out is T or bool.
template <typename T, typename Out>
PreparedKernel binary(const KernelSpec& spec, BinaryFunction<WideType<T>, WideType<Out>> function) {
  return {[a = spec.input_shape(0), b = spec.input_shape(1), y = spec.output_shape(),
           function](const KernelArgs& args) {
    for_each_index(y, [&](const Index& index, int64_t i) {
      const auto left = convert<WideType<T>>(args.in<T>(0)[broadcast_position(a, y.rank(), index)]);
      const auto right =
          convert<WideType<T>>(args.in<T>(1)[broadcast_position(b, y.rank(), index)]);
      args.out<Out>()[i] = convert<Out>(function(left, right));
    });
  }};
}

template <typename T, typename Out>
PreparedKernel unary(const KernelSpec& spec, UnaryFunction<WideType<T>, WideType<Out>> function) {
  return {[n = spec.output_shape().elements(), function](const KernelArgs& args) {
    for (int64_t i = 0; i < n; ++i) {
      args.out<Out>()[i] = convert<Out>(function(convert<WideType<T>>(args.in<T>(0)[i])));
    }
  }};
}

template <typename T>
PreparedKernel select(const KernelSpec& spec) {
  return {[c = spec.input_shape(0), a = spec.input_shape(1), b = spec.input_shape(2),
           y = spec.output_shape()](const KernelArgs& args) {
    for_each_index(y, [&](const Index& index, int64_t i) {
      const bool condition = args.in<bool>(0)[broadcast_position(c, y.rank(), index)];
      args.out<T>()[i] = condition ? args.in<T>(1)[broadcast_position(a, y.rank(), index)]
                                   : args.in<T>(2)[broadcast_position(b, y.rank(), index)];
    });
  }};
}

template <typename From>
PreparedKernel cast(const KernelSpec& spec) {
  const int64_t n = spec.output_shape().elements();
  const auto to = [n]<typename To>(To) -> PreparedKernel {
    return {[n](const KernelArgs& args) {
      for (int64_t i = 0; i < n; ++i) args.out<To>()[i] = convert<To>(args.in<From>(0)[i]);
    }};
  };
  switch (spec.outputs[0].dtype) {
    case DType::kFloat16:
      return to(Half());
    case DType::kBFloat16:
      return to(BFloat16());
    case DType::kFloat32:
      return to(float());
    case DType::kFloat64:
      return to(double());
    case DType::kInt32:
      return to(int32_t());
    case DType::kInt64:
      return to(int64_t());
    case DType::kUInt8:
      return to(uint8_t());
    default:
      return to(bool());
  }
}

template <typename T>
PreparedKernel fill_like(const KernelSpec& spec) {
  return {[n = spec.output_shape().elements(),
           value = spec.attribute<double>("value")](const KernelArgs& args) {
    for (int64_t i = 0; i < n; ++i) args.out<T>()[i] = convert<T>(value);
  }};
}

// By the formula of its row, in WideType.
template <typename Formula>
void add_formula(KernelTable& table) {
  add_for_numbers<Formula::kNumbers>(table, Formula::kName, kReferenceKind,
                                     []<typename T>(const KernelSpec& spec) {
                                       using Result = typename Formula::template Result<T>;
                                       const auto function = &Formula::template apply<WideType<T>>;
                                       if constexpr (Formula::kInputs == 1) {
                                         return unary<T, Result>(spec, function);
                                       } else {
                                         return binary<T, Result>(spec, function);
                                       }
                                     });
}

}  // namespace

void register_reference_elementwise(KernelTable& table) {
#define TRIREME_UNARY(op, ...) add_formula<formulas::op##Formula>(table);
#define TRIREME_BINARY(op, ...) add_formula<formulas::op##Formula>(table);
#include "core/ops/elementwise_rows.h"
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "Select", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return select<T>(spec); });
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "Cast", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return cast<T>(spec); });
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "FillLike", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return fill_like<T>(spec); });
}

void add_reference_elementwise(KernelTable& table, const ElementwiseOp& op) {
  for (const ElementwiseLoop& loop : op.loops) {
    add_kernel(table, op.definition.name, kReferenceKind, loop.dtype,
               [compute = loop.in_wide_type](const KernelSpec& spec) -> PreparedKernel {
                 return {[=, types = spec.inputs, y = spec.outputs[0]](const KernelArgs& args) {
                   for_each_index(y.shape, [&](const Index& index, int64_t i) {
                     const void* elements[2] = {};
                     const int64_t strides[2] = {};
                     for (size_t k = 0; k < types.size(); ++k) {
                       const int64_t at = broadcast_position(types[k].shape, y.shape.rank(), index);
                       elements[k] = args.in<char>(static_cast<int>(k)) +
                                     static_cast<size_t>(at) * size_of(types[k].dtype);
                     }
                     compute(elements, strides,
                             args.out<char>() + static_cast<size_t>(i) * size_of(y.dtype), 1);
                   });
                 }};
               });
  }
}

}  // namespace trireme
