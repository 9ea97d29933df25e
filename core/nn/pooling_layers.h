// Pooling besides that of images' windows: over sequences [batch, steps, channels] and volumes
// [batch, depth, height, width, channels], over everything but the channels, and to a given size.
#pragma once

#include <optional>
#include <string>

#include "core/nn/layers.h"

namespace trireme::nn {

struct Pool1DOptions {
  int64_t window = 2;
  std::optional<int64_t> stride = {};  // nothing: the window
  ops::Padding padding = ops::Padding::kValid;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
struct Pool3DOptions {
  int64_t window_d = 2, window_h = 2, window_w = 2;
  std::optional<int64_t> stride_d = {}, stride_h = {}, stride_w = {};  // nothing: the window
  ops::Padding padding = ops::Padding::kValid;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
// One number a channel, of all steps or pixels: [batch, channels].
using GlobalPoolOptions = GlobalAvgPool2DOptions;
// Windows of any size that cover an axis with as many outputs as are asked for: output i is of
// positions ⌊i·n / size⌋ … ⌈(i + 1)·n / size⌉ − 1 of n.
struct AdaptivePool1DOptions {
  int64_t output_size = 0;  // must be given
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
struct AdaptivePool2DOptions {
  int64_t output_h = 0, output_w = 0;  // must be given
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
struct AdaptivePool3DOptions {
  int64_t output_d = 0, output_h = 0, output_w = 0;  // must be given
  std::string name = "";

  void describe(OptionVisitor& visitor);
};

class MaxPool1D : public LayerOf<Pool1DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "max_pool1d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class AvgPool1D : public LayerOf<Pool1DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "avg_pool1d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class MaxPool3D : public LayerOf<Pool3DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "max_pool3d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class AvgPool3D : public LayerOf<Pool3DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "avg_pool3d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class GlobalMaxPool1D : public LayerOf<GlobalPoolOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "global_max_pool1d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class GlobalMaxPool2D : public LayerOf<GlobalPoolOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "global_max_pool2d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class GlobalMaxPool3D : public LayerOf<GlobalPoolOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "global_max_pool3d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class GlobalAvgPool1D : public LayerOf<GlobalPoolOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "global_avg_pool1d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class GlobalAvgPool3D : public LayerOf<GlobalPoolOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "global_avg_pool3d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class AdaptiveMaxPool1D : public LayerOf<AdaptivePool1DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "adaptive_max_pool1d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class AdaptiveMaxPool2D : public LayerOf<AdaptivePool2DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "adaptive_max_pool2d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class AdaptiveMaxPool3D : public LayerOf<AdaptivePool3DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "adaptive_max_pool3d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class AdaptiveAvgPool1D : public LayerOf<AdaptivePool1DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "adaptive_avg_pool1d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class AdaptiveAvgPool2D : public LayerOf<AdaptivePool2DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "adaptive_avg_pool2d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};
class AdaptiveAvgPool3D : public LayerOf<AdaptivePool3DOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "adaptive_avg_pool3d"; }
  bool keeps_mask() const override { return false; }
  Value call(BuildContext& context, Value x) override;
};

}  // namespace trireme::nn
