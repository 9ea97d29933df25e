// Images and their labels in memory, as every reader of an image data set returns them.
#pragma once

#include <cstdint>

#include "core/data/dataset.h"

namespace trireme::data {

enum class Split { kTrain, kTest };

// "train", "test".
constexpr std::string_view name(Split split) { return split == Split::kTrain ? "train" : "test"; }

struct LabeledImages {
  Tensor images;  // u8 [n, height, width, channels]
  Tensor labels;  // u8 or i32 [n], each below `classes`
  int64_t classes = 10;

  int64_t size() const { return labels.shape()[0]; }

  // "image": f32 in [0, 1], "label": i64. The pixels stay u8 in memory and are scaled on the way
  // into a batch.
  Dataset dataset() const {
    return from_columns(
        {{"image", images, DType::kFloat32, 1 / 255.f}, {"label", labels, DType::kInt64}});
  }
};

}  // namespace trireme::data
