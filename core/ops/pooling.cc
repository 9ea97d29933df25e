// Pooling of images [batch, h, w, channels]. Attributes window, strides and padding: see window.h.
#include "core/base/error.h"
#include "core/graph/gradient_context.h"
#include "core/ops/ops.h"
#include "core/ops/register.h"
#include "core/ops/window.h"

namespace trireme {
namespace {

Value max_pool_grad(Value grad, Value positions, Value input_like, const Attributes& attributes) {
  return grad.graph().add("MaxPool2dGrad", {grad, positions, input_like}, attributes).output();
}

Value max_pool_pick(Value x, Value positions, const Attributes& attributes) {
  return x.graph().add("MaxPool2dGradGrad", {x, positions}, attributes).output();
}

Value avg_pool_grad(Value grad, Value input_like, const Attributes& attributes) {
  return grad.graph().add("AvgPool2dGrad", {grad, input_like}, attributes).output();
}

// A position in a window fits a byte unless the window is larger than 16×16.
DType position_dtype(const Pool2dGeometry& geometry) {
  return geometry.h.window * geometry.w.window <= 256 ? DType::kUInt8 : DType::kInt32;
}

// The attributes that all of them have.
std::vector<AttributeDef> attribute_defs() {
  return {attribute<Ints>("window").count(2).in(at_least(1)),
          attribute<Ints>("strides").count(2).in(at_least(1)),
          attribute<std::string>("padding").one_of({"SAME", "VALID"})};
}

// The largest value of each window; padding never wins. x: [batch, h, w, c] floating.
// Outputs: y [batch, h', w', c], and where in its window (row · window width + column) the maximum
// stands, the first one where several are equal, as TensorFlow has it. The positions let every
// derivative do without x and y.
OpDef max_pool2d() {
  return {
      .name = "MaxPool2d",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = attribute_defs(),
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        const auto geometry = pool2d_geometry(c.shape(0), c.attributes());
        return {{c.dtype(0), geometry.output()}, {position_dtype(geometry), geometry.output()}};
      },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, max_pool_grad(g.grad_of_output(), g.output(1), g.input(0),
                                        g.node().attributes()));
          },
      .traits = {.precision = PrecisionClass::kFollow, .has_small_by_f32 = true},
  };
}

// Sends each gradient to where its maximum stood; sums where windows overlap.
// grad, positions: [batch, h', w', c]; input_like: [batch, h, w, c], only its shape counts.
OpDef max_pool2d_grad() {
  return {
      .name = "MaxPool2dGrad",
      .min_inputs = 3,
      .max_inputs = 3,
      .attributes = attribute_defs(),
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        const auto geometry = pool2d_geometry(c.shape(2), c.attributes());
        c.require(c.dtype(1) == position_dtype(geometry), "positions as MaxPool2d writes them");
        c.require(compatible(geometry.output(), c.shape(0)) && compatible(c.shape(0), c.shape(1)),
                  str_cat("gradient and positions of shape ", geometry.output()));
        return {{c.dtype(0), c.shape(2)}};
      },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, max_pool_pick(g.grad_of_output(), g.input(1), g.node().attributes()));
          },
      .traits = {.shape_inputs = {2}, .has_small_by_f32 = true},
  };
}

// Of each window the value at the given position: what MaxPool2d computes once the positions are
// known. x: [batch, h, w, c]; positions: [batch, h', w', c].
OpDef max_pool2d_grad_grad() {
  return {
      .name = "MaxPool2dGradGrad",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = attribute_defs(),
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        const auto geometry = pool2d_geometry(c.shape(0), c.attributes());
        c.require(c.dtype(1) == position_dtype(geometry), "positions as MaxPool2d writes them");
        c.require(compatible(geometry.output(), c.shape(1)),
                  str_cat("positions of shape ", geometry.output()));
        return {{c.dtype(0), c.shape(1)}};
      },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, max_pool_grad(g.grad_of_output(), g.input(1), g.input(0),
                                        g.node().attributes()));
          },
      .traits = {.has_small_by_f32 = true},
  };
}

// The mean of each window; padding is not counted, as in TensorFlow. x: [batch, h, w, c] floating.
OpDef avg_pool2d() {
  return {
      .name = "AvgPool2d",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = attribute_defs(),
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        return {{c.dtype(0), pool2d_geometry(c.shape(0), c.attributes()).output()}};
      },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, avg_pool_grad(g.grad_of_output(), g.input(0), g.node().attributes()));
          },
      .traits = {.precision = PrecisionClass::kFollow, .has_small_by_f32 = true},
  };
}

// Spreads each gradient evenly over its window. grad: [batch, h', w', c]; input_like: [batch, h, w,
// c], only its shape counts.
OpDef avg_pool2d_grad() {
  return {
      .name = "AvgPool2dGrad",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = attribute_defs(),
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        const auto geometry = pool2d_geometry(c.shape(1), c.attributes());
        c.require(compatible(geometry.output(), c.shape(0)),
                  str_cat("a gradient of shape ", geometry.output()));
        return {{c.dtype(0), c.shape(1)}};
      },
      .gradient =
          [](GradientContext& g) {
            const Value u = g.grad_of_output();
            g.set_grad(0, g.graph().add("AvgPool2d", {u}, g.node().attributes()).output());
          },
      .traits = {.shape_inputs = {1}, .has_small_by_f32 = true},
  };
}

Attributes pool_attributes(const ops::Pool2dOptions& options) {
  return {
      {"window", Ints{options.window_h, options.window_w}},
      {"strides", Ints{options.stride_h, options.stride_w}},
      {"padding", std::string(options.padding == ops::Padding::kSame ? "SAME" : "VALID")},
  };
}

}  // namespace

void register_pooling_ops(OpTable& table) {
  table.add(max_pool2d());
  table.add(max_pool2d_grad());
  table.add(max_pool2d_grad_grad());
  table.add(avg_pool2d());
  table.add(avg_pool2d_grad());
}

namespace ops {

Value max_pool2d(Value input, const Pool2dOptions& options) {
  return input.graph().add("MaxPool2d", {input}, pool_attributes(options)).output();
}

Value avg_pool2d(Value input, const Pool2dOptions& options) {
  return input.graph().add("AvgPool2d", {input}, pool_attributes(options)).output();
}

}  // namespace ops
}  // namespace trireme
