#include "core/formats/onnx/onnx_formats.h"

#include "core/formats/onnx/onnx_file.h"
#include "core/formats/onnx/read_onnx.h"
#include "core/formats/onnx/write_onnx.h"

namespace trireme::formats {

std::vector<Format> onnx_formats() {
  return {{.name = "onnx",
           .help = "the format of onnxruntime and others: a graph of ops with its weights",
           .detect = is_onnx,
           .suits = [](const std::string& path) { return path.ends_with(".onnx"); },
           .read = read_onnx,
           .write = [](const ModelFile& model, const std::string& path,
                       const WriteOptions&) { write_onnx(model, path); }}};
}

}  // namespace trireme::formats
