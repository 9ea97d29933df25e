#include "core/formats/onnx/write_onnx.h"

#include <filesystem>

#include "core/base/error.h"
#include "core/formats/inference_graph.h"
#include "core/formats/translation/onnx_writer.h"
#include "core/io/atomic_file.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats {
namespace {

constexpr int64_t kIrVersion = 8;  // of the opset's time, so that what reads that opset reads it
// Smaller tensors stay in the model: sizes and the like, which readers want to see.
constexpr size_t kLeastExternal = 1024;
constexpr size_t kExternalAlignment = 64;

void set_text(onnx::ModelProto& model, const std::string& key, const std::string& value) {
  auto* entry = model.add_metadata_props();
  entry->set_key(key);
  entry->set_value(value);
}

// Names of ONNX's inputs must differ from those of weights and outputs.
std::vector<std::string> input_names(const ModelFile& file,
                                     const std::vector<std::string>& outputs) {
  std::vector<std::string> names;
  for (const ModelInput& input : file.inputs) {
    if (file.weights.contains(input.name) ||
        std::ranges::find(outputs, input.name) != outputs.end()) {
      throw invalid_argument(file.place, ": the input \"", input.name,
                             "\" is named as a weight or an output, which ONNX does not allow");
    }
    names.push_back(input.name);
  }
  return names;
}

// Weights that the predictions do not need are kept: whoever reads the file back misses none.
void add_unused(onnx::GraphProto& graph, const nn::StateMap& weights) {
  std::unordered_set<std::string> there;
  for (const auto& known : graph.initializer()) {
    there.insert(known.name().substr(0, known.name().rfind(".OIHW")));
  }
  for (const auto& [name, tensor] : weights) {
    if (there.contains(name) || tensor.dtype() == DType::kString) continue;
    onnx::TensorProto& proto = *graph.add_initializer();
    proto.set_name(name);
    fill_onnx_tensor(tensor, proto);
  }
}

// Moves the bytes of large initializers to `file`.
void move_weights(onnx::GraphProto& graph, io::AtomicFile& file, const std::string& location) {
  for (onnx::TensorProto& tensor : *graph.mutable_initializer()) {
    const std::string& bytes = tensor.raw_data();
    if (bytes.size() < kLeastExternal) continue;
    file.append(std::string(
        (kExternalAlignment - file.size() % kExternalAlignment) % kExternalAlignment, '\0'));
    const auto add = [&](const char* key, const std::string& value) {
      auto* entry = tensor.add_external_data();
      entry->set_key(key);
      entry->set_value(value);
    };
    add("location", location);
    add("offset", std::to_string(file.size()));
    add("length", std::to_string(bytes.size()));
    file.append(bytes);
    tensor.clear_raw_data();
    tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  }
}

}  // namespace

void write_onnx(const ModelFile& file, const std::string& path, uint64_t most_bytes) {
  const InferenceGraph model = inference_graph(file);
  onnx::ModelProto proto;
  proto.set_ir_version(kIrVersion);
  proto.set_producer_name("trireme");
  auto* opset = proto.add_opset_import();
  opset->set_domain("");
  opset->set_version(kOnnxOpset);
  onnx::GraphProto& graph = *proto.mutable_graph();
  graph.set_name(file.name.empty() ? "model" : file.name);
  Untranslated untranslated;
  OnnxWriter(graph, file.weights)
      .write(model.features, input_names(file, model.output_names), model.outputs,
             model.output_names, untranslated);
  untranslated.throw_if_any("ONNX");
  add_unused(graph, file.weights);
  if (!file.job_text.empty()) set_text(proto, "trireme.job", file.job_text);

  const uint64_t bytes = proto.ByteSizeLong();
  std::optional<io::AtomicFile> data;
  if (bytes > most_bytes) {
    const std::string data_path = path + ".data";
    data.emplace(data_path);
    move_weights(graph, *data, std::filesystem::path(data_path).filename().string());
  }
  io::AtomicFile out(path);
  std::string text;
  if (!proto.SerializeToString(&text)) {
    throw invalid_argument(path, ": the model is too large for one message of protobuf");
  }
  out.append(text);
  // The model's own file last: until then nobody looks for the other.
  if (data) data->commit();
  out.commit();
}

}  // namespace trireme::formats
