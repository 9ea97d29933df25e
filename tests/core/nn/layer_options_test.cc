// The descriptions of the layers' options: what job files and `trireme describe` follow from.
#include <map>

#include "core/nn/click_layers.h"
#include "core/nn/residual_layers.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

// The options of a component as texts, by their paths; nothing that is absent.
class OptionTexts : public OptionVisitor {
 public:
  std::map<std::string, std::string> texts, keras;
  std::map<std::string, std::string> written;  // what a visited option is set to

  void field(const OptionInfo& info, bool& x) override { number(info, x); }
  void field(const OptionInfo& info, int64_t& x) override { number(info, x); }
  void field(const OptionInfo& info, uint64_t& x) override { number(info, x); }
  void field(const OptionInfo& info, double& x) override { number(info, x); }
  void field(const OptionInfo& info, std::string& x) override { note(info, x); }
  void field(const OptionInfo& info, std::optional<bool>& x) override { maybe(info, x); }
  void field(const OptionInfo& info, std::optional<int64_t>& x) override { maybe(info, x); }
  void field(const OptionInfo& info, std::optional<double>& x) override { maybe(info, x); }
  void field(const OptionInfo& info, std::optional<std::string>& x) override {
    note(info, x.value_or("absent"));
  }
  void field(const OptionInfo& info, std::vector<int64_t>& x) override { list(info, x); }
  void field(const OptionInfo& info, std::vector<double>& x) override { list(info, x); }
  void field(const OptionInfo& info, std::vector<std::string>& x) override { list(info, x); }
  void negated(const OptionInfo& info, bool& x) override {
    if (const auto found = written.find(path_ + std::string(info.name)); found != written.end()) {
      x = found->second != "1";
    }
  }
  void choice(const OptionInfo& info, std::span<const std::string_view> names,
              size_t& index) override {
    note(info, std::string(names[index]));
    if (const auto found = written.find(path_ + std::string(info.name)); found != written.end()) {
      index = static_cast<size_t>(std::ranges::find(names, found->second) - names.begin());
    }
  }
  bool begin_group(const OptionInfo& info, bool& present) override {
    note(info, present ? "present" : "absent");
    outer_.push_back(path_);
    path_ += std::string(info.name) + ".";
    return true;
  }
  void end_group() override {
    path_ = outer_.back();
    outer_.pop_back();
  }
  void component(const OptionInfo& info, ComponentSlot& slot) override {
    note(info, slot.get() == nullptr ? "absent" : "a component");
  }
  void components(const OptionInfo& info, ComponentListSlot& slot) override {
    note(info, str_cat(slot.size(), " components"));
  }

 private:
  void note(const OptionInfo& info, const std::string& text) {
    texts[path_ + std::string(info.name)] = text;
    keras[path_ + std::string(info.name)] = info.keras.empty() ? info.name : info.keras;
  }
  template <typename T>
  void number(const OptionInfo& info, T& value) {
    note(info, str_cat(value));
    if (const auto found = written.find(path_ + std::string(info.name)); found != written.end()) {
      value = static_cast<T>(std::stod(found->second));
    }
  }
  template <typename T>
  void maybe(const OptionInfo& info, std::optional<T>& value) {
    note(info, value ? str_cat(*value) : "absent");
    if (const auto found = written.find(path_ + std::string(info.name)); found != written.end()) {
      value = static_cast<T>(std::stod(found->second));
    }
  }
  template <typename T>
  void list(const OptionInfo& info, const std::vector<T>& values) {
    std::string text;
    for (const T& value : values) text += str_cat(text.empty() ? "" : " ", value);
    note(info, text);
  }

  std::string path_;
  std::vector<std::string> outer_;
};

Catalog<Layer> core_layers() {
  Catalog<Layer> catalog;
  register_core_layers(catalog);
  return catalog;
}

std::map<std::string, std::string> texts_of(Layer& layer) {
  OptionTexts visitor;
  layer.describe(visitor);
  return visitor.texts;
}

// Sets what a job file would, and gives the texts that it would be written back with.
std::map<std::string, std::string> texts_after(std::string_view name,
                                               std::map<std::string, std::string> written) {
  const auto layer = core_layers().make(name);
  OptionTexts visitor;
  visitor.written = std::move(written);
  layer->describe(visitor);
  return texts_of(*layer);
}

