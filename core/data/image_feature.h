// A feature of a record that holds a PNG or a JPEG: `features { name: "image" image { … } }`.
#pragma once

#include "core/data/feature.h"
#include "core/data/image_options.h"

namespace trireme::data {

class ImageFeature final : public Feature {
 public:
  ImageOptions options;

  void describe(OptionVisitor& visitor) override { options.describe(visitor); }
  void check() const override { options.check(); }
  bool is_slow() const override { return true; }
  TensorType type() const override { return {DType::kFloat32, options.shape()}; }
  using Feature::read;
  void read(const FeatureValue& value, const RowView& out) const override;
};

}  // namespace trireme::data
