#include "core/nn/mask_layers.h"

#include "core/ops/ops.h"

namespace trireme::nn {

void MaskingOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "mask_value", .help = "that all features of a padded step have"},
                mask_value);
}

Value Masking::call(BuildContext& context, Value x) {
  context.require(is_floating(x.dtype()) && x.shape().rank() == 3,
                  "a sequence [batch, time, features]");
  const Value padding = ops::scalar(context.graph(), x.dtype(), options_.mask_value);
  const Value differs = ops::cast(ops::not_equal(x, padding), x.dtype());
  const Value is_there = ops::max(differs, {-1}, true);
  const Value y = x * is_there;
  const Value zero = ops::scalar(context.graph(), x.dtype(), 0);
  context.set_mask(y, ops::greater(ops::squeeze(is_there, {-1}), zero));
  return y;
}

}  // namespace trireme::nn
