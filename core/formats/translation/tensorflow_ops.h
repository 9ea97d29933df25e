// What the ops of TensorFlow that are written or read take and give.
#pragma once

#include <string_view>

namespace trireme::formats {

// In TensorFlow's own terms: "T" is the attribute that has the type, "N*T" a list of N values of
// it, "[Tin]" a list of values of the types in an attribute, "DT_INT32" a type itself.
struct TensorflowOp {
  std::string_view name;
  std::string_view inputs;   // "T Tshape"
  std::string_view outputs;  // "output=T": names and types
};

// Null: none of that name is known here.
const TensorflowOp* find_tensorflow_op(std::string_view name);

}  // namespace trireme::formats
