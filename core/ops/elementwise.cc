// Elementwise arithmetic, comparisons and logic, with NumPy broadcasting.
//
// Gradients of broadcast inputs are summed back to the input's shape (unbroadcast). Each op stands
// with its gradient; the shape rules are the same for all of a kind.
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

using GradientRule = std::function<void(GradientContext&)>;

Types infer_arithmetic(const InferenceContext& c) {
  c.require_same_dtype();
  c.require(is_floating(c.dtype(0)) || is_integer(c.dtype(0)), "numbers");
  return {{c.dtype(0), broadcast(c.shape(0), c.shape(1))}};
}

OpDef binary(std::string name, bool is_commutative, GradientRule gradient) {
  return {
      .name = std::move(name),
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = infer_arithmetic,
      .gradient = std::move(gradient),
      .traits = {.in_place_inputs = {0, 1},
                 .is_commutative = is_commutative,
                 .is_elementwise = true},
  };
}

// Smooth functions are for floating-point numbers only; the others take integers too.
OpDef unary(std::string name, bool only_floating, GradientRule gradient) {
  return {
      .name = std::move(name),
      .min_inputs = 1,
      .max_inputs = 1,
      .infer =
          [only_floating](const InferenceContext& c) {
            if (only_floating) c.require_floating();
            c.require(is_floating(c.dtype(0)) || is_integer(c.dtype(0)), "numbers");
            return Types{c.input(0)};
          },
      .gradient = std::move(gradient),
      .traits = {.in_place_inputs = {0}, .is_elementwise = true},
  };
}

// Comparisons give bool and have no gradient.
OpDef comparison(std::string name, bool is_commutative) {
  return {
      .name = std::move(name),
      .min_inputs = 2,
      .max_inputs = 2,
      .infer =
          [](const InferenceContext& c) {
            c.require_same_dtype();
            c.require(c.dtype(0) != DType::kString, "numbers");
            return Types{{DType::kBool, broadcast(c.shape(0), c.shape(1))}};
          },
      .traits = {.is_commutative = is_commutative, .is_elementwise = true},
  };
}

OpDef logical(std::string name, int inputs) {
  return {
      .name = std::move(name),
      .min_inputs = inputs,
      .max_inputs = inputs,
      .infer =
          [](const InferenceContext& c) {
            c.require_same_dtype();
            c.require(c.dtype(0) == DType::kBool, "bool inputs");
            return Types{{DType::kBool,
                          c.input_count() == 1 ? c.shape(0) : broadcast(c.shape(0), c.shape(1))}};
          },
      .traits = {.in_place_inputs = inputs == 1 ? std::vector{0} : std::vector{0, 1},
                 .is_commutative = inputs == 2,
                 .is_elementwise = true},
  };
}

void set_binary_grad(GradientContext& g, Value a, Value b) {
  g.set_grad(0, unbroadcast(a, g.input(0)));
  g.set_grad(1, unbroadcast(b, g.input(1)));
}

Value constant_like(Value x, double value) { return scalar(x.graph(), x.dtype(), value); }

OpDef add_op() {
  return binary("Add", true, [](GradientContext& g) {
    set_binary_grad(g, g.grad_of_output(), g.grad_of_output());
  });
}

OpDef subtract_op() {
  return binary("Subtract", false, [](GradientContext& g) {
    // Negated after summing: the smaller of the two.
    g.set_grad(0, unbroadcast(g.grad_of_output(), g.input(0)));
    g.set_grad(1, negate(unbroadcast(g.grad_of_output(), g.input(1))));
  });
}

OpDef multiply_op() {
  return binary("Multiply", true, [](GradientContext& g) {
    set_binary_grad(g, g.grad_of_output() * g.input(1), g.grad_of_output() * g.input(0));
  });
}

// Integers divide as in C++, towards zero; an integer divided by 0 is 0.
OpDef divide_op() {
  return binary("Divide", false, [](GradientContext& g) {
    const Value quotient = g.grad_of_output() / g.input(1);
    set_binary_grad(g, quotient, negate(quotient * g.output(0)));
  });
}

