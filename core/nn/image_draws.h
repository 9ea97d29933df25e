// What layers that change images at random have in common: factors, and numbers drawn for each
// image. Private to core/nn.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/nn/layer.h"
#include "core/ops/ops.h"

namespace trireme::nn {

// One number f stands for −f … f, two for the lowest and the highest.
using Factor = std::vector<double>;

inline constexpr double kAnything = -1e301;

void describe_factor(OptionVisitor& visitor, std::string_view name, std::string_view help,
                     Factor& factor);
// Throws Error{kInvalidArgument} unless it is one or two rising numbers above `above`.
void check_factor(std::string_view name, const Factor& factor, double above = kAnything);

void describe_value_range(OptionVisitor& visitor, std::vector<double>& range);
void check_value_range(const std::vector<double>& range);

// Throws LayerError unless they are images of known size.
void require_sized_images(const BuildContext& context, Value x);
void require_colours(const BuildContext& context, Value x);  // and red, green and blue

Value number(Value like, double value);

// Draws for each image of a batch: f32 [batch, 1]. REQUIRES: the context is that of a training.
class ImageDraws {
 public:
  ImageDraws(BuildContext& context, Value images);
  Value uniform();  // in [0, 1)
  Value uniform(const Factor& factor);
  Value coin(double probability);  // 1 with that probability, else 0
  Value filled(double value) const;

 private:
  Value key_, like_;
  int64_t seed_, draws_ = 0;
};

Value beside_images(Value each);  // [batch, 1] → [batch, 1, 1, 1]
Value clipped(Value x, const std::vector<double>& range);
// `then` where `chosen`, [batch, 1] of 0 and 1, is 1.
Value chosen_images(Value chosen, Value then, Value otherwise);
// [batch, height, width, 1]
Value gray_of(Value colours);

}  // namespace trireme::nn
