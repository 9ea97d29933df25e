// Any bytes as a model of ONNX: only a trireme::Error for the user may come out of reading it and
// of building its graph.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/base/error.h"
#include "core/formats/onnx/onnx_importer.h"
#include "core/formats/onnx/onnx_layer.h"
#include "core/ops/ops.h"

namespace {

// In memory, so that the disk does not set the pace; removed at exit.
class Folder {
 public:
  Folder()
      : path_(std::filesystem::exists("/dev/shm") ? "/dev/shm/fuzz-onnx-XXXXXX"
                                                  : "/tmp/fuzz-onnx-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file() const { return path_ + "/m.onnx"; }

 private:
  std::string path_;
};

void read(const std::string& path) {
  using namespace trireme;
  formats::is_onnx(path);
  const auto file = formats::OnnxFile::open(path);
  for (const auto& [name, tensor] : file->initializers()) {
    try {
      file->tensor(*tensor);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kInternal) throw;
    }
  }
  static const auto ops = core_op_table();
  Graph graph(ops);
  std::map<std::string, Value> inputs;
  for (const auto& input : formats::inputs_of(*file)) {
    inputs[input.name] = ops::placeholder(graph, "input", input.type.dtype, input.type.shape);
  }
  const auto outputs = formats::outputs_of(*file);
  formats::OnnxImporter importer(*file, graph, [&](const std::string&, const Tensor& tensor, bool) {
    return ops::variable(graph, str_cat("variable", graph.size()), tensor.dtype(), tensor.shape());
  });
  importer.import(inputs, outputs);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  std::ofstream(folder.file(), std::ios::binary | std::ios::trunc)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    read(folder.file());
  } catch (const trireme::Error& error) {
    if (error.code() == trireme::ErrorCode::kInternal) std::abort();
  }
  return 0;
}
