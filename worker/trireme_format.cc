#include "worker/trireme_format.h"

#include <filesystem>

#include "core/base/error.h"
#include "core/base/input_stream.h"
#include "core/io/atomic_file.h"
#include "core/io/checkpoint.h"
#include "core/nn/load_weights.h"
#include "core/nn/strings.h"
#include "worker/job_record.h"
#include "worker/job_schema.h"
#include "worker/model_package.h"
#include "worker/model_text.h"
#include "worker/preprocessing.h"
#include "worker/rows_checkpoint.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using formats::ModelFile;

constexpr const char* kCheckpoints = "checkpoints";
constexpr const char* kJobFile = "job.textproto";
constexpr std::string_view kSlots = "optimizer/";
// What TensorFlow's own checkpoints of objects have, which other names stand in.
constexpr const char* kObjectGraph = "_CHECKPOINTABLE_OBJECT_GRAPH";

bool is_file(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

}  // namespace

bool is_own_checkpoint(const std::string& path) {
  if (is_file((fs::path(path) / "saved_model.pb").string())) return false;
  try {
    const io::BundleReader reader(io::resolve_checkpoint(own_checkpoint(path)));
    for (const std::string& name : reader.names()) {
      if (name == kObjectGraph) return false;
    }
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::string own_checkpoint(const std::string& path) {
  std::error_code error;
  const std::string inner = (fs::path(path) / kCheckpoints).string();
  return fs::is_directory(inner, error) ? inner : path;
}

namespace {

// The layers and the training of `described`; `file` keeps its weights and its step.
void take_model(const ModelFile& described, ModelFile& file) {
  file.name = described.name;
  if (file.inputs.empty()) file.inputs = described.inputs;
  file.layers = described.layers;
  file.outputs = described.outputs;
  if (!described.training) return;
  if (!file.training) file.training.emplace();
  file.training->optimizer = described.training->optimizer;
  file.training->outputs = described.training->outputs;
}

// Words that layers took from the training data.
void restore_vocabularies(const ModelFile& file, const data::PreprocessingPtr& preprocessing) {
  const data::Vocabularies saved = data::vocabularies_of(preprocessing);
  for (const auto& layer : file.layers) {
    auto* const texts = dynamic_cast<nn::StringLayer*>(layer.get());
    if (const auto found = saved.find(layer->name()); texts != nullptr && found != saved.end()) {
      texts->set_vocabulary(found->second);
    }
  }
}

// What the model predicts with are the averages, where its optimizer keeps them.
void take_averages(ModelFile& file, const nn::StateMap& state) {
  if (!file.training || !file.training->optimizer) return;
  const nn::Optimizer& optimizer = *file.training->optimizer;
  if (!optimizer.update_options().use_ema) return;
  const nn::StateMap averaged = nn::with_averages(state, optimizer.name());
  for (auto& [name, value] : file.weights) value = averaged.at(name);
  file.notes.push_back(
      "the weights are the optimizer's moving averages (use_ema), which predictions are made with");
}

ModelFile read(const JobSchema& schema, const std::string& path,
               const formats::ReadOptions& options) {
  if (is_package(path)) return read_package(path, schema);
  const std::string prefix = io::resolve_checkpoint(own_checkpoint(path));
  nn::StateMap state = io::load_checkpoint(prefix);
  if (rows_belong_to(prefix, state)) {
    throw invalid_argument(
        prefix,
        ": the rows of its embeddings lie on parameter servers, which no file of a model holds; "
        "train one more epoch with --strategy one_device to have them in the checkpoint");
  }
  ModelFile file;
  file.place = prefix;
  for (const auto& [name, value] : state) {
    if (nn::is_weight(name)) file.weights[name] = value;
    if (!name.starts_with(kSlots)) continue;
    if (!file.training) file.training.emplace();
    file.training->slots[name] = value;
  }
  if (const auto step = state.find("step"); step != state.end()) {
    if (!file.training) file.training.emplace();
    file.training->step = step->second.item<int64_t>();
  }
  file.job_text = recorded_job(state).value_or("");
  if (options.model != nullptr) {
    take_model(*options.model, file);
  } else if (!file.job_text.empty()) {
    take_model(parse_model(schema, file.job_text, prefix + ": its job"), file);
  }
  const data::PreprocessingPtr preprocessing = saved_preprocessing(state, prefix);
  file.preprocessing = data::preprocessing_text(preprocessing);
  restore_vocabularies(file, preprocessing);
  take_averages(file, state);
  return file;
}

void write(const JobSchema& schema, const ModelFile& file, const std::string& path) {
  io::create_directories(path);
  const nn::StateMap state = checkpoint_of(schema, file);
  io::CheckpointManager((fs::path(path) / kCheckpoints).string())
      .save(state.at("step").item<int64_t>(), state);
  io::write_file_atomically((fs::path(path) / kJobFile).string(), print_job(schema, file));
}

}  // namespace

nn::StateMap checkpoint_of(const JobSchema& schema, const ModelFile& file) {
  nn::StateMap state = file.weights;
  if (file.training) {
    for (const auto& [name, value] : file.training->slots) state[name] = value;
  }
  state["step"] = Tensor::scalar<int64_t>(file.training ? file.training->step : 0);
  if (!file.layers.empty()) record_model(print_job(schema, file), state);
  if (!file.preprocessing.empty()) save_preprocessing(file.preprocessing, state);
  return state;
}

formats::Format trireme_format(std::shared_ptr<const JobSchema> schema) {
  return {
      .name = "trireme",
      .help = "a training's folder, with job.textproto and checkpoints/, or one checkpoint",
      .detect = [](const std::string& path) { return is_package(path) || is_own_checkpoint(path); },
      // A folder: no other format is named without an ending.
      .suits = [](const std::string& path) { return !fs::path(path).has_extension(); },
      .read = [schema](
                  const std::string& path,
                  const formats::ReadOptions& options) { return read(*schema, path, options); },
      .write = [schema](const ModelFile& file, const std::string& path,
                        const formats::WriteOptions&) { write(*schema, file, path); }};
}

}  // namespace trireme