// Where both are equal, the whole gradient belongs to the first.
OpDef maximum_op() {
  return binary("Maximum", true, [](GradientContext& g) {
    const Value first = greater_equal(g.input(0), g.input(1));
    const Value grad = g.grad_of_output(), zero = constant_like(grad, 0);
    set_binary_grad(g, select(first, grad, zero), select(first, zero, grad));
  });
}

OpDef minimum_op() {
  return binary("Minimum", true, [](GradientContext& g) {
    const Value first = less_equal(g.input(0), g.input(1));
    const Value grad = g.grad_of_output(), zero = constant_like(grad, 0);
    set_binary_grad(g, select(first, grad, zero), select(first, zero, grad));
  });
}

// a^b. The gradient to the exponent counts as zero where a ≤ 0, where log(a) is no number.
OpDef power_op() {
  return binary("Power", false, [](GradientContext& g) {
    const Value a = g.input(0), b = g.input(1), grad = g.grad_of_output();
    const Value da = grad * b * power(a, b - constant_like(b, 1));
    const Value safe = select(greater(a, constant_like(a, 0)), a, constant_like(a, 1));
    set_binary_grad(g, da, grad * g.output(0) * log(safe));
  });
}

OpDef negate_op() {
  return unary("Negate", false,
               [](GradientContext& g) { g.set_grad(0, negate(g.grad_of_output())); });
}

OpDef abs_op() {
  return unary("Abs", false,
               [](GradientContext& g) { g.set_grad(0, g.grad_of_output() * sign(g.input(0))); });
}

OpDef square_op() {
  return unary("Square", false, [](GradientContext& g) {
    g.set_grad(0, g.grad_of_output() * (g.input(0) * constant_like(g.input(0), 2)));
  });
}

OpDef exp_op() {
  return unary("Exp", true,
               [](GradientContext& g) { g.set_grad(0, g.grad_of_output() * g.output(0)); });
}

OpDef log_op() {
  return unary("Log", true,
               [](GradientContext& g) { g.set_grad(0, g.grad_of_output() / g.input(0)); });
}

OpDef sqrt_op() {
  return unary("Sqrt", true, [](GradientContext& g) {
    g.set_grad(0, g.grad_of_output() * constant_like(g.output(0), 0.5) / g.output(0));
  });
}

// 1/√x
OpDef rsqrt_op() {
  return unary("Rsqrt", true, [](GradientContext& g) {
    const Value y = g.output(0);
    g.set_grad(0, g.grad_of_output() * (square(y) * y * constant_like(y, -0.5)));
  });
}

OpDef reciprocal_op() {
  return unary("Reciprocal", true, [](GradientContext& g) {
    g.set_grad(0, negate(g.grad_of_output() * square(g.output(0))));
  });
}

OpDef tanh_op() {
  return unary("Tanh", true, [](GradientContext& g) {
    const Value y = g.output(0);
    g.set_grad(0, g.grad_of_output() * (constant_like(y, 1) - square(y)));
  });
}

OpDef sigmoid_op() {
  return unary("Sigmoid", true, [](GradientContext& g) {
    const Value y = g.output(0);
    g.set_grad(0, g.grad_of_output() * (y * (constant_like(y, 1) - y)));
  });
}

OpDef relu_op() {
  return unary("Relu", false, [](GradientContext& g) {
    // From the output, so that the input can be overwritten in the forward pass.
    g.set_grad(0, build("ReluGrad", {g.grad_of_output(), g.output(0)}));
  });
}

// grad where y > 0, else 0. One op rather than select(greater(y, 0), …): it is what most backward
// passes consist of.
OpDef relu_grad_op() {
  return {
      .name = "ReluGrad",
      .min_inputs = 2,
      .max_inputs = 2,
      .infer =
          [](const InferenceContext& c) {
            c.require_same_dtype();
            c.require(compatible(c.shape(0), c.shape(1)), "two inputs of one shape");
            return Types{c.input(0)};
          },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, build("ReluGrad", {g.grad_of_output(), g.input(1)}));
          },
      .traits = {.in_place_inputs = {0, 1}, .is_elementwise = true},
  };
}

