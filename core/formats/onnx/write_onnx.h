// A model as a file of ONNX.
#pragma once

#include <cstdint>
#include <string>

#include "core/formats/model_file.h"

namespace trireme::formats {

// A file of ONNX is one message of protobuf, which must not reach 2 GiB.
inline constexpr uint64_t kMostOnnxBytes = 1'900'000'000;

// The inference graph of the model, with its weights as initializers of their names
// ("dense/kernel"; filters of convolutions, which ONNX has with channels first, as
// "conv2d/kernel.OIHW"). The batch is of any size. Weights of more than `most_bytes` altogether go
// to a file beside it, whose name is that of the model with ".data". Throws Error{kInvalidArgument}
// that lists the ops for which ONNX has none.
void write_onnx(const ModelFile& model, const std::string& path,
                uint64_t most_bytes = kMostOnnxBytes);

}  // namespace trireme::formats
