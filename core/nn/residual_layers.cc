#include "core/nn/residual_layers.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme::nn {
namespace {

[[noreturn]] void refuse_name(const std::string& name) {
  throw invalid_argument("the name \"", name, "\" is taken; names of layers must differ");
}

// Names that are given come first, wherever they stand: one that is made must differ from them.
void give_names(LayerList& layers, const std::string& prefix, LayerNames& names) {
  for (auto& layer : layers) {
    if (!layer->name().empty() && !names.take(layer->name())) refuse_name(layer->name());
  }
  for (auto& layer : layers) {
    if (layer->name().empty()) layer->set_name(names.make(prefix + layer->type()));
  }
}

Value call_all(BuildContext& context, const LayerList& layers, Value x) {
  for (const auto& layer : layers) x = context.call(*layer, x);
  return x;
}

template <typename L>
void add(LayerList& layers, typename L::Options options = {}) {
  layers.push_back(std::make_unique<L>(std::move(options)));
}

Conv2DOptions convolution(int64_t filters, int64_t kernel, int64_t stride) {
  return {.filters = filters,
          .kernel_h = kernel,
          .kernel_w = kernel,
          .stride_h = stride,
          .stride_w = stride,
          .use_bias = false,
          .kernel_initializer = he_normal()};
}

constexpr ZeroPad2DOptions all_sides(int64_t pixels) {
  return {.top = pixels, .bottom = pixels, .left = pixels, .right = pixels};
}

std::unique_ptr<Residual> bottleneck_block(const BottleneckOptions& stage, int64_t index) {
  const int64_t stride = index == 0 ? stage.stride : 1;
  const BatchNormOptions norm{.momentum = stage.momentum, .epsilon = stage.epsilon};
  ResidualOptions block{.activation = Activation::kRelu, .name = str_cat("block_", index)};
  add<Conv2D>(block.layers, convolution(stage.filters, 1, 1));
  add<BatchNorm>(block.layers, norm);
  add<ActivationLayer>(block.layers, {.activation = Activation::kRelu});
  add<ZeroPad2D>(block.layers, all_sides(1));
  add<Conv2D>(block.layers, convolution(stage.filters, 3, stride));
  add<BatchNorm>(block.layers, norm);
  add<ActivationLayer>(block.layers, {.activation = Activation::kRelu});
  add<Conv2D>(block.layers, convolution(4 * stage.filters, 1, 1));
  add<BatchNorm>(block.layers, norm);
  if (index == 0) {
    add<Conv2D>(block.shortcut, convolution(4 * stage.filters, 1, stride));
    add<BatchNorm>(block.shortcut, norm);
  }
  return std::make_unique<Residual>(std::move(block));
}

// relu(conv, norm, relu, conv, norm + shortcut), all convolutions of the block 3×3. The first block
// of a stage may halve the image, and then its shortcut is a convolution 1×1.
std::unique_ptr<Layer> basic_block(int64_t filters, int64_t stride, std::string name) {
  const BatchNormOptions norm{.momentum = 0.9, .epsilon = 1e-5};
  const auto same = [&](int64_t kernel, int64_t step) {
    Conv2DOptions options = convolution(filters, kernel, step);
    options.padding = ops::Padding::kSame;
    return options;
  };
  ResidualOptions block{.activation = Activation::kRelu, .name = std::move(name)};
  add<Conv2D>(block.layers, same(3, stride));
  add<BatchNorm>(block.layers, norm);
  add<ActivationLayer>(block.layers, {.activation = Activation::kRelu});
  add<Conv2D>(block.layers, same(3, 1));
  add<BatchNorm>(block.layers, norm);
  if (stride != 1) {
    add<Conv2D>(block.shortcut, same(1, stride));
    add<BatchNorm>(block.shortcut, norm);
  }
  return std::make_unique<Residual>(std::move(block));
}

}  // namespace

void ResidualOptions::describe(OptionVisitor& visitor) {
  visitor.components({.name = "layers", .help = "the way to what is added to the input"}, layers);
  visitor.components({.name = "shortcut",
                      .help = "layers that the input goes through before it is added",
                      .default_text = "none: the input itself"},
                     shortcut);
  nn::describe(visitor, {.name = "activation", .help = "of the sum"}, activation);
}

