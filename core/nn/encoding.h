// Whole numbers as rows of zeros and ones, which several layers offer as an option.
#pragma once

#include <cstdint>

#include "core/nn/layer.h"

namespace trireme::nn {

// What a layer that gives whole numbers makes of them.
enum class EncodingMode {
  kInt,       // the numbers themselves, i64
  kOneHot,    // of each a row of zeros with a 1
  kMultiHot,  // of an example a row with a 1 for each number that it has
  kCount,     // the same with how often it has it
};

void describe_output_mode(OptionVisitor& visitor, EncodingMode& mode);

// `tokens`: i64, below `count`.
Value encoded(BuildContext& context, Value tokens, int64_t count, EncodingMode mode);

}  // namespace trireme::nn
