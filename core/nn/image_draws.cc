#include "core/nn/image_draws.h"

#include <cmath>

#include "core/base/error.h"
#include "core/nn/layer_options.h"

namespace trireme::nn {
namespace {

double lowest(const Factor& factor) { return factor.size() == 1 ? -factor[0] : factor[0]; }

}  // namespace

void describe_factor(OptionVisitor& visitor, std::string_view name, std::string_view help,
                     Factor& factor) {
  visitor.field({.name = name, .help = help}, factor);
}

void check_factor(std::string_view name, const Factor& factor, double above) {
  const bool has_size = factor.size() == 1 || factor.size() == 2;
  if (has_size && lowest(factor) <= factor.back() && lowest(factor) > above &&
      std::isfinite(factor.back())) {
    return;
  }
  std::string found;
  for (const double f : factor) found += str_cat(found.empty() ? "" : " and ", f);
  throw invalid_argument(
      name,
      ": expected one number f of at least 0, which stands for -f … f, or the lowest and the ",
      "highest", above > kAnything ? str_cat(", above ", above) : std::string(), ", found ",
      found.empty() ? "none" : found);
}

void describe_value_range(OptionVisitor& visitor, std::vector<double>& range) {
  visitor.field({.name = "value_range", .help = "black and white"}, range);
}

void check_value_range(const std::vector<double>& range) {
  if (range.size() == 2 && range[0] < range[1]) return;
  throw invalid_argument("value_range: expected two rising numbers, black and white, found ",
                         range.size());
}

void require_sized_images(const BuildContext& context, Value x) {
  require_images(context, x);
  context.require(x.shape()[1] > 0 && x.shape()[2] > 0, "images of known height and width");
}

void require_colours(const BuildContext& context, Value x) {
  require_sized_images(context, x);
  context.require(x.shape()[3] == 3, "images with the channels red, green and blue");
}

Value number(Value like, double value) { return ops::scalar(like.graph(), like.dtype(), value); }

ImageDraws::ImageDraws(BuildContext& context, Value images)
    : key_(context.random_key()), seed_(context.layer_seed()) {
  const Value one = ops::slice(images, {0, 0, 0, 0}, {-1, 1, 1, 1});
  like_ = ops::cast(ops::squeeze(one, {2, 3}), DType::kFloat32);
}

Value ImageDraws::uniform() { return ops::random_uniform(key_, like_, seed_ + draws_++); }

Value ImageDraws::uniform(const Factor& factor) {
  const Value unit = uniform();
  return unit * number(unit, factor.back() - lowest(factor)) + number(unit, lowest(factor));
}

Value ImageDraws::coin(double probability) {
  const Value unit = uniform();
  return ops::cast(ops::less(unit, number(unit, probability)), DType::kFloat32);
}

Value ImageDraws::filled(double value) const { return ops::fill_like(like_, value); }

Value beside_images(Value each) { return ops::expand_dims(each, {2, 3}); }

Value clipped(Value x, const std::vector<double>& range) {
  return ops::minimum(ops::maximum(x, number(x, range[0])), number(x, range[1]));
}

Value chosen_images(Value chosen, Value then, Value otherwise) {
  const Value half = number(chosen, 0.5);
  return ops::select(beside_images(ops::greater(chosen, half)), then, otherwise);
}

Value gray_of(Value colours) {
  const Tensor luma = Tensor::from<float>({3}, {0.2989f, 0.5870f, 0.1140f});
  const Value weights = ops::cast(ops::constant(colours.graph(), luma), colours.dtype());
  return ops::sum(colours * weights, {3}, true);
}

}  // namespace trireme::nn
