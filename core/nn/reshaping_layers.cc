#include "core/nn/reshaping_layers.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/nn/layer_options.h"
#include "core/ops/arrays.h"

namespace trireme::nn {
namespace {

OptionInfo padding_info() {
  return {.name = "padding", .help = "zeros on each side", .range = at_least(0)};
}
OptionInfo cropping_info() {
  return {.name = "cropping", .help = "what is left out on each side", .range = at_least(0)};
}
OptionInfo size_info() {
  return {.name = "size", .help = "how often each is repeated", .range = at_least(1)};
}

void require_known_sizes(const BuildContext& context, Value x) {
  for (int axis = 1; axis < x.shape().rank(); ++axis) {
    context.require(x.shape()[axis] > 0, "an input whose sizes are known but for the batch");
  }
}

// `before` and `after` of the axes between the batch and the channels.
Value crop(BuildContext& context, Value x, std::vector<int64_t> before,
           const std::vector<int64_t>& after) {
  require_known_sizes(context, x);
  std::vector<int64_t> begin = {0}, size = {-1};
  for (size_t i = 0; i < before.size(); ++i) {
    const int64_t left = x.shape()[static_cast<int>(i) + 1] - before[i] - after[i];
    context.require(left >= 1, str_cat("more than the ", before[i] + after[i],
                                       " that are cropped of axis ", i + 1));
    begin.push_back(before[i]);
    size.push_back(left);
  }
  begin.push_back(0);
  size.push_back(-1);
  return ops::slice(x, begin, size);
}

}  // namespace

void PermuteOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "dims",
                 .help = "for each axis of the output which of the input it is, from 1",
                 .range = at_least(1)},
                dims);
}

void PermuteOptions::check() const {
  std::vector<int64_t> sorted = dims;
  std::ranges::sort(sorted);
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] == static_cast<int64_t>(i) + 1) continue;
    throw invalid_argument("permute: dims: expected each of 1 … ", dims.size(), " once, found ",
                           Shape(dims));
  }
  if (dims.empty())
    throw invalid_argument("permute: dims: expected the order of the axes, found none");
}

Value Permute::call(BuildContext& context, Value x) {
  const auto axes = static_cast<int>(options_.dims.size());
  context.require(x.shape().rank() == axes + 1,
                  str_cat("an example of ", axes, " axes, as dims has"));
  ops::Axes permutation = {0};
  permutation.insert(permutation.end(), options_.dims.begin(), options_.dims.end());
  return ops::transpose(x, permutation);
}

void RepeatVectorOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "n",
                 .help = "how often the vector is repeated",
                 .range = at_least(1),
                 .default_text = "must be given"},
                n);
}

Value RepeatVector::call(BuildContext& context, Value x) {
  context.require(x.shape().rank() == 2 && x.shape()[1] > 0, "vectors [batch, features]");
  return ops::repeat(ops::expand_dims(x, {1}), options_.n, 1);
}

void ZeroPad1DOptions::describe(OptionVisitor& visitor) {
  describe_sides(visitor, padding_info(), {{"before", &before}, {"after", &after}});
}

Value ZeroPad1D::call(BuildContext& context, Value x) {
  require_sequence(context, x);
  return ops::pad(x, {0, options_.before, 0}, {0, options_.after, 0});
}

void ZeroPad3DOptions::describe(OptionVisitor& visitor) {
  describe_sides(visitor, padding_info(),
                 {{"front", &front},
                  {"back", &back},
                  {"top", &top},
                  {"bottom", &bottom},
                  {"left", &left},
                  {"right", &right}});
}

Value ZeroPad3D::call(BuildContext& context, Value x) {
  require_volume(context, x);
  const auto& o = options_;
  return ops::pad(x, {0, o.front, o.top, o.left, 0}, {0, o.back, o.bottom, o.right, 0});
}

void Cropping1DOptions::describe(OptionVisitor& visitor) {
  describe_sides(visitor, cropping_info(), {{"before", &before}, {"after", &after}});
}

Value Cropping1D::call(BuildContext& context, Value x) {
  require_sequence(context, x);
  return crop(context, x, {options_.before}, {options_.after});
}

void Cropping2DOptions::describe(OptionVisitor& visitor) {
  describe_sides(visitor, cropping_info(),
                 {{"top", &top}, {"bottom", &bottom}, {"left", &left}, {"right", &right}});
}

Value Cropping2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  const auto& o = options_;
  return crop(context, x, {o.top, o.left}, {o.bottom, o.right});
}

void Cropping3DOptions::describe(OptionVisitor& visitor) {
  describe_sides(visitor, cropping_info(),
                 {{"front", &front},
                  {"back", &back},
                  {"top", &top},
                  {"bottom", &bottom},
                  {"left", &left},
                  {"right", &right}});
}

Value Cropping3D::call(BuildContext& context, Value x) {
  require_volume(context, x);
  const auto& o = options_;
  return crop(context, x, {o.front, o.top, o.left}, {o.back, o.bottom, o.right});
}

void UpSampling1DOptions::describe(OptionVisitor& visitor) { visitor.field(size_info(), size); }

Value UpSampling1D::call(BuildContext& context, Value x) {
  require_sequence(context, x);
  require_known_sizes(context, x);
  return ops::repeat(x, options_.size, 1);
}

void describe_interpolation(OptionVisitor& visitor, ops::Interpolation& interpolation) {
  static constexpr EnumName<ops::Interpolation> kNames[] = {
      {ops::Interpolation::kNearest, "NEAREST"}, {ops::Interpolation::kBilinear, "BILINEAR"}};
  visitor.field({.name = "interpolation", .help = "what a new pixel is made of"}, interpolation,
                kNames);
}

void UpSampling2DOptions::describe(OptionVisitor& visitor) {
  describe_directions(visitor, {size_info(), "size_height", "size_width"}, size_h, size_w);
  describe_interpolation(visitor, interpolation);
}

Value UpSampling2D::call(BuildContext& context, Value x) {
  require_images(context, x);
  require_known_sizes(context, x);
  const auto& o = options_;
  if (o.interpolation == ops::Interpolation::kNearest) {
    return ops::repeat(ops::repeat(x, o.size_w, 2), o.size_h, 1);
  }
  return ops::resize2d(x, x.shape()[1] * o.size_h, x.shape()[2] * o.size_w, o.interpolation);
}

void UpSampling3DOptions::describe(OptionVisitor& visitor) {
  describe_volume_directions(visitor, size_info(), {"size_depth", "size_height", "size_width"},
                             size_d, size_h, size_w);
}

Value UpSampling3D::call(BuildContext& context, Value x) {
  require_volume(context, x);
  const auto& o = options_;
  return ops::repeat(ops::repeat(ops::repeat(x, o.size_w, 3), o.size_h, 2), o.size_d, 1);
}

Value Identity::call(BuildContext&, Value x) { return x; }

void LambdaOptions::check() const {
  if (function) return;
  throw invalid_argument(
      "lambda: expected a function, which only a C++ program can give; in a job file use a layer "
      "of the catalog, or build the model in C++");
}

Value Lambda::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  const Value y = options_.function(context, inputs);
  if (!y.defined()) throw invalid_argument("its function gave no value");
  return y;
}

}  // namespace trireme::nn
