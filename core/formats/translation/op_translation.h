// How each op is said in TensorFlow's graphs and in ONNX's, and back: one table.
#pragma once

#include <span>
#include <string_view>

namespace trireme::formats {

// What becomes of one op of ours. Rows say more as formats need it.
struct OpTranslation {
  std::string_view op;               // "Relu"
  std::string_view tensorflow = {};  // of an op with the same inputs and no attributes: its name
  std::string_view onnx = {};        // likewise
  // Why there is no translation: "training only"; empty: there is one.
  std::string_view without = {};
};

std::span<const OpTranslation> op_translations();

}  // namespace trireme::formats
