// Elementwise ops, with NumPy broadcasting: what follows from the rows of elementwise_rows.h, and
// the two ops that are no formula of numbers of one type.
//
// Gradients of broadcast inputs are summed back to the input's shape (unbroadcast).
#include "core/ops/elementwise_definition.h"
#include "core/ops/register.h"

namespace trireme {
namespace {

void require_numbers(const InferenceContext& c, Numbers numbers) {
  c.require_same_dtype();
  switch (numbers) {
    case Numbers::kReal:
      return c.require_floating();
    case Numbers::kAny:
      return c.require(takes(numbers, c.dtype(0)), "numbers");
    case Numbers::kCompared:
      return c.require(takes(numbers, c.dtype(0)), "numbers");
    case Numbers::kLogical:
      return c.require(takes(numbers, c.dtype(0)), "bool inputs");
  }
}

struct FormulaFunction {
  std::string_view name, source;
};
constexpr FormulaFunction kFormulaFunctions[] = {
#define TRIREME_FUNCTION(name, ...) {#name, #__VA_ARGS__},
#include "core/ops/elementwise_rows.h"
};

ElementwiseFormula formula(Numbers numbers, std::string real, std::string integer) {
  ElementwiseFormula made{.gives_bool = numbers == Numbers::kCompared};
  for (const FormulaFunction& function : kFormulaFunctions) {
    if (real.find(function.name) != std::string::npos ||
        integer.find(function.name) != std::string::npos) {
      made.functions += std::string(function.source) + "\n";
    }
  }
  if (takes(numbers, DType::kBool)) made.boolean = integer;
  if (takes(numbers, DType::kInt32)) made.integer = std::move(integer);
  if (takes(numbers, DType::kFloat32)) made.real = std::move(real);
  return made;
}

}  // namespace

bool takes(Numbers numbers, DType dtype) {
  if (dtype == DType::kString) return false;
  if (is_floating(dtype)) return numbers != Numbers::kLogical;
  if (is_integer(dtype)) return numbers == Numbers::kAny || numbers == Numbers::kCompared;
  return numbers == Numbers::kCompared || numbers == Numbers::kLogical;
}

OpDef unary_elementwise(std::string name, Numbers numbers, PrecisionClass precision,
                        std::string real, std::string integer, GradientRule gradient) {
  const bool gives_bool = numbers == Numbers::kCompared;
  return {
      .name = std::move(name),
      .min_inputs = 1,
      .max_inputs = 1,
      .infer =
          [numbers, gives_bool](const InferenceContext& c) {
            require_numbers(c, numbers);
            return ops::Types{{gives_bool ? DType::kBool : c.dtype(0), c.shape(0)}};
          },
      .gradient = std::move(gradient),
      .traits = {.in_place_inputs = gives_bool ? std::vector<int>{} : std::vector<int>{0},
                 .is_elementwise = true,
                 .precision = precision},
      .formula = formula(numbers, std::move(real), std::move(integer)),
  };
}

OpDef binary_elementwise(std::string name, Numbers numbers, PrecisionClass precision,
                         OperandOrder order, std::string real, std::string integer,
                         GradientRule gradient) {
  const bool gives_bool = numbers == Numbers::kCompared;
  return {
      .name = std::move(name),
      .min_inputs = 2,
      .max_inputs = 2,
      .infer =
          [numbers, gives_bool](const InferenceContext& c) {
            require_numbers(c, numbers);
            return ops::Types{
                {gives_bool ? DType::kBool : c.dtype(0), broadcast(c.shape(0), c.shape(1))}};
          },
      .gradient = std::move(gradient),
      .traits = {.in_place_inputs = gives_bool ? std::vector<int>{} : std::vector<int>{0, 1},
                 .is_commutative = order == OperandOrder::kCommutative,
                 .is_elementwise = true,
                 .precision = precision},
      .formula = formula(numbers, std::move(real), std::move(integer)),
  };
}

namespace ops {

Value constant_like(Value x, double value) { return scalar(x.graph(), x.dtype(), value); }

#define TRIREME_UNARY(op, function, ...) \
  Value function(Value x) { return build(#op, {x}); }
#define TRIREME_BINARY(op, function, ...) \
  Value function(Value a, Value b) { return build(#op, {a, b}); }
#include "core/ops/elementwise_rows.h"

namespace {

// `a` where the condition (bool) holds, else `b`; all three broadcast.
OpDef select_op() {
  return {
      .name = "Select",
      .min_inputs = 3,
      .max_inputs = 3,
      .infer =
          [](const InferenceContext& c) {
            c.require(c.dtype(0) == DType::kBool, "a condition of bool");
            c.require(c.dtype(1) == c.dtype(2) && c.dtype(1) != DType::kString,
                      "two choices of one numeric dtype");
            const Shape choices = broadcast(c.shape(1), c.shape(2));
            return Types{{c.dtype(1), broadcast(c.shape(0), choices)}};
          },
      .gradient =
          [](GradientContext& g) {
            const Value grad = g.grad_of_output(), zero = constant_like(grad, 0);
            g.set_grad(1, unbroadcast(select(g.input(0), grad, zero), g.input(1)));
            g.set_grad(2, unbroadcast(select(g.input(0), zero, grad), g.input(2)));
          },
      .traits = {.in_place_inputs = {1, 2}, .is_elementwise = true, .kernel_dtype_input = 1},
  };
}

// Floating-point numbers become integers towards zero, and bool as "not zero".
OpDef cast_op() {
  return {
      .name = "Cast",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<DType>("dtype")},
      .infer =
          [](const InferenceContext& c) {
            const DType dtype = c.attribute<DType>("dtype");
            c.require(c.dtype(0) != DType::kString && dtype != DType::kString, "numbers");
            return Types{{dtype, c.shape(0)}};
          },
      .gradient =
          [](GradientContext& g) {
            if (is_floating(g.input(0).dtype())) {
              g.set_grad(0, cast(g.grad_of_output(), g.input(0).dtype()));
            }
          },
      .traits = {.is_elementwise = true},
  };
}

}  // namespace

Value select(Value condition, Value when_true, Value when_false) {
  return build("Select", {condition, when_true, when_false});
}
Value cast(Value x, DType dtype) {
  return x.defined() && x.dtype() == dtype ? x : build("Cast", {x}, {{"dtype", dtype}});
}

}  // namespace ops

void register_elementwise_ops(OpTable& table) {
#define TRIREME_UNARY(op, function, numbers, ...) \
  table.add(TRIREME_UNARY_DEFINITION(op, numbers, __VA_ARGS__));
#define TRIREME_BINARY(op, function, numbers, ...) \
  table.add(TRIREME_BINARY_DEFINITION(op, numbers, __VA_ARGS__));
#include "core/ops/elementwise_rows.h"
  table.add(ops::select_op());
  table.add(ops::cast_op());
}

}  // namespace trireme
