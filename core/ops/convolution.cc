// Convolution of images. The three ops are each other's derivatives, so second derivatives need no
// more.
//
// All share the attributes strides, dilations, padding and groups (see window.h).
#include "core/base/error.h"
#include "core/graph/gradient_context.h"
#include "core/ops/images.h"
#include "core/ops/ops.h"
#include "core/ops/register.h"
#include "core/ops/window.h"

namespace trireme {
namespace {

const char* padding_name(ops::Padding padding) {
  return padding == ops::Padding::kSame ? "SAME" : "VALID";
}

Attributes attributes_of(const ops::Conv2dOptions& options) {
  return {{"strides", Ints{options.stride_h, options.stride_w}},
          {"dilations", Ints{options.dilation_h, options.dilation_w}},
          {"padding", std::string(padding_name(options.padding))},
          {"groups", options.groups}};
}

Value backward_input(Value filter, Value grad, Value input_like, const Attributes& attributes) {
  return grad.graph().add("Conv2dBackwardInput", {filter, grad, input_like}, attributes).output();
}

Value backward_filter(Value input, Value grad, const Shape& filter_shape, Attributes attributes) {
  attributes.set("filter_shape", filter_shape);
  return grad.graph().add("Conv2dBackwardFilter", {input, grad}, attributes).output();
}

Value forward(Value input, Value filter, const Attributes& attributes) {
  return input.graph().add("Conv2d", {input, filter}, attributes).output();
}

// The attributes that all of them have.
std::vector<AttributeDef> attribute_defs(std::vector<AttributeDef> more = {}) {
  std::vector<AttributeDef> defs = {
      attribute<Ints>("strides").count(2).in(at_least(1)),
      attribute<Ints>("dilations").count(2).in(at_least(1)),
      attribute<std::string>("padding").one_of({"SAME", "VALID"}),
      attribute<int64_t>("groups").in(at_least(1)),
  };
  defs.insert(defs.end(), more.begin(), more.end());
  return defs;
}

Attributes common_attributes(const Node& node) {
  return {{"strides", node.attribute<Ints>("strides")},
          {"dilations", node.attribute<Ints>("dilations")},
          {"padding", node.attribute<std::string>("padding")},
          {"groups", node.attribute<int64_t>("groups")}};
}

// Cross-correlation, as in tf.nn.conv2d. input: [batch, h, w, in]; filter: [fh, fw, in / groups,
// out], both floating. y: [batch, h', w', out]; sizes and padding as window.h says.
OpDef conv2d() {
  return {
      .name = "Conv2d",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = attribute_defs(),
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        c.require_same_dtype();
        return {{c.dtype(0), conv2d_geometry(c.shape(0), c.shape(1), c.attributes()).output()}};
      },
      .gradient =
          [](GradientContext& g) {
            const Attributes attributes = common_attributes(g.node());
            const Value x = g.input(0), w = g.input(1), dy = g.grad_of_output();
            g.set_grad(0, backward_input(w, dy, x, attributes));
            g.set_grad(1, backward_filter(x, dy, w.shape(), attributes));
          },
      .traits = {.precision = PrecisionClass::kProduct, .has_small_by_f32 = true},
  };
}

// The gradient of Conv2d with respect to its input, which is linear in both filter and grad; by
// itself a transposed convolution. filter: [fh, fw, in / groups, out]; grad: [batch, h', w', out];
// input_like: [batch, h, w, in], only its shape counts. Without it, h and w are the attribute
// `image`.
OpDef conv2d_backward_input() {
  return {
      .name = "Conv2dBackwardInput",
      .min_inputs = 2,
      .max_inputs = 3,
      .attributes = attribute_defs({attribute<Ints>("image").in(at_least(1)).or_absent()}),
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        c.require_same_dtype();
        const bool has_size = c.attributes().has("image");
        c.require(has_size == (c.input_count() == 2),
                  "an image as input or its size [height, width] as attribute, not both");
        Shape image;
        if (!has_size) {
          image = c.shape(2);
        } else {
          const Ints& size = c.attribute<Ints>("image");
          c.require(size.size() == 2, "a size of two numbers [height, width]");
          c.require(c.shape(0).rank() == 4 && c.shape(1).rank() == 4,
                    "a filter and a gradient of rank 4");
          image = {c.shape(1)[0], size[0], size[1], c.shape(0)[2] * c.attribute<int64_t>("groups")};
        }
        const auto geometry = conv2d_geometry(image, c.shape(0), c.attributes());
        c.require(compatible(geometry.output(), c.shape(1)),
                  str_cat("a gradient of shape ", geometry.output()));
        return {{c.dtype(0), image}};
      },
      .gradient =
          [](GradientContext& g) {
            const Attributes attributes = common_attributes(g.node());
            const Value w = g.input(0), dy = g.input(1), u = g.grad_of_output();
            g.set_grad(0, backward_filter(u, dy, w.shape(), attributes));
            g.set_grad(1, forward(u, w, attributes));
          },
      .traits = {.precision = PrecisionClass::kProduct,
                 .shape_inputs = {2},
                 .has_small_by_f32 = true},
  };
}