void ResidualOptions::check() const {
  if (layers.empty()) throw invalid_argument("residual: expected at least one layer");
}

void Residual::name_parts() {
  LayerNames names;  // those that are given stay in the next pass
  give_names(options_.layers, "", names);
  give_names(options_.shortcut, "shortcut_", names);
}

Value Residual::call(BuildContext& context, Value x) {
  name_parts();
  const Value made = call_all(context, options_.layers, x);
  const Value shortcut = call_all(context, options_.shortcut, x);
  context.require(made.type() == shortcut.type(),
                  str_cat("layers and a shortcut that give the same shape, which give ",
                          made.shape(), " and ", shortcut.shape()),
                  options_.shortcut.empty() ? "give it a shortcut, such as a convolution 1×1" : "");
  return activate(made + shortcut, options_.activation);
}

void BottleneckOptions::describe(OptionVisitor& visitor) {
  constexpr double kMostFilters = int64_t{1} << 40, kMostBlocks = 10'000;
  visitor.field({.name = "filters",
                 .help = "of the 3×3 convolutions; the output has four times as many channels",
                 .range = from_to(1, kMostFilters),
                 .default_text = "must be given"},
                filters);
  visitor.field({.name = "blocks", .help = "in a row", .range = from_to(1, kMostBlocks)}, blocks);
  visitor.field({.name = "stride", .help = "of the first block", .range = at_least(1)}, stride);
  visitor.field({.name = "momentum", .help = "of batch normalisation", .range = from_to(0, 1)},
                momentum);
  visitor.field({.name = "epsilon", .help = "of batch normalisation", .range = above(0)}, epsilon);
}

Value Bottleneck::call(BuildContext& context, Value x) {
  for (int64_t i = 0; i < options_.blocks; ++i) {
    x = context.call(*bottleneck_block(options_, i), x);
  }
  return x;
}

LayerList bottleneck_blocks(const BottleneckOptions& options) {
  LayerList blocks;
  for (int64_t i = 0; i < options.blocks; ++i) {
    auto block = bottleneck_block(options, i);
    block->name_parts();
    blocks.push_back(std::move(block));
  }
  return blocks;
}

LayerList resnet50(int64_t classes) {
  LayerList layers;
  add<ZeroPad2D>(layers, all_sides(3));
  add<Conv2D>(layers, convolution(64, 7, 2));
  add<BatchNorm>(layers, {.momentum = 0.9, .epsilon = 1e-5});
  add<ActivationLayer>(layers, {.activation = Activation::kRelu});
  // What is padded is above 0 everywhere, so that zeros do not win in the window.
  add<ZeroPad2D>(layers, all_sides(1));
  add<MaxPool2D>(layers, {.window_h = 3, .window_w = 3, .stride_h = 2, .stride_w = 2});
  int64_t filters = 64;
  for (const int64_t blocks : {3, 4, 6, 3}) {
    add<Bottleneck>(layers,
                    {.filters = filters, .blocks = blocks, .stride = filters == 64 ? 1 : 2});
    filters *= 2;
  }
  add<GlobalAvgPool2D>(layers);
  add<Dense>(layers, {.units = classes, .name = "logits"});
  return layers;
}

LayerList resnet20(int64_t classes) {
  LayerList layers;
  Conv2DOptions stem = convolution(16, 3, 1);
  stem.padding = ops::Padding::kSame;
  add<Conv2D>(layers, stem);
  add<BatchNorm>(layers, {.momentum = 0.9, .epsilon = 1e-5});
  add<ActivationLayer>(layers, {.activation = Activation::kRelu});
  for (const int64_t filters : {16, 32, 64}) {
    for (int block = 0; block < 3; ++block) {
      const int64_t stride = filters > 16 && block == 0 ? 2 : 1;
      layers.push_back(basic_block(filters, stride, str_cat("stage_", filters, "_block_", block)));
    }
  }
  add<GlobalAvgPool2D>(layers);
  add<Dense>(layers, {.units = classes, .name = "logits"});
  return layers;
}

}  // namespace trireme::nn
