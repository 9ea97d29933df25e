#include "core/formats/saved_model/saved_model_reader.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/formats/saved_model/graph_importer.h"
#include "core/formats/saved_model/saved_model_layer.h"
#include "core/ops/ops.h"

namespace trireme::formats {
namespace {

constexpr const char* kLayer = "saved_model";

TensorType input_type(const SavedModelFile& file, const SignatureValue& input) {
  const auto fail = [&](const std::string& found) {
    throw invalid_argument(file.path(), ": expected the input \"", printable(input.name),
                           "\" to say its type and all sizes but that of the batch, found ", found,
                           "; a job with the layer `saved_model`, whose data say the sizes, can "
                           "use the file");
  };
  if (!input.dtype || *input.dtype == DType::kString) fail(input.dtype_name);
  if (!input.shape || input.shape->rank() == 0) fail("no shape with a batch");
  Shape shape = *input.shape;
  shape.set(0, -1);
  if (std::ranges::count(shape, int64_t{-1}) > 1) fail(input.shape->to_string());
  return {*input.dtype, shape};
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

}  // namespace

ModelFile read_saved_model(const std::string& path, const ReadOptions&) {
  const std::shared_ptr<const SavedModelFile> file = SavedModelFile::open(path);
  ModelFile model;
  model.place = path;
  model.name = kLayer;
  model.job_text = file->job_text();
  if (!model.job_text.empty()) {
    for (size_t i = 0; i < file->variables().size(); ++i) {
      const SavedVariable& variable = file->variables()[i];
      if (!variable.key.empty() && variable.unknown_dtype.empty()) {
        model.weights.emplace(variable.name, file->read(i));
      }
    }
    return model;
  }
  const Signature& signature = file->signature("");
  if (signature.inputs.empty() || signature.outputs.empty()) {
    throw invalid_argument(path, ": expected the signature \"", printable(signature.name),
                           "\" to have inputs and outputs, found ", signature.inputs.size(),
                           " and ", signature.outputs.size());
  }
  // Built once here, to know which variables it reads and that every op is there.
  Graph trial(core_op_table());
  std::vector<Value> inputs;
  std::vector<std::string> input_names, output_names;
  for (const SignatureValue& input : signature.inputs) {
    const TensorType type = input_type(*file, input);
    model.inputs.push_back({input.name, type});
    inputs.push_back(ops::placeholder(trial, "input", type.dtype, type.shape));
    input_names.push_back(str_cat("feature_", input_names.size()));
  }
  for (const SignatureValue& output : signature.outputs) output_names.push_back(output.name);
  std::set<size_t> used;
  GraphImporter importer(*file, trial, [&](size_t index) {
    used.insert(index);
    const SavedVariable& variable = file->variables()[index];
    return ops::variable(trial, variable.name, variable.type.dtype, variable.type.shape);
  });
  (void)importer.import(signature, inputs, output_names);
  model.notes = importer.notes();
  for (const size_t index : used) {
    model.weights.emplace(str_cat(kLayer, "/", file->variables()[index].name), file->read(index));
  }
  std::set<std::string> names;
  for (const std::string& output : output_names) {
    const bool is_first = names.empty();
    std::string name = is_first ? kLayer : layer_name(output);
    while (!names.insert(name).second) name += "_";
    auto layer = std::make_shared<SavedModelLayer>(
        SavedModelOptions{.path = path,
                          .signature = signature.name,
                          .output = output_names.size() == 1 ? "" : output,
                          .weights_of = is_first ? "" : kLayer,
                          .name = name},
        file);
    layer->set_inputs(input_names);
    model.layers.push_back(std::move(layer));
    model.outputs.push_back(name);
  }
  return model;
}

bool is_saved_model(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path + "/saved_model.pb", ignored);
}

std::string describe_saved_model(const std::string& path) {
  return SavedModelFile::open(path)->describe();
}

}  // namespace trireme::formats
