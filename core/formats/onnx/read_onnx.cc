#include "core/formats/onnx/read_onnx.h"

#include <set>

#include "core/base/error.h"
#include "core/formats/onnx/onnx_file.h"
#include "core/formats/onnx/onnx_importer.h"
#include "core/formats/onnx/onnx_layer.h"
#include "core/io/input_file.h"
#include "core/ops/ops.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats {
namespace {

constexpr const char* kLayer = "onnx";
constexpr std::string_view kChannelsFirst = ".OIHW";  // see write_onnx.h

// A filter as ONNX has it, as ours: OIHW → HWIO.
Tensor filter_last(const Tensor& filter, const std::string& place) {
  const Shape& s = filter.shape();
  if (s.rank() != 4) {
    throw data_loss(place, ": expected a filter of 4 dimensions, found ", filter.type());
  }
  Tensor made(filter.dtype(), {s[2], s[3], s[1], s[0]});
  const size_t size = size_of(filter.dtype());
  const auto* from = static_cast<const char*>(filter.raw());
  auto* to = static_cast<char*>(made.raw());
  const int64_t pixels = s[2] * s[3];
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    for (int64_t i = 0; i < s[1]; ++i) {
      for (int64_t o = 0; o < s[0]; ++o, to += size) {
        std::copy_n(from + static_cast<size_t>((o * s[1] + i) * pixels + pixel) * size, size, to);
      }
    }
  }
  return made;
}

// What write_onnx() wrote: initializers are the weights and nothing else.
nn::StateMap own_weights(const OnnxFile& file) {
  nn::StateMap weights;
  for (const auto& [name, proto] : file.initializers()) {
    const Tensor tensor = file.tensor(*proto);
    const std::string place = str_cat(file.path(), ": ", io::quote_name(name));
    const bool is_filter = name.ends_with(kChannelsFirst);
    const std::string ours = is_filter ? name.substr(0, name.size() - kChannelsFirst.size()) : name;
    // A filter that is used in both layouts has the same numbers twice.
    weights.emplace(ours, is_filter ? filter_last(tensor, place) : tensor);
  }
  return weights;
}

// Letters, digits and underscores of `name`.
std::string layer_name(const std::string& name) {
  std::string made;
  for (const char c : name) {
    const bool is_plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    made += is_plain ? c : '_';
  }
  return made.empty() ? "output" : made;
}

// One layer for each output of the file, which share their weights.
ModelFile imported(const std::string& path, const std::shared_ptr<const OnnxFile>& onnx) {
  ModelFile file;
  file.name = onnx->model().graph().name();
  if (file.name.empty()) file.name = kLayer;
  // Built once here, to know which weights it reads and that every op is there.
  Graph trial(core_op_table());
  std::map<std::string, Value> arguments;
  std::vector<std::string> features;
  for (const OnnxInput& input : inputs_of(*onnx)) {
    file.inputs.push_back({input.name, input.type});
    features.push_back(str_cat("feature_", features.size()));
    arguments[input.name] =
        ops::placeholder(trial, features.back(), input.type.dtype, input.type.shape);
  }
  const std::vector<std::string> outputs = outputs_of(*onnx);
  OnnxImporter importer(*onnx, trial, [&](const std::string& name, const Tensor& tensor, bool) {
    file.weights[str_cat(kLayer, "/", name)] = tensor;
    return ops::variable(trial, name, tensor.dtype(), tensor.shape());
  });
  (void)importer.import(arguments, outputs);
  std::set<std::string> names;
  for (const std::string& output : outputs) {
    const bool is_first = names.empty();
    std::string name = is_first ? std::string(kLayer) : layer_name(output);
    while (!names.insert(name).second) name += "_";
    auto layer =
        std::make_shared<OnnxLayer>(OnnxOptions{.path = path,
                                                .output = outputs.size() == 1 ? "" : output,
                                                .weights_of = is_first ? "" : kLayer,
                                                .name = name},
                                    onnx);
    layer->set_inputs(features);
    file.layers.push_back(std::move(layer));
    file.outputs.push_back(name);
  }
  return file;
}

}  // namespace

ModelFile read_onnx(const std::string& path, const ReadOptions& options) {
  const std::shared_ptr<const OnnxFile> onnx = OnnxFile::open(path);
  const std::string job = onnx->text("trireme.job");
  ModelFile file;
  if (onnx->model().producer_name() == "trireme" && (!job.empty() || options.model != nullptr)) {
    if (options.model != nullptr) {
      file = *options.model;
      file.training.reset();
    }
    file.name = onnx->model().graph().name();
    file.job_text = job;
    file.weights = own_weights(*onnx);
  } else {
    file = imported(path, onnx);
  }
  file.place = path;
  return file;
}

}  // namespace trireme::formats
