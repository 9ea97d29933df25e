// ONNX, the format of onnxruntime and others.
#pragma once

#include <vector>

#include "core/formats/format.h"

namespace trireme::formats {

std::vector<Format> onnx_formats();

}  // namespace trireme::formats
