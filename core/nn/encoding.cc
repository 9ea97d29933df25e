#include "core/nn/encoding.h"

#include "core/ops/ops.h"

namespace trireme::nn {

void describe_output_mode(OptionVisitor& visitor, EncodingMode& mode) {
  static constexpr EnumName<EncodingMode> kNames[] = {{EncodingMode::kInt, "INT"},
                                                      {EncodingMode::kOneHot, "ONE_HOT"},
                                                      {EncodingMode::kMultiHot, "MULTI_HOT"},
                                                      {EncodingMode::kCount, "COUNT"}};
  visitor.field({.name = "output_mode",
                 .help = "INT: whole numbers; ONE_HOT: of each a row with one 1; MULTI_HOT: of an "
                         "example a row with a 1 for each that it has; COUNT: how often it has "
                         "each"},
                mode, kNames);
}

Value encoded(BuildContext& context, Value tokens, int64_t count, EncodingMode mode) {
  if (mode == EncodingMode::kInt) return tokens;
  const int rank = tokens.shape().rank();
  if (mode == EncodingMode::kOneHot) {
    const bool has_one = rank >= 2 && tokens.shape().dim(-1) == 1;
    return ops::one_hot(has_one ? ops::squeeze(tokens, {rank - 1}) : tokens, count);
  }
  context.require(rank == 1 || rank == 2, "whole numbers [batch] or [batch, n]");
  const Value rows = ops::one_hot(tokens, count);
  if (rank == 1) return rows;
  return mode == EncodingMode::kCount ? ops::sum(rows, {1}) : ops::max(rows, {1});
}

}  // namespace trireme::nn
