// Any bytes as the graph of a SavedModel whose weights are sound: only a trireme::Error may come
// out of reading it and of building what its signatures compute.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/base/error.h"
#include "core/formats/saved_model/graph_importer.h"
#include "core/ops/ops.h"

namespace {

namespace formats = trireme::formats;

// In memory, so that the disk does not set the pace; removed at exit. With the weights of a model
// that TensorFlow wrote, whose variables the seeds name.
class Directory {
 public:
  Directory()
      : path_(std::filesystem::exists("/dev/shm") ? "/dev/shm/fuzz-saved-model-XXXXXX"
                                                  : "/tmp/fuzz-saved-model-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
    std::filesystem::copy(
        std::string(TRIREME_SOURCE_DIR) +
            "/tests/core/formats/saved_model_reader/fixtures/loop/model/variables",
        path_ + "/variables");
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// What a job with this signature as a layer would build. Small limits, so that a loop ends soon.
void build(const formats::SavedModelFile& file, const formats::Signature& signature) {
  trireme::Graph graph(trireme::core_op_table());
  std::vector<trireme::Value> inputs;
  for (const formats::SignatureValue& input : signature.inputs) {
    if (!input.dtype || !input.shape || input.shape->rank() == 0) return;
    trireme::Shape shape = *input.shape;
    shape.set(0, -1);
    for (int i = 1; i < shape.rank(); ++i) {
      if (shape[i] < 0) shape.set(i, 3);
    }
    inputs.push_back(trireme::ops::placeholder(graph, "x", *input.dtype, shape));
  }
  std::vector<std::string> outputs;
  for (const formats::SignatureValue& output : signature.outputs) outputs.push_back(output.name);
  formats::GraphImporter importer(
      file, graph,
      [&](size_t index) {
        const formats::SavedVariable& variable = file.variables()[index];
        return trireme::ops::variable(graph, variable.name, variable.type.dtype,
                                      variable.type.shape);
      },
      {.evaluated_nodes = 5000,
       .graph_nodes = 20'000,
       .call_depth = 16,
       .loop_steps = 100,
       .known_bytes = 1 << 20});
  (void)importer.import(signature, inputs, outputs);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Directory directory;
  std::ofstream(directory.path() + "/saved_model.pb", std::ios::binary | std::ios::trunc)
      << std::string_view(reinterpret_cast<const char*>(data), size);
  try {
    const auto file = formats::SavedModelFile::open(directory.path());
    (void)file->describe();
    for (const formats::Signature& signature : file->signatures()) {
      try {
        build(*file, signature);
      } catch (const trireme::Error&) {
      }
    }
  } catch (const trireme::Error&) {
  }
  return 0;
}
