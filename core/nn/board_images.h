// Pictures of a training for TensorBoard. Private to core/nn.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor/tensor.h"

namespace trireme::nn {

struct Pictures {
  int64_t width = 0, height = 0;
  std::vector<std::string> pngs;
};

// The first `most` rows of a batch of pictures: [batch, height, width] or [batch, height, width, 1
// or 3], numbers or bytes. Numbers from 0 to 1, or from 0 to 255 where one is above 1, are shown as
// they are; others are stretched from the least to the greatest. Nothing: these are no pictures.
std::optional<Pictures> input_pictures(const Tensor& batch, int64_t most);

// The filters of a convolution, [height, width, inputs, outputs], side by side; with 3 inputs in
// color, else the first inputs below each other. Each filter is stretched from its least to its
// greatest value. Nothing: it is no such kernel.
std::optional<Pictures> filter_picture(const Tensor& kernel);

// A table of n × n counts, rows are the labels: the darker, the more of the row.
Pictures confusion_picture(const std::vector<double>& table);
// The same as a table in Markdown; empty where it has too many classes.
std::string confusion_text(const std::vector<double>& table);

}  // namespace trireme::nn
