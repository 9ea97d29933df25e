#include "benchmarks/bench_models.h"

#include "core/base/error.h"
#include "core/data/characters.h"
#include "core/data/cifar10.h"
#include "core/data/clicks.h"
#include "core/data/idx.h"
#include "core/data/synthetic.h"
#include "core/nn/click_layers.h"
#include "core/nn/layers.h"
#include "core/nn/optimizers.h"
#include "core/nn/recurrent_layers.h"
#include "core/nn/residual_layers.h"
#include "core/nn/transformer_layers.h"
#include "worker/build_data.h"

namespace trireme {
namespace {

using nn::Activation;

void add_dense(nn::Model& model, std::initializer_list<int64_t> hidden) {
  for (int64_t units : hidden)
    model.add<nn::Dense>({.units = units, .activation = Activation::kRelu});
  model.add<nn::Dense>({.units = 10});
}

void build_mlp(nn::Model& model) {
  model.add<nn::Flatten>();
  add_dense(model, {128, 64});
}

void build_mlp_large(nn::Model& model) {  // 10 million parameters
  model.add<nn::Flatten>();
  add_dense(model, {2048, 2048, 2048});
}

// 28×28 padded to 32×32, 6@5×5, pool, 16@5×5, pool, 120, 84, 10
void build_lenet(nn::Model& model) {
  model.add<nn::ZeroPad2D>({.top = 2, .bottom = 2, .left = 2, .right = 2});
  for (int64_t filters : {6, 16}) {
    model.add<nn::Conv2D>(
        {.filters = filters, .kernel_h = 5, .kernel_w = 5, .activation = Activation::kRelu});
    model.add<nn::MaxPool2D>();
  }
  model.add<nn::Flatten>();
  add_dense(model, {120, 84});
}

// 32@3×3, pool, dropout, 64@3×3, pool, dropout, 512, dropout, 10
void build_cifar_cnn(nn::Model& model) {
  for (int64_t filters : {32, 64}) {
    model.add<nn::Conv2D>(
        {.filters = filters, .padding = ops::Padding::kSame, .activation = Activation::kRelu});
    model.add<nn::MaxPool2D>();
    model.add<nn::Dropout>({.rate = 0.2});
  }
  model.add<nn::Flatten>();
  model.add<nn::Dense>({.units = 512, .activation = Activation::kRelu});
  model.add<nn::Dropout>({.rate = 0.5});
  model.add<nn::Dense>({.units = 10});
}

void build_resnet50(nn::Model& model) {
  for (auto& layer : nn::resnet50()) model.add(std::move(layer));
}

void build_resnet20(nn::Model& model) {
  for (auto& layer : nn::resnet20()) model.add(std::move(layer));
}

constexpr int64_t kCharacters = 65, kContext = 128;

void build_char_lstm(nn::Model& model) {
  model.add<nn::Embedding>({.rows = kCharacters, .dimension = 64});
  for (int i = 0; i < 2; ++i) model.add<nn::Lstm>({.units = 256, .return_sequences = true});
  model.add<nn::Dense>({.units = kCharacters});
}

// 4 blocks, 128 wide, 4 heads
void build_char_transformer(nn::Model& model) {
  model.add<nn::TokenAndPositionEmbedding>(
      {.vocabulary = kCharacters, .sequence_length = kContext, .dimension = 128});
  for (int i = 0; i < 4; ++i) {
    model.add<nn::TransformerBlock>({.num_heads = 4,
                                     .intermediate_dim = 512,
                                     .activation = Activation::kGeluTanh,
                                     .use_causal_mask = true});
  }
  model.add<nn::LayerNorm>({.epsilon = 1e-5});
  model.add<nn::Dense>({.units = kCharacters});
}

constexpr int64_t kClickKeys = 5'000'000;

void build_dlrm(nn::Model& model) { model.add<nn::Dlrm>({.rows = kClickKeys}); }

data::Dataset mnist(const BenchData& data) {
  if (data.noise) return data::noise({8192, 28, 28, 1}, 10, 1).dataset();
  return data::mnist(data::find_data("mnist", data.data_dir), data::Split::kTrain).dataset();
}

data::Dataset cifar10(const BenchData& data) {
  if (data.noise) return data::noise({8192, 32, 32, 3}, 10, 1).dataset();
  return data::cifar10(data::find_data("cifar10", data.data_dir), data::Split::kTrain).dataset();
}

data::Dataset large_images(const BenchData& data) {
  return data::noise({1024, data.side, data.side, 3}, 1000, 1).dataset();
}

// Windows over the text, as data { characters } gives them.
data::Dataset characters(const BenchData& data) {
  std::string text;
  if (data.noise) {
    PhiloxGenerator random(1);
    for (int64_t i = 0; i < 1 << 20; ++i) {
      text += static_cast<char>(' ' + random.below(static_cast<uint64_t>(kCharacters)));
    }
  } else {
    text = data::read_character_file(data::find_data("tinyshakespeare.txt", data.data_dir));
  }
  const auto vocabulary = data::CharacterVocabulary::of(text, "tinyshakespeare.txt");
  if (vocabulary.size() != kCharacters) {
    throw invalid_argument("tinyshakespeare.txt: expected ", kCharacters,
                           " different characters, found ", vocabulary.size());
  }
  const auto numbers =
      std::make_shared<data::CharacterText>(std::move(text), vocabulary, "tinyshakespeare.txt");
  return data::character_windows(numbers, 0, numbers->size(), kContext, 1);
}

// Drawn once: drawing one takes longer than training on it.
data::Dataset clicks(const BenchData&) {
  constexpr int64_t kExamples = 256 << 10;
  const data::Clicks log({.keys = kClickKeys});
  data::Iterator all = log.dataset(0, kExamples).batch(kExamples).iterator();
  data::Element columns;
  all.next(columns);
  return data::from_tensors(columns, {"numbers", "keys", "label"});
}

std::shared_ptr<const nn::Optimizer> sgd() {
  return std::make_shared<nn::Sgd>(nn::constant_rate(0.01));
}
std::shared_ptr<const nn::Optimizer> adam() {
  return std::make_shared<nn::Adam>(nn::constant_rate(1e-3));
}
std::shared_ptr<const nn::Optimizer> adamw() {
  return std::make_shared<nn::AdamW>(nn::constant_rate(1e-3),
                                     rules::AdamW{.epsilon = 1e-8, .weight_decay = 0.01});
}
std::shared_ptr<const nn::Optimizer> momentum() {
  return std::make_shared<nn::Sgd>(nn::constant_rate(0.1),
                                   rules::Sgd{.momentum = 0.9, .weight_decay = 1e-4});
}
std::shared_ptr<const nn::Optimizer> momentum_without_decay() {
  return std::make_shared<nn::Sgd>(nn::constant_rate(0.1), rules::Sgd{.momentum = 0.9});
}
std::shared_ptr<const nn::Optimizer> adagrad() {
  return std::make_shared<nn::Adagrad>(nn::constant_rate(0.02),
                                       rules::Adagrad{.initial_accumulator = 1e-6});
}

nn::Loss class_loss() { return nn::sparse_categorical_cross_entropy(); }
nn::Loss click_loss() { return nn::binary_cross_entropy(); }

constexpr BenchModel kModels[] = {
    {"mlp", build_mlp, mnist, sgd, class_loss},
    {"mlp_large", build_mlp_large, mnist, sgd, class_loss},
    {"lenet", build_lenet, mnist, adam, class_loss},
    {"cifar_cnn", build_cifar_cnn, cifar10, adam, class_loss},
    {"resnet20", build_resnet20, cifar10, momentum_without_decay, class_loss},
    {"resnet50", build_resnet50, large_images, momentum, class_loss},
    {"char_lstm", build_char_lstm, characters, adam, class_loss},
    {"char_transformer", build_char_transformer, characters, adamw, class_loss},
    {"dlrm", build_dlrm, clicks, adagrad, click_loss}};

}  // namespace

std::vector<std::string> bench_model_names() {
  std::vector<std::string> names;
  for (const BenchModel& model : kModels) names.emplace_back(model.name);
  return names;
}

const BenchModel& find_bench_model(std::string_view name) {
  for (const BenchModel& model : kModels) {
    if (model.name == name) return model;
  }
  throw invalid_argument("there is no bench model '", name, "'");
}

}  // namespace trireme
