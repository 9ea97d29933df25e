#include "core/formats/onnx/onnx_formats.h"

namespace trireme::formats {

std::vector<Format> onnx_formats() { return {}; }

}  // namespace trireme::formats
