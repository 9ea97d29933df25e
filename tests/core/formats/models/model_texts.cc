#include "tests/core/formats/models/model_texts.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "worker/build_model.h"
#include "worker/job_file.h"
#include "worker/model_text.h"

namespace trireme::testing {
namespace {

using formats::ModelFile;
using formats::ModelInput;

struct Feature {
  TensorType type;
  uint64_t keys = 0;  // how many there are; 0: numbers
};
struct Text {
  std::string name;
  std::vector<Feature> features;
};

const std::vector<Text>& texts() {
  static const std::vector<Text> all = {
      {"mnist_mlp", {{{DType::kFloat32, {-1, 28, 28, 1}}}}},
      {"lenet", {{{DType::kFloat32, {-1, 28, 28, 1}}}}},
      {"cifar_cnn", {{{DType::kFloat32, {-1, 32, 32, 3}}}}},
      {"resnet20", {{{DType::kFloat32, {-1, 32, 32, 3}}}}},
      {"two_in_two_out", {{{DType::kFloat32, {-1, 13}}}, {{DType::kInt64, {-1, 26}}, 2600}}},
      {"embedding_bag", {{{DType::kInt64, {-1, 20}}, 500}}},
      {"char_lstm", {{{DType::kInt64, {-1, 16}}, 48}}},
      {"char_transformer", {{{DType::kInt64, {-1, 16}}, 48}}},
  };
  return all;
}

const Text& text_of(const std::string& name) {
  const auto found = std::ranges::find(texts(), name, &Text::name);
  if (found == texts().end()) throw invalid_argument("there is no model \"", name, "\"");
  return *found;
}

// Small enough that no layer saturates, large enough that each number counts.
void fill(Tensor& tensor, PhiloxGenerator& random, float low, float high) {
  for (float& value : tensor.flat<float>()) value = random.uniform(low, high);
}

Tensor random_weight(const nn::VariableSpec& spec, PhiloxGenerator& random) {
  Tensor tensor(DType::kFloat32, spec.value.shape());
  if (spec.name.ends_with("variance")) {
    fill(tensor, random, 0.5F, 1.5F);
  } else if (spec.name.ends_with("gamma")) {
    fill(tensor, random, 0.7F, 1.3F);
  } else if (spec.value.shape().rank() < 2) {
    fill(tensor, random, -0.3F, 0.3F);
  } else {
    // The variance of a sum over the inputs stays near 1.
    const Shape& shape = spec.value.shape();
    const auto inputs = static_cast<float>(tensor.elements() / std::max<int64_t>(1, shape.dim(-1)));
    const bool is_table = spec.name.find("embeddings") != std::string::npos;
    const float bound = is_table ? 1.0F : std::sqrt(3.0F / inputs);
    fill(tensor, random, -bound, bound);
  }
  return tensor;
}

void add_slots(const nn::VariableSpec& spec, const nn::Optimizer& optimizer,
               PhiloxGenerator& random, nn::StateMap& slots) {
  for (const nn::SlotSpec& slot : optimizer.slots_of(spec.name, spec.value.shape())) {
    Tensor tensor(DType::kFloat32, slot.shape.value_or(spec.value.shape()));
    fill(tensor, random, 0.001F, 0.01F);  // second moments are no less than 0
    slots[nn::slot_name(optimizer.name(), slot.name, spec.name)] = tensor;
  }
}

}  // namespace

const std::vector<std::string>& model_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Text& text : texts()) all.push_back(text.name);
    return all;
  }();
  return names;
}

std::string model_path(const std::string& name) {
  return str_cat(TRIREME_SOURCE_DIR "/tests/core/formats/models/", name, ".textproto");
}

std::vector<ModelInput> model_inputs(const std::string& name) {
  std::vector<ModelInput> inputs;
  for (const Feature& feature : text_of(name).features) {
    inputs.push_back({str_cat("feature_", inputs.size()), feature.type});
  }
  return inputs;
}

ModelFile model_file(const std::string& name, uint64_t seed) {
  const JobFile job = JobFile::read(model_path(name));
  nn::Model model({.name = name});
  std::vector<TensorType> types;
  for (const Feature& feature : text_of(name).features) types.push_back(feature.type);
  build_layers(model, job, types);

  ModelFile file = model_of(job);
  formats::TrainingPart& training = *file.training;
  training.step = 23;
  PhiloxGenerator random(seed);
  nn::StateMap weights;
  for (const nn::VariableSpec& spec : model.variables().all()) {
    weights[spec.name] = random_weight(spec, random);
    if (spec.role != nn::VariableRole::kTrainable) continue;
    add_slots(spec, *training.optimizer, random, training.slots);
  }
  file.inputs = model_inputs(name);
  file.weights = std::move(weights);
  return file;
}

std::vector<Tensor> random_features(const std::string& name, int64_t batch, uint64_t seed) {
  PhiloxGenerator random(seed, 1);
  std::vector<Tensor> features;
  for (const Feature& feature : text_of(name).features) {
    Shape shape = feature.type.shape;
    shape.set(0, batch);
    Tensor tensor(feature.type.dtype, shape);
    if (feature.keys > 0) {
      for (int64_t& key : tensor.flat<int64_t>()) {
        key = static_cast<int64_t>(random.below(feature.keys));
        if (random.below(8) == 0) key = 0;
      }
    } else {
      for (float& value : tensor.flat<float>()) value = random.normal();
    }
    features.push_back(std::move(tensor));
  }
  return features;
}

}  // namespace trireme::testing
