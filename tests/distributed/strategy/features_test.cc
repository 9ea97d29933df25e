// A strategy cuts every component of a batch, not the first alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/philox.h"
#include "core/nn/layers.h"
#include "core/nn/model.h"
#include "core/ops/ops.h"
#include "distributed/strategy/strategies.h"
#include "tests/support/strategy_group.h"

namespace trireme {
namespace {

using namespace nn;

constexpr int64_t kExamples = 90, kBatch = 20;

class Product : public Layer {
 public:
  struct Options {};
  explicit Product(Options) {}
  std::string type() const override { return "product"; }
  Value call(BuildContext& context, Value x) override { return x * context.feature(1); }
};

data::Dataset columns() {
  PhiloxGenerator random(1);
  Tensor a(DType::kFloat32, {kExamples, 4}), b(DType::kFloat32, {kExamples, 4}),
      labels(DType::kFloat32, {kExamples, 1});
  for (const Tensor& tensor : {a, b, labels}) {
    for (float& value : Tensor(tensor).flat<float>()) value = random.normal();
  }
  for (float& label : labels.flat<float>()) label = label > 0 ? 1.0F : 0.0F;
  return data::from_tensors({a, b, labels}, {"a", "b", "label"});
}

History train(const Strategy* strategy) {
  Model model;
  model.add<Product>().add<Dense>({.units = 1});
  CompileOptions compile{.optimizer = std::make_shared<Sgd>(constant_rate(0.1)),
                         .loss = mean_squared_error(),
                         .metrics = {area_under_curve_metric()}};
  FitOptions fit{.epochs = 3, .progress = {}};
  std::optional<testing::StrategyGroup> group;
  if (strategy != nullptr) {
    compile.build_gradients = [=](TrainGraph& graph) { strategy->build_gradients(graph); };
    group.emplace(*strategy, kExamples, kBatch);
    fit.group = &*group;
  }
  model.compile(std::move(compile));
  fit.validation = columns().batch(kBatch);
  return model.fit(columns().batch(kBatch), fit);
}

// The AUC too, which is no mean of the parts' own.
TEST(FeaturesTest, MicroBatchesHaveTheLossesOfWholeBatches) {
  const auto strategy = kOneDeviceStrategy.make({.micro_batches = 3});
  const History whole = train(nullptr), cut = train(strategy.get());
  for (const char* name : {"loss", "auc", "val_loss", "val_auc"}) {
    ASSERT_EQ(whole.values.at(name).size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(cut.values.at(name)[i].value(), whole.values.at(name)[i].value(), 1e-5) << name;
    }
  }
}

}  // namespace
}  // namespace trireme