// A job file that leaves an option out means what a Keras user expects.
TEST(LayerOptionsTest, DefaultsAreThoseThatKerasDocuments) {
  struct Default {
    const char *layer, *option, *keras_layer, *keras, *value;
  };
  const Default defaults[] = {
      {"dense", "activation", "Dense", "activation", "NONE"},
      {"dense", "use_bias", "Dense", "use_bias", "1"},
      {"conv2d", "stride", "Conv2D", "strides", "1"},
      {"conv2d", "dilation", "Conv2D", "dilation_rate", "1"},
      {"conv2d", "groups", "Conv2D", "groups", "1"},
      {"conv2d", "padding", "Conv2D", "padding", "VALID"},
      {"conv2d", "use_bias", "Conv2D", "use_bias", "1"},
      {"max_pool2d", "window", "MaxPooling2D", "pool_size", "2"},
      {"max_pool2d", "stride", "MaxPooling2D", "strides", "absent"},
      {"avg_pool2d", "window", "AveragePooling2D", "pool_size", "2"},
      {"zero_pad2d", "padding", "ZeroPadding2D", "padding", "1"},
      {"batch_norm", "momentum", "BatchNormalization", "momentum", "0.99"},
      {"batch_norm", "epsilon", "BatchNormalization", "epsilon", "0.001"},
      {"layer_norm", "epsilon", "LayerNormalization", "epsilon", "0.001"},
  };
  const Catalog<Layer> catalog = core_layers();
  for (const Default& d : defaults) {
    EXPECT_EQ(catalog.find(d.layer).keras, d.keras_layer);
    OptionTexts visitor;
    catalog.make(d.layer)->describe(visitor);
    EXPECT_EQ(visitor.texts.at(d.option), d.value) << d.layer << " " << d.option;
    EXPECT_EQ(visitor.keras.at(d.option), d.keras) << d.layer << " " << d.option;
  }
}

// Error messages and names that are made come from type(); a job file names the entry.
TEST(LayerOptionsTest, EachLayerIsFoundByItsType) {
  const Catalog<Layer> catalog = core_layers();
  EXPECT_GE(catalog.entries().size(), 17u);
  for (const CatalogEntry& entry : catalog.entries()) {
    const auto layer = catalog.make(entry.name);
    EXPECT_EQ(layer->type(), entry.name);
    EXPECT_EQ(catalog.entry_of(*layer), &entry);
    EXPECT_FALSE(entry.help.empty()) << entry.name;
  }
}

// One number for both directions, or one for each: both are written back as they were given.
TEST(LayerOptionsTest, AWindowIsSquareOrHasTwoSides) {
  auto square = texts_after("conv2d", {{"kernel", "5"}});
  EXPECT_EQ(square.at("kernel"), "5");
  EXPECT_EQ(square.at("kernel_height"), "absent");
  auto sides = texts_after("conv2d", {{"kernel_height", "1"}, {"kernel_width", "7"}});
  EXPECT_EQ(sides.at("kernel"), "absent");
  EXPECT_EQ(sides.at("kernel_height"), "1");
  EXPECT_EQ(sides.at("kernel_width"), "7");
  auto one = texts_after("max_pool2d", {{"stride", "2"}, {"stride_width", "1"}});
  EXPECT_EQ(one.at("stride_height"), "2");
  EXPECT_EQ(one.at("stride_width"), "1");
  auto padded = texts_after("zero_pad2d", {{"padding", "0"}, {"left", "3"}});
  EXPECT_EQ(padded.at("top"), "0");
  EXPECT_EQ(padded.at("left"), "3");
}

// The name that job files have used so far.
TEST(LayerOptionsTest, NoBiasIsTheOppositeOfUseBias) {
  EXPECT_EQ(texts_after("dense", {{"no_bias", "1"}}).at("use_bias"), "0");
  EXPECT_EQ(texts_after("conv2d", {{"no_bias", "0"}}).at("use_bias"), "1");
}

// A 0 that is written is a 0: the moving averages are those of the last batch.
TEST(LayerOptionsTest, AMomentumOfZeroKeepsNothing) {
  EXPECT_EQ(texts_after("batch_norm", {{"momentum", "0"}}).at("momentum"), "0");
  Model model;
  model.add<BatchNorm>({.momentum = 0}).add<Dense>({.units = 1});
  model.compile(
      {.optimizer = std::make_shared<Sgd>(constant_rate(0)), .loss = mean_squared_error()});
  const auto data = data::from_tensors({Tensor::from<float>({4, 1}, {1, 3, 5, 7}),
                                        Tensor::zeros(DType::kFloat32, {4, 1})},
                                       {"x", "y"})
                        .batch(4);
  model.fit(data, quiet(1));
  EXPECT_FLOAT_EQ(model.weights().at("batch_norm/moving_mean").item<float>(), 4);
}

// What a layer cannot do without is not guessed.
TEST(LayerOptionsTest, WhatMustBeGivenIsAskedFor) {
  const Catalog<Layer> catalog = core_layers();
  for (const auto& [layer, option] : {std::pair{"dense", "units"},
                                      {"conv2d", "filters"},
                                      {"embedding", "vocabulary"},
                                      {"dropout", "rate"},
                                      {"dlrm", "keys"},
                                      {"wide_deep", "keys"},
                                      {"bottleneck", "filters"},
                                      {"residual", "at least one layer"}}) {
    Model model;
    EXPECT_THAT(error_of([&] { model.add(catalog.make(layer)); }), testing::HasSubstr(option))
        << layer;
  }
}

TEST(LayerOptionsTest, AChosenInitializerIsUsed) {
  Model model;
  model.add<Dense>(
      {.units = 1, .kernel_initializer = constant(2), .bias_initializer = constant(1)});
  EXPECT_EQ(model.predict(Tensor::from<float>({1, 1}, {3})).item<float>(), 7);
}

}  // namespace
}  // namespace trireme::nn
