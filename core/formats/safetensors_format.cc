#include "core/formats/safetensors_format.h"

#include <charconv>

#include "core/base/error.h"
#include "core/io/safetensors.h"

namespace trireme::formats {
namespace {

constexpr std::string_view kExtension = ".safetensors";
constexpr const char* kJob = "trireme.job";
constexpr const char* kStep = "trireme.step";
constexpr const char* kName = "trireme.name";
// What nn::slot_name() begins with.
constexpr std::string_view kSlots = "optimizer/";

int64_t parse_step(const std::string& text, const std::string& path) {
  int64_t step = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
  if (error != std::errc() || end != text.data() + text.size() || step < 0) {
    throw data_loss(path, ": expected a number of steps as \"", kStep, "\", found ",
                    io::quote_name(text));
  }
  return step;
}

ModelFile read(const std::string& path, const ReadOptions& options) {
  const io::SafetensorsReader reader(path);
  ModelFile file;
  // The layers of the model that the weights are said to be of.
  if (options.model != nullptr) {
    file = *options.model;
    file.training.reset();
  }
  file.place = path;
  file.weights = reader.read_all();
  const io::SafetensorsMetadata& texts = reader.metadata();
  if (const auto job = texts.find(kJob); job != texts.end()) file.job_text = job->second;
  if (const auto name = texts.find(kName); name != texts.end()) file.name = name->second;
  const auto step = texts.find(kStep);
  if (step == texts.end()) return file;
  // Written by us with a training's state; of other files "optimizer/…" may be a weight.
  file.training.emplace();
  file.training->step = parse_step(step->second, path);
  for (auto weight = file.weights.lower_bound(std::string(kSlots));
       weight != file.weights.end() && weight->first.starts_with(kSlots);) {
    file.training->slots.insert(file.weights.extract(weight++));
  }
  return file;
}

void write(const ModelFile& model, const std::string& path, const WriteOptions&) {
  // As the libraries of others ask for: kernels lie as TensorFlow has them.
  io::SafetensorsMetadata texts = {{"format", "tf"}, {kName, model.name}};
  nn::StateMap tensors = model.weights;
  if (!model.job_text.empty()) texts[kJob] = model.job_text;
  if (model.training) {
    texts[kStep] = std::to_string(model.training->step);
    for (const auto& [name, slot] : model.training->slots) {
      if (!name.starts_with(kSlots) || !tensors.emplace(name, slot).second) {
        throw invalid_argument(path, ": the optimizer's slot ", io::quote_name(name),
                               " is named as a weight, or not \"", kSlots, "…\"");
      }
    }
  }
  io::write_safetensors(path, tensors, texts);
}

}  // namespace

Format safetensors_format() {
  return {.name = "safetensors",
          .help = "named weights without layers, as Hugging Face's libraries read them",
          .detect = io::is_safetensors,
          .suits = [](const std::string& path) { return path.ends_with(kExtension); },
          .read = read,
          .write = write};
}

}  // namespace trireme::formats
