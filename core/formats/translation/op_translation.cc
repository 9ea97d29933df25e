#include "core/formats/translation/op_translation.h"

namespace trireme::formats {

std::span<const OpTranslation> op_translations() {
  static constexpr OpTranslation kRows[] = {
      {.op = "Relu", .tensorflow = "Relu", .onnx = "Relu"},
  };
  return kRows;
}

}  // namespace trireme::formats
