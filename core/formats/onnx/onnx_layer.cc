#include "core/formats/onnx/onnx_layer.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/formats/onnx/onnx_importer.h"
#include "core/io/input_file.h"
#include "core/ops/ops.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats {
namespace {

TensorType input_type(const OnnxFile& file, const onnx::ValueInfoProto& info) {
  const std::string what = str_cat(file.path(), ": input ", io::quote_name(info.name()));
  if (!info.type().has_tensor_type()) {
    throw invalid_argument(what, ": expected a tensor, found another kind of value");
  }
  const auto& tensor = info.type().tensor_type();
  const std::optional<DType> dtype = dtype_of_onnx(tensor.elem_type());
  if (!dtype || *dtype == DType::kString) {
    throw invalid_argument(what, ": expected numbers, found ", onnx_dtype_name(tensor.elem_type()));
  }
  const int rank = tensor.shape().dim_size();
  if (!tensor.has_shape() || rank < 1 || rank > Shape::kMaxRank) {
    throw invalid_argument(what, ": expected 1 to ", Shape::kMaxRank,
                           " dimensions, with the batch in front, found ", rank);
  }
  Shape shape = {-1};
  for (int i = 0; i < rank; ++i) {
    const auto& dim = tensor.shape().dim(i);
    const bool is_known = dim.value_case() == onnx::TensorShapeProto::Dimension::kDimValue;
    if (i == 0 && is_known) {
      throw invalid_argument(what, ": expected a batch of any size in front, found ",
                             dim.dim_value(), "; export the model with a dynamic batch axis");
    }
    if (i > 0 && (!is_known || dim.dim_value() < 0)) {
      throw invalid_argument(what, ": expected sizes that are known but for the batch, found ",
                             dim.dim_param().empty() ? "none" : io::quote_name(dim.dim_param()),
                             " as dimension ", i);
    }
    if (i > 0) shape.push_back(dim.dim_value());
  }
  return {*dtype, shape};
}

// Whole numbers of another width are the same numbers.
Value argument_of(const OnnxFile& file, const OnnxInput& wanted, Value given) {
  const bool is_type = wanted.type.dtype == given.dtype() ||
                       (is_integer(wanted.type.dtype) && is_integer(given.dtype()));
  if (!is_type || !compatible(wanted.type.shape, given.shape())) {
    throw invalid_argument(file.path(), ": expected ", wanted.type, " as the input ",
                           io::quote_name(wanted.name), ", found ", given.type());
  }
  return given.dtype() == wanted.type.dtype ? given : ops::cast(given, wanted.type.dtype);
}

}  // namespace

std::vector<OnnxInput> inputs_of(const OnnxFile& file) {
  std::vector<OnnxInput> inputs;
  for (const onnx::ValueInfoProto& info : file.model().graph().input()) {
    // Older files list initializers, too.
    if (file.initializers().contains(info.name())) continue;
    inputs.push_back({info.name(), input_type(file, info)});
  }
  if (inputs.empty()) throw invalid_argument(file.path(), ": expected a model with an input");
  return inputs;
}

std::vector<std::string> outputs_of(const OnnxFile& file) {
  std::vector<std::string> outputs;
  for (const onnx::ValueInfoProto& info : file.model().graph().output()) {
    outputs.push_back(info.name());
  }
  if (outputs.empty()) throw invalid_argument(file.path(), ": expected a model with an output");
  return outputs;
}

void OnnxOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "path", .help = "the file of the model"}, path);
  visitor.field({.name = "output", .help = "which of its outputs", .default_text = "the first"},
                output);
  visitor.field({.name = "weights_of",
                 .help = "the name of another layer of the same file whose weights it shares",
                 .default_text = "weights of its own"},
                weights_of);
}

void OnnxOptions::check() const {
  if (path.empty()) throw invalid_argument("path: expected the file of a model of ONNX");
}

Value OnnxLayer::call_inputs(nn::BuildContext& context, std::span<const Value> inputs) {
  if (!file_) file_ = OnnxFile::open(options_.path);
  const std::vector<OnnxInput> wanted = inputs_of(*file_);
  if (inputs.size() != wanted.size()) {
    std::string names;
    for (const OnnxInput& input : wanted) {
      names += (names.empty() ? "" : ", ") + io::quote_name(input.name);
    }
    throw invalid_argument(file_->path(), ": the model takes ", wanted.size(), " inputs (", names,
                           "), found ", inputs.size(), "; name that many as `inputs` of the layer");
  }
  std::map<std::string, Value> arguments;
  for (size_t i = 0; i < wanted.size(); ++i) {
    arguments[wanted[i].name] = argument_of(*file_, wanted[i], inputs[i]);
  }
  const std::vector<std::string> outputs = outputs_of(*file_);
  const std::string output = options_.output.empty() ? outputs.front() : options_.output;
  if (std::ranges::find(outputs, output) == outputs.end()) {
    throw invalid_argument(file_->path(), ": the model has no output \"", printable(output), "\"",
                           did_you_mean(output, outputs));
  }
  const auto variable = [&](const std::string& name, const Tensor& tensor, bool trainable) {
    return context.shared_variable(
        options_.weights_of, name, tensor.type(),
        nn::Initializer([tensor](const nn::InitializerInput&) { return tensor; }), trainable);
  };
  OnnxImporter importer(*file_, context.graph(), variable);
  return importer.import(arguments, std::span(&output, 1)).front();
}

void register_onnx_layer(Catalog<nn::Layer>& catalog) {
  catalog.add<OnnxLayer>("onnx", "",
                         "what a model of ONNX computes, with its initializers as weights");
}

}  // namespace trireme::formats
