// Layers of residual networks (He et al. 2016): blocks whose input is added to what they make of
// it.
//
//   model.add<Residual>(residual_options)          any layers, with any shortcut
//   model.add<Bottleneck>({.filters = 64, .blocks = 3})   a stage of ResNet-50
#pragma once

#include <memory>
#include <vector>

#include "core/nn/layers.h"

namespace trireme::nn {

// y = activation(layers(x) + shortcut(x)). Layers without a name get their type's, numbered; those
// of the shortcut begin with "shortcut_".
struct ResidualOptions {
  LayerList layers;
  LayerList shortcut = {};                    // none: x itself
  Activation activation = Activation::kNone;  // of the sum
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Residual : public LayerOf<ResidualOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "residual"; }
  // Throws Error{kInvalidArgument} for two layers of one name.
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override { return options_.activation; }
  // Gives names to parts without one, as call() does. Throws as it does.
  void name_parts();
};

// A stage of bottleneck blocks over images: in each a convolution 1×1 and one 3×3 with `filters`
// filters and one 1×1 with 4·`filters`, all followed by batch normalisation. The first block has
// the stage's stride, in its 3×3 convolution ("v1.5"), and a 1×1 convolution as shortcut. Images
// are padded by one pixel on each side, as PyTorch does, and not as Padding::kSame would.
struct BottleneckOptions {
  int64_t filters = 0;  // must be given
  int64_t blocks = 1;
  int64_t stride = 1;
  double momentum = 0.9, epsilon = 1e-5;  // of batch normalisation
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class Bottleneck : public LayerOf<BottleneckOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "bottleneck"; }
  Value call(BuildContext& context, Value x) override;
};

// The blocks of a stage, each a Residual whose parts have names.
LayerList bottleneck_blocks(const BottleneckOptions& options);

// The layers of ResNet-50 v1.5 from images [batch, height, width, 3], 224×224 in the paper, to
// `classes` logits. For 1000 classes it has 25,557,032 trainable parameters.
LayerList resnet50(int64_t classes = 1000);

// The layers of ResNet-20 for images of CIFAR-10's size (He et al. 2016, section 4.2), with
// convolutions 1×1 where a shortcut changes the shape: 272,474 trainable parameters for 10 classes.
LayerList resnet20(int64_t classes = 10);

}  // namespace trireme::nn
