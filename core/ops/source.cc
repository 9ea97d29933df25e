// Where values come from: fed, kept, constant, or made from another's shape.
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

// A source has no inputs; its attributes are its type. A placeholder is fed at each run.
OpDef placeholder_op() {
  return {
      .name = "Placeholder",
      .attributes = {attribute<DType>("dtype"), attribute<Shape>("shape")},
      .infer =
          [](const InferenceContext& c) {
            return Types{{c.attribute<DType>("dtype"), c.attribute<Shape>("shape")}};
          },
      .traits = {.is_stateful = true, .kernel_dtype_input = -1, .source = Source::kFed},
  };
}

// A named value that outlives a run, kept in the variable store. Two nodes of one name are one
// variable.
OpDef variable_op() {
  return {
      .name = "Variable",
      .attributes = {attribute<DType>("dtype"), attribute<Shape>("shape"),
                     attribute<std::string>("name")},
      .infer =
          [](const InferenceContext& c) {
            const Shape& shape = c.attribute<Shape>("shape");
            c.require(shape.is_known(), "a variable's shape to be known");
            return Types{{c.attribute<DType>("dtype"), shape}};
          },
      .traits = {.is_stateful = true, .kernel_dtype_input = -1, .source = Source::kVariable},
  };
}

OpDef constant_op() {
  return {
      .name = "Constant",
      .attributes = {attribute<Tensor>("value")},
      .infer = [](const InferenceContext& c) { return Types{c.attribute<Tensor>("value").type()}; },
      .traits = {.kernel_dtype_input = -1, .source = Source::kConstant},
  };
}

// The number `value` in every element of x's shape. x is looked at for its shape only.
OpDef fill_like_op() {
  return {
      .name = "FillLike",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<double>("value")},
      .infer =
          [](const InferenceContext& c) {
            c.require(c.dtype(0) != DType::kString, "a numeric input");
            return Types{c.input(0)};
          },
      .traits = {.is_elementwise = true, .shape_inputs = {0}},
  };
}

OpDef identity_op() {
  return {
      .name = "Identity",
      .min_inputs = 1,
      .max_inputs = 1,
      .infer = same_as_input,
      .gradient = [](GradientContext& g) { g.set_grad(0, g.grad_of_output()); },
      .traits = {.is_view = true, .precision = PrecisionClass::kFollow},
  };
}

// The same value, seen as a constant by gradients: it has no gradient rule.
OpDef stop_gradient_op() {
  return {
      .name = "StopGradient",
      .min_inputs = 1,
      .max_inputs = 1,
      .infer = same_as_input,
      .traits = {.is_view = true, .precision = PrecisionClass::kFollow},
  };
}

}  // namespace

Value placeholder(Graph& graph, const std::string& name, DType dtype, const Shape& shape) {
  return graph.add("Placeholder", {}, {{"dtype", dtype}, {"shape", shape}}, name).output();
}

Value variable(Graph& graph, const std::string& name, DType dtype, const Shape& shape) {
  return graph.add("Variable", {}, {{"name", name}, {"dtype", dtype}, {"shape", shape}}, name)
      .output();
}

Value constant(Graph& graph, const Tensor& value, const std::string& name) {
  if (!value.defined()) throw invalid_argument("Constant '", name, "': the tensor holds nothing");
  return graph.add("Constant", {}, {{"value", value}}, name).output();
}

Tensor scalar_tensor(DType dtype, double value) {
  switch (dtype) {
    case DType::kFloat16: {
      Tensor tensor(dtype, {});
      *static_cast<Half*>(tensor.raw()) = Half(static_cast<float>(value));
      return tensor;
    }
    case DType::kBFloat16: {
      Tensor tensor(dtype, {});
      *static_cast<BFloat16*>(tensor.raw()) = BFloat16(static_cast<float>(value));
      return tensor;
    }
    case DType::kFloat32:
      return Tensor::scalar(static_cast<float>(value));
    case DType::kFloat64:
      return Tensor::scalar(value);
    case DType::kInt32:
      return Tensor::scalar(static_cast<int32_t>(value));
    case DType::kInt64:
      return Tensor::scalar(static_cast<int64_t>(value));
    case DType::kUInt8:
      return Tensor::scalar(static_cast<uint8_t>(value));
    case DType::kBool:
      return Tensor::scalar(value != 0);
    case DType::kString:
      break;
  }
  throw invalid_argument("a scalar constant must be numeric, found dtype ", name(dtype));
}

Value scalar(Graph& graph, DType dtype, double value) {
  return constant(graph, scalar_tensor(dtype, value));
}

Value zeros_like(Value x) { return fill_like(x, 0); }
Value ones_like(Value x) { return fill_like(x, 1); }
Value fill_like(Value x, double value) { return build("FillLike", {x}, {{"value", value}}); }
Value identity(Value x) { return build("Identity", {x}); }
Value stop_gradient(Value x) { return build("StopGradient", {x}); }

}  // namespace trireme::ops

namespace trireme {

void register_source_ops(OpTable& table) {
  using namespace ops;
  for (auto make :
       {placeholder_op, variable_op, constant_op, fill_like_op, identity_op, stop_gradient_op}) {
    table.add(make());
  }
}

}  // namespace trireme
