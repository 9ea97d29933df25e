#include "core/formats/saved_model/saved_model_layer.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/formats/saved_model/graph_importer.h"
#include "core/ops/ops.h"

namespace trireme::formats {
namespace {

std::string list_names(const std::vector<SignatureValue>& values) {
  std::string text;
  for (const SignatureValue& value : values) {
    text += (text.empty() ? "\"" : ", \"") + printable(value.name) + "\"";
  }
  return text;
}

std::string to_text(const SignatureValue& value) {
  return str_cat(value.dtype ? std::string(name(*value.dtype)) : value.dtype_name,
                 value.shape ? value.shape->to_string() : "");
}

// Whole numbers of another width are the same numbers.
Value argument_of(const SavedModelFile& file, const SignatureValue& wanted, Value given) {
  const auto fits = [&](const Shape& shape) {
    if (shape.rank() != given.shape().rank()) return false;
    for (int i = 1; i < shape.rank(); ++i) {
      if (shape[i] >= 0 && given.shape()[i] >= 0 && shape[i] != given.shape()[i]) return false;
    }
    return true;
  };
  const bool is_type = wanted.dtype == given.dtype() ||
                       (wanted.dtype && is_integer(*wanted.dtype) && is_integer(given.dtype()));
  if (!is_type || (wanted.shape && !fits(*wanted.shape))) {
    throw invalid_argument(file.path(), ": expected ", to_text(wanted), " as the input \"",
                           printable(wanted.name), "\" of the signature, found ", given.type());
  }
  return given.dtype() == *wanted.dtype ? given : ops::cast(given, *wanted.dtype);
}

}  // namespace

void SavedModelOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "path", .help = "the folder of the SavedModel"}, path);
  visitor.field({.name = "signature",
                 .help = "of which signature",
                 .default_text = "serving_default, or the only one",
                 .keras = "call_endpoint"},
                signature);
  visitor.field({.name = "output",
                 .help = "which of its outputs",
                 .default_text = "the first in the order of names"},
                output);
  visitor.field({.name = "arguments",
                 .help = "which of the signature's inputs each input of the layer is",
                 .default_text = "in the order of names"},
                arguments);
  visitor.field({.name = "weights_of",
                 .help = "the name of another layer of the same file whose weights it shares",
                 .default_text = "weights of its own"},
                weights_of);
}

void SavedModelOptions::check() const {
  if (path.empty()) throw invalid_argument("path: expected the folder of a SavedModel");
}

std::vector<Value> signature_arguments(const SavedModelFile& file, const Signature& signature,
                                       std::span<const Value> inputs,
                                       const std::vector<std::string>& arguments) {
  const size_t count = signature.inputs.size();
  if (inputs.size() != count || (!arguments.empty() && arguments.size() != count)) {
    throw invalid_argument(
        file.path(), ": the signature \"", printable(signature.name), "\" takes ", count,
        " inputs (", list_names(signature.inputs), "), found ",
        inputs.size() != count ? inputs.size() : arguments.size(),
        inputs.size() != count ? "; name that many as `inputs` of the layer" : " `arguments`");
  }
  std::vector<Value> values(count);
  for (size_t i = 0; i < count; ++i) {
    size_t at = i;
    if (!arguments.empty()) {
      const auto found = std::ranges::find(signature.inputs, arguments[i], &SignatureValue::name);
      if (found == signature.inputs.end()) {
        throw invalid_argument(file.path(), ": the signature \"", printable(signature.name),
                               "\" has no input \"", printable(arguments[i]), "\", only ",
                               list_names(signature.inputs));
      }
      at = static_cast<size_t>(found - signature.inputs.begin());
    }
    if (values[at].defined()) {
      throw invalid_argument("arguments: \"", printable(arguments[i]), "\" stands twice");
    }
    values[at] = argument_of(file, signature.inputs[at], inputs[i]);
  }
  return values;
}

Value SavedModelLayer::call_inputs(nn::BuildContext& context, std::span<const Value> inputs) {
  if (!file_) file_ = SavedModelFile::open(options_.path);
  const Signature& signature = file_->signature(options_.signature);
  const std::vector<Value> arguments =
      signature_arguments(*file_, signature, inputs, options_.arguments);
  std::string output = options_.output;
  if (output.empty() && !signature.outputs.empty()) output = signature.outputs.front().name;
  if (std::ranges::find(signature.outputs, output, &SignatureValue::name) ==
      signature.outputs.end()) {
    throw invalid_argument(file_->path(), ": the signature \"", printable(signature.name),
                           "\" has no output \"", printable(output), "\", only ",
                           list_names(signature.outputs));
  }
  const auto variable = [&](size_t index) {
    const SavedVariable& saved = file_->variables()[index];
    // Only numbers of 32 bits are trained.
    const bool is_trainable = saved.is_trainable && saved.type.dtype == DType::kFloat32;
    return context.shared_variable(
        options_.weights_of, saved.name, saved.type,
        nn::Initializer(
            [file = file_, index](const nn::InitializerInput&) { return file->read(index); }),
        is_trainable);
  };
  GraphImporter importer(*file_, context.graph(), variable);
  return importer.import(signature, arguments, std::span(&output, 1)).front();
}

void register_saved_model_layer(Catalog<nn::Layer>& catalog) {
  catalog.add<SavedModelLayer>("saved_model", "TFSMLayer",
                               "what a signature of a TensorFlow SavedModel computes, with its "
                               "variables as weights");
}

}  // namespace trireme::formats
