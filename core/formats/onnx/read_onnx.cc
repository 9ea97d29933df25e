#include "core/formats/onnx/read_onnx.h"

#include "core/base/error.h"
#include "core/formats/onnx/onnx_file.h"
#include "core/formats/onnx/onnx_layer.h"
#include "core/io/input_file.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats {
namespace {

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

// One layer for the file.
ModelFile imported(const std::string& path, const std::shared_ptr<const OnnxFile>& onnx) {
  const std::vector<std::string> outputs = outputs_of(*onnx);
  if (outputs.size() > 1) {
    throw invalid_argument(path, ": expected a model with one output, found ", outputs.size(),
                           "; a layer onnx { path: … output: … } in a job takes one of them");
  }
  std::vector<nn::LayerOutput> inputs;
  const std::vector<OnnxInput> wanted = inputs_of(*onnx);
  for (const OnnxInput& input : wanted) inputs.emplace_back(input.type);
  auto layer = std::make_shared<OnnxLayer>(OnnxOptions{.path = path, .name = "onnx"}, onnx);
  nn::Model model(inputs, {nn::LayerOutput(std::move(layer), inputs)});
  model.build();
  ModelFile file = model_file_of(model);
  for (size_t i = 0; i < wanted.size(); ++i) file.inputs[i].name = wanted[i].name;
  const std::string& name = onnx->model().graph().name();
  if (!name.empty()) file.name = name;
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