// The gradient of Conv2d with respect to its filter, whose shape is the attribute filter_shape.
// input: [batch, h, w, in]; grad: [batch, h', w', out].
OpDef conv2d_backward_filter() {
  return {
      .name = "Conv2dBackwardFilter",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = attribute_defs({attribute<Shape>("filter_shape")}),
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        c.require_same_dtype();
        const Shape& filter = c.attribute<Shape>("filter_shape");
        c.require(filter.is_known(), "a filter whose shape is known");
        const auto geometry = conv2d_geometry(c.shape(0), filter, c.attributes());
        c.require(compatible(geometry.output(), c.shape(1)),
                  str_cat("a gradient of shape ", geometry.output()));
        return {{c.dtype(0), filter}};
      },
      .gradient =
          [](GradientContext& g) {
            const Attributes attributes = common_attributes(g.node());
            const Value x = g.input(0), dy = g.input(1), u = g.grad_of_output();
            g.set_grad(0, backward_input(u, dy, x, attributes));
            g.set_grad(1, forward(x, u, attributes));
          },
      .traits = {.precision = PrecisionClass::kProduct,
                 .has_small_by_f32 = true,
                 .wide_form = "WideConv2dBackwardFilter"},
  };
}

// Conv2dBackwardFilter of 16-bit floats whose sums are f32 and stay so; made by a pass from
// Conv2dBackwardFilter and Cast, so it has no gradient. input, grad: f16 or bf16.
OpDef wide_conv2d_backward_filter() {
  OpDef op = conv2d_backward_filter();
  op.name = "WideConv2dBackwardFilter";
  op.infer = [narrow = op.infer](const InferenceContext& c) -> std::vector<TensorType> {
    c.require(c.dtype(0) == DType::kFloat16 || c.dtype(0) == DType::kBFloat16, "f16 or bf16");
    return {{DType::kFloat32, narrow(c)[0].shape}};
  };
  op.gradient = nullptr;
  op.traits = {};
  return op;
}

// activation(Conv2d + bias) in one kernel; made by the fusion pass after differentiation, so it has
// no gradient. input, filter: as Conv2d; bias: [out]; activation: none, relu, sigmoid or tanh.
OpDef fused_conv2d() {
  return {
      .name = "FusedConv2d",
      .min_inputs = 3,
      .max_inputs = 3,
      .attributes = attribute_defs(
          {attribute<std::string>("activation").one_of({"none", "relu", "sigmoid", "tanh"})}),
      .infer = [](const InferenceContext& c) -> std::vector<TensorType> {
        c.require_floating();
        c.require_same_dtype();
        const auto geometry = conv2d_geometry(c.shape(0), c.shape(1), c.attributes());
        c.require(compatible(c.shape(2), {geometry.out_channels}),
                  str_cat("a bias [", geometry.out_channels, "]"));
        return {{c.dtype(0), geometry.output()}};
      },
      .traits = {.precision = PrecisionClass::kProduct, .has_small_by_f32 = true},
  };
}

}  // namespace

void register_convolution_ops(OpTable& table) {
  table.add(conv2d());
  table.add(conv2d_backward_input());
  table.add(conv2d_backward_filter());
  table.add(wide_conv2d_backward_filter());
  table.add(fused_conv2d());
}

namespace ops {

Value conv2d(Value input, Value filter, const Conv2dOptions& options) {
  return forward(input, filter, attributes_of(options));
}

Value conv2d_transpose(Value input, Value filter, int64_t height, int64_t width,
                       const Conv2dOptions& options) {
  Attributes attributes = attributes_of(options);
  attributes.set("image", Ints{height, width});
  return input.graph().add("Conv2dBackwardInput", {filter, input}, attributes).output();
}

}  // namespace ops
}  // namespace trireme