// −1, 0 or 1; constant almost everywhere, so without a gradient.
OpDef sign_op() { return unary("Sign", false, nullptr); }

// log(1 + e^x)
OpDef softplus_op() {
  return unary("Softplus", true,
               [](GradientContext& g) { g.set_grad(0, g.grad_of_output() * sigmoid(g.input(0))); });
}

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

Value add(Value a, Value b) { return build("Add", {a, b}); }
Value subtract(Value a, Value b) { return build("Subtract", {a, b}); }
Value multiply(Value a, Value b) { return build("Multiply", {a, b}); }
Value divide(Value a, Value b) { return build("Divide", {a, b}); }
Value maximum(Value a, Value b) { return build("Maximum", {a, b}); }
Value minimum(Value a, Value b) { return build("Minimum", {a, b}); }
Value power(Value a, Value b) { return build("Power", {a, b}); }
Value negate(Value x) { return build("Negate", {x}); }
Value abs(Value x) { return build("Abs", {x}); }
Value square(Value x) { return build("Square", {x}); }
Value exp(Value x) { return build("Exp", {x}); }
Value log(Value x) { return build("Log", {x}); }
Value sqrt(Value x) { return build("Sqrt", {x}); }
Value rsqrt(Value x) { return build("Rsqrt", {x}); }
Value reciprocal(Value x) { return build("Reciprocal", {x}); }
Value tanh(Value x) { return build("Tanh", {x}); }
Value sigmoid(Value x) { return build("Sigmoid", {x}); }
Value relu(Value x) { return build("Relu", {x}); }
Value sign(Value x) { return build("Sign", {x}); }
Value softplus(Value x) { return build("Softplus", {x}); }
Value equal(Value a, Value b) { return build("Equal", {a, b}); }
Value not_equal(Value a, Value b) { return build("NotEqual", {a, b}); }
Value less(Value a, Value b) { return build("Less", {a, b}); }
Value less_equal(Value a, Value b) { return build("LessEqual", {a, b}); }
Value greater(Value a, Value b) { return build("Greater", {a, b}); }
Value greater_equal(Value a, Value b) { return build("GreaterEqual", {a, b}); }
Value logical_and(Value a, Value b) { return build("LogicalAnd", {a, b}); }
Value logical_or(Value a, Value b) { return build("LogicalOr", {a, b}); }
Value logical_not(Value x) { return build("LogicalNot", {x}); }
Value select(Value condition, Value when_true, Value when_false) {
  return build("Select", {condition, when_true, when_false});
}
Value cast(Value x, DType dtype) {
  return x.defined() && x.dtype() == dtype ? x : build("Cast", {x}, {{"dtype", dtype}});
}

}  // namespace trireme::ops

namespace trireme {

void register_elementwise_ops(OpTable& table) {
  using namespace ops;
  for (auto make : {add_op,       subtract_op, multiply_op,   divide_op, maximum_op, minimum_op,
                    power_op,     negate_op,   abs_op,        square_op, exp_op,     log_op,
                    sqrt_op,      rsqrt_op,    reciprocal_op, tanh_op,   sigmoid_op, relu_op,
                    relu_grad_op, sign_op,     softplus_op,   select_op, cast_op}) {
    table.add(make());
  }
  table.add(comparison("Equal", true));
  table.add(comparison("NotEqual", true));
  table.add(comparison("Less", false));
  table.add(comparison("LessEqual", false));
  table.add(comparison("Greater", false));
  table.add(comparison("GreaterEqual", false));
  table.add(logical("LogicalAnd", 2));
  table.add(logical("LogicalOr", 2));
  table.add(logical("LogicalNot", 1));
}

}  // namespace trireme
