// An optimizer from outside of Trireme: one rule, given to the ops, the kernels and the catalog.
#include <cmath>

#include "core/device/kernel.h"
#include "core/runtime/built_in_kernels.h"
#include "tests/core/nn/helpers.h"
#include "tests/support/adan.h"

namespace trireme::nn {
namespace {

using trireme::testing::Adan;

ModelOptions options_with_adan() {
  const auto rule = std::make_shared<const UpdateRule>(make_update_rule<Adan>());
  auto ops = std::make_shared<OpTable>();
  register_core_ops(*ops);
  add_update_ops(*ops, rule);
  auto kernels = std::make_shared<KernelTable>(*built_in_kernels());
  add_update_kernels(*kernels, *rule);
  ModelOptions options;
  options.ops = ops;
  options.session.kernels = kernels;
  return options;
}

// Ten steps of one weight, w = 0, x = y = 1, whose gradient is 2·(w − 1).
TEST(OwnOptimizerTest, DoesWhatItsFormulaSaysInTenSteps) {
  const double lr = 0.05, b1 = 0.02, b2 = 0.08, b3 = 0.01;
  double w = 0, m = 0, v = 0, n = 0, last = 0;
  for (int t = 1; t <= 10; ++t) {
    const double g = 2 * (w - 1), change = t == 1 ? 0 : g - last;
    m = (1 - b1) * m + b1 * g;
    v = (1 - b2) * v + b2 * change;
    n = (1 - b3) * n + b3 * std::pow(g + (1 - b2) * change, 2);
    w -= lr / (std::sqrt(n) + 1e-8) * (m + (1 - b2) * v);
    last = g;
  }
  Model model(options_with_adan());
  model.add<Dense>({.units = 1, .use_bias = false, .kernel_initializer = zeros()});
  model.compile({.optimizer = std::make_shared<RuleOptimizer<Adan>>(constant_rate(lr)),
                 .loss = mean_squared_error()});
  const Tensor one = Tensor::from<float>({1, 1}, {1});
  model.fit(data::from_tensors({one, one}, {"x", "y"}).batch(1), quiet(10));
  EXPECT_NEAR(model.weights().at("dense/kernel").item<float>(), w, 1e-5);
}

TEST(OwnOptimizerTest, IsFoundByItsNameInTheCatalog) {
  Catalog<Optimizer> catalog;
  register_core_optimizers(catalog);
  add_optimizer<Adan>(catalog);
  const std::unique_ptr<Optimizer> adan = catalog.make("adan");
  EXPECT_EQ(adan->name(), "adan");
  EXPECT_EQ(adan->learning_rate(0), 0.002);
  ASSERT_EQ(adan->slots().size(), 4u);
  EXPECT_EQ(adan->slots()[3].name, "last");
}

// What was not given to the ops is an error at the first update, not another optimizer.
TEST(OwnOptimizerTest, IsMissedWhereItsOpsAre) {
  Model model;
  model.add<Dense>({.units = 1});
  model.compile(
      {.optimizer = std::make_shared<RuleOptimizer<Adan>>(), .loss = mean_squared_error()});
  const Tensor one = Tensor::from<float>({1, 1}, {1});
  EXPECT_THAT(error_of([&] {
                model.fit(data::from_tensors({one, one}, {"x", "y"}).batch(1), quiet(1));
              }),
              ::testing::HasSubstr("there is no op 'ApplyAdan'"));
}

}  // namespace
}  // namespace trireme::nn
