#include "core/nn/layer_options.h"

#include <algorithm>

namespace trireme::nn {

void require_floating(const BuildContext& context, Value x) {
  context.require(is_floating(x.dtype()), "floating-point numbers",
                  "cast and scale the values in the data set");
}

void require_images(const BuildContext& context, Value x) {
  require_floating(context, x);
  context.require(x.shape().rank() == 4, "images [batch, height, width, channels]",
                  x.shape().rank() == 3 ? "add a reshape layer that gives them a channel axis"
                                        : "move this layer before the flatten layer");
  context.require(x.shape()[3] > 0, "images with a known number of channels");
}

void describe_padding(OptionVisitor& visitor, ops::Padding& padding) {
  static constexpr EnumName<ops::Padding> kNames[] = {{ops::Padding::kValid, "VALID"},
                                                      {ops::Padding::kSame, "SAME"}};
  visitor.field({.name = "padding", .help = "SAME: zeros around, so that stride 1 keeps the size"},
                padding, kNames);
}

namespace {

// `all`, which stands for each of the directions, and then each by itself.
void describe_each(OptionVisitor& visitor, const OptionInfo& all,
                   std::initializer_list<std::pair<OptionInfo, MaybeSize*>> directions) {
  const MaybeSize first = *directions.begin()->second;
  const bool alike =
      std::ranges::all_of(directions, [&](const auto& d) { return *d.second == first; });
  MaybeSize common = alike ? first : MaybeSize();
  visitor.field(all, common);
  for (auto [info, member] : directions) {
    MaybeSize size = alike ? MaybeSize() : *member;
    info.range = all.range;
    info.default_text = all.name;
    visitor.field(info, size);
    if (common) *member = common;
    if (size) *member = size;
  }
}

}  // namespace

void describe_directions(OptionVisitor& visitor, const BothDirections& option, MaybeSize& height,
                         MaybeSize& width) {
  describe_each(visitor, option.both,
                {{{.name = option.height_name, .help = "of the height"}, &height},
                 {{.name = option.width_name, .help = "of the width"}, &width}});
}

void describe_directions(OptionVisitor& visitor, const BothDirections& option, int64_t& height,
                         int64_t& width) {
  MaybeSize maybe_height = height, maybe_width = width;
  describe_directions(visitor, option, maybe_height, maybe_width);
  height = maybe_height.value_or(height);
  width = maybe_width.value_or(width);
}

void describe_volume_directions(OptionVisitor& visitor, const OptionInfo& all,
                                const VolumeNames& names, MaybeSize& depth, MaybeSize& height,
                                MaybeSize& width) {
  describe_each(visitor, all,
                {{{.name = names.depth, .help = "of the depth"}, &depth},
                 {{.name = names.height, .help = "of the height"}, &height},
                 {{.name = names.width, .help = "of the width"}, &width}});
}

void describe_volume_directions(OptionVisitor& visitor, const OptionInfo& all,
                                const VolumeNames& names, int64_t& depth, int64_t& height,
                                int64_t& width) {
  MaybeSize maybe_depth = depth, maybe_height = height, maybe_width = width;
  describe_volume_directions(visitor, all, names, maybe_depth, maybe_height, maybe_width);
  depth = maybe_depth.value_or(depth);
  height = maybe_height.value_or(height);
  width = maybe_width.value_or(width);
}

void describe_sides(OptionVisitor& visitor, const OptionInfo& all,
                    std::initializer_list<std::pair<std::string_view, int64_t*>> sides) {
  const int64_t first = *sides.begin()->second;
  const bool alike = std::ranges::all_of(sides, [&](const auto& s) { return *s.second == first; });
  MaybeSize common = alike ? MaybeSize(first) : MaybeSize();
  visitor.field(all, common);
  for (const auto& [name, member] : sides) {
    MaybeSize side = alike ? MaybeSize() : MaybeSize(*member);
    visitor.field(
        {.name = name, .help = "on this side", .range = all.range, .default_text = all.name}, side);
    *member = side ? *side : common.value_or(*member);
  }
}

void describe_use_bias(OptionVisitor& visitor, bool& use_bias) {
  visitor.field({.name = "use_bias", .help = "adds a bias"}, use_bias);
  visitor.negated({.name = "no_bias", .help = "true is use_bias: false"}, use_bias);
}

void require_sequence(const BuildContext& context, Value x) {
  require_floating(context, x);
  context.require(
      x.shape().rank() == 3, "sequences [batch, steps, channels]",
      x.shape().rank() == 2 ? "add a reshape layer that gives them a channel axis" : "");
  context.require(x.shape()[2] > 0, "sequences with a known number of channels");
}

void require_volume(const BuildContext& context, Value x) {
  require_floating(context, x);
  context.require(x.shape().rank() == 5, "volumes [batch, depth, height, width, channels]");
  for (int axis = 1; axis < 5; ++axis) {
    context.require(x.shape()[axis] > 0, "volumes whose size is known");
  }
}

}  // namespace trireme::nn
