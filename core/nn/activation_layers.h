// Functions of each number that are layers of their own, because they have options or variables.
// For the others see Activation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/nn/layer.h"

namespace trireme::nn {

// x where threshold ≤ x ≤ max_value, max_value above it, negative_slope·(x − threshold) below
// threshold.
struct ReluOptions {
  std::optional<double> max_value = {};  // nothing: no bound
  double negative_slope = 0;
  double threshold = 0;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class Relu : public LayerOf<ReluOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "relu"; }
  Value call(BuildContext& context, Value x) override;
};

// x where x > 0, else negative_slope·x.
struct LeakyReluOptions {
  double negative_slope = 0.3;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class LeakyRelu : public LayerOf<LeakyReluOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "leaky_relu"; }
  Value call(BuildContext& context, Value x) override;
};

// x where x > 0, else alpha·x, with an alpha for each number of an example that is trained (He et
// al. 2015). alpha: an example's shape, with 1 along the shared axes.
struct PReluOptions {
  Initializer alpha_initializer = zeros();
  std::vector<int64_t> shared_axes = {};  // counted from 1, the first behind the batch
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class PRelu : public LayerOf<PReluOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "p_relu"; }
  Value call(BuildContext& context, Value x) override;
};

// x where x > 0, else alpha·(e^x − 1) (Clevert et al. 2016).
struct EluOptions {
  double alpha = 1;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class Elu : public LayerOf<EluOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "elu"; }
  Value call(BuildContext& context, Value x) override;
};

struct SoftmaxOptions {
  int64_t axis = -1;  // the batch is axis 0; negative: from the last
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class Softmax : public LayerOf<SoftmaxOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "softmax"; }
  Value call(BuildContext& context, Value x) override;
  Activation output_activation() const override {
    return options_.axis == -1 ? Activation::kSoftmax : Activation::kNone;
  }
};

}  // namespace trireme::nn
