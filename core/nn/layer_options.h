// What the options of several layers have in common: directions that are one number or one for
// each, paddings, biases, and what layers require of their inputs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "core/catalog/option_visitor.h"
#include "core/nn/layer.h"
#include "core/ops/ops.h"

namespace trireme::nn {

using MaybeSize = std::optional<int64_t>;

// An option that is one number for both directions, or one for each.
struct BothDirections {
  OptionInfo both;
  std::string_view height_name, width_name;
};
void describe_directions(OptionVisitor& visitor, const BothDirections& option, MaybeSize& height,
                         MaybeSize& width);
void describe_directions(OptionVisitor& visitor, const BothDirections& option, int64_t& height,
                         int64_t& width);

// The same for volumes. `names`: of depth, height and width.
struct VolumeNames {
  std::string_view depth, height, width;
};
void describe_volume_directions(OptionVisitor& visitor, const OptionInfo& all,
                                const VolumeNames& names, MaybeSize& depth, MaybeSize& height,
                                MaybeSize& width);
void describe_volume_directions(OptionVisitor& visitor, const OptionInfo& all,
                                const VolumeNames& names, int64_t& depth, int64_t& height,
                                int64_t& width);

// An option that is one number for all sides, or one for each: "padding", or "top", "left", ….
void describe_sides(OptionVisitor& visitor, const OptionInfo& all,
                    std::initializer_list<std::pair<std::string_view, int64_t*>> sides);

void describe_padding(OptionVisitor& visitor, ops::Padding& padding);

// use_bias, and no_bias as its older name.
void describe_use_bias(OptionVisitor& visitor, bool& use_bias);

// Throws LayerError, naming the layer and what its input came from.
void require_floating(const BuildContext& context, Value x);
void require_images(const BuildContext& context, Value x);    // [batch, height, width, channels]
void require_sequence(const BuildContext& context, Value x);  // [batch, steps, channels]
void require_volume(const BuildContext& context,
                    Value x);  // [batch, depth, height, width, channels]

}  // namespace trireme::nn
