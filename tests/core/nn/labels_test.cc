// Labels outside a loss's domain are refused, before they change anything.
#include "core/nn/labels.h"

#include <limits>

#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

data::Dataset examples(const Tensor& labels) {
  return data::from_tensors({Tensor::zeros(DType::kFloat32, {labels.shape()[0], 2}), labels},
                            {"x", "y"});
}

std::unique_ptr<Model> make_model(Loss loss, int64_t units, std::vector<Metric> metrics = {}) {
  auto model = std::make_unique<Model>();
  model->add<Dense>({.units = units});
  model->compile({.optimizer = std::make_shared<Sgd>(),
                  .loss = std::move(loss),
                  .metrics = std::move(metrics)});
  return model;
}

std::string fit_error(const Loss& loss, int64_t units, const Tensor& labels) {
  return error_of([&] { make_model(loss, units)->fit(examples(labels).batch(3), quiet(1)); });
}

std::string evaluate_error(const Loss& loss, int64_t units, const Tensor& labels) {
  return error_of([&] { make_model(loss, units)->evaluate(examples(labels).batch(3)); });
}

// 2 or -1 would make the loss fall without end, below zero.
TEST(LabelsTest, BinaryCrossEntropyTakesProbabilitiesOnly) {
  for (const Loss& loss : {binary_cross_entropy(), binary_cross_entropy(false)}) {
    for (const float wrong : {2.f, -1.f, 1.0001f, -1e-6f, kNan, HUGE_VALF}) {
      const Tensor labels = Tensor::from<float>({5, 1}, {0, 1, 0.25f, 1, wrong});
      const std::string error = fit_error(loss, 1, labels);
      EXPECT_THAT(error,
                  testing::StartsWith("step 2 (epoch 1): row 1 of this batch has the label "));
      EXPECT_THAT(error, testing::HasSubstr("takes labels from 0 to 1"));
      EXPECT_THAT(evaluate_error(loss, 1, labels),
                  testing::StartsWith("evaluation, batch 2 of this process: row 1 of this batch"));
    }
    EXPECT_EQ(fit_error(loss, 1, Tensor::from<float>({4}, {0, 1, 0.5f, 0.9f})), "");
    EXPECT_EQ(fit_error(loss, 1, Tensor::from<int64_t>({2}, {0, 1})), "");
    EXPECT_THAT(fit_error(loss, 1, Tensor::from<int64_t>({2}, {1, 2})),
                testing::HasSubstr("row 1 of this batch has the label 2"));
    EXPECT_THAT(fit_error(loss, 1, Tensor::from<uint8_t>({2}, {1, 255})),
                testing::HasSubstr("the label 255"));
    EXPECT_THAT(fit_error(loss, 1, Tensor::from<int32_t>({2}, {-1, 1})),
                testing::HasSubstr("row 0 of this batch has the label -1"));
  }
  EXPECT_THAT(fit_error(binary_cross_entropy(), 3, Tensor::from<float>({1, 3}, {0, 1, 7})),
              testing::HasSubstr("row 0 of this batch has the label 7 (element 2)"));
}

// With probabilities a class that is out of range would count as a loss of 0.
TEST(LabelsTest, ClassesLieWithinTheOutputs) {
  for (const Loss& loss :
       {sparse_categorical_cross_entropy(), sparse_categorical_cross_entropy(false)}) {
    EXPECT_EQ(fit_error(loss, 3, Tensor::from<int64_t>({3}, {0, 1, 2})), "");
    EXPECT_THAT(fit_error(loss, 3, Tensor::from<int64_t>({3}, {0, 3, 2})),
                testing::HasSubstr("row 1 of this batch has the label 3; "
                                   "sparse_categorical_cross_entropy takes classes from 0 to 2"));
    EXPECT_THAT(
        evaluate_error(loss, 3, Tensor::from<int32_t>({4, 1}, {0, 1, 2, -1})),
        testing::HasSubstr("batch 2 of this process: row 0 of this batch has the label -1"));
    EXPECT_THAT(fit_error(loss, 3, Tensor::from<uint8_t>({1}, {200})),
                testing::HasSubstr("the label 200"));
  }
}

TEST(LabelsTest, DistributionsAddUpToOne) {
  const Loss loss = categorical_cross_entropy();
  EXPECT_EQ(fit_error(loss, 2, Tensor::from<float>({2, 2}, {0, 1, 0.3f, 0.7f})), "");
  EXPECT_THAT(fit_error(loss, 2, Tensor::from<float>({2, 2}, {0, 1, 1, 1})),
              testing::HasSubstr("row 1 of this batch has labels that do not add up to 1"));
  EXPECT_THAT(fit_error(loss, 2, Tensor::from<float>({2, 2}, {0, 1, -1, 2})),
              testing::HasSubstr("row 1 of this batch has the label -1 (element 0)"));
}

TEST(LabelsTest, QuantitiesAreFinite) {
  EXPECT_EQ(fit_error(mean_squared_error(), 1, Tensor::from<float>({2}, {-1e3f, 4})), "");
  for (const float wrong : {kNan, HUGE_VALF, -HUGE_VALF}) {
    EXPECT_THAT(fit_error(mean_squared_error(), 1, Tensor::from<float>({2}, {1, wrong})),
                testing::HasSubstr("takes finite labels"));
  }
}

// Above one half they would all count as positive.
TEST(LabelsTest, AnAreaUnderTheCurveNeedsTwoClasses) {
  const Tensor soft = Tensor::from<float>({3}, {0, 0.7f, 1});
  EXPECT_EQ(
      error_of([&] {
        make_model(binary_cross_entropy(), 1, {area_under_curve_metric()})
            ->evaluate(examples(soft).batch(3));
      }),
      "evaluation, batch 1 of this process: row 1 of this batch has the label 0.7; auc takes the "
      "labels 0 and 1: write the two classes as 0 and 1, or choose another metric");
}

// allow_nan lets a training diverge; it does not make a wrong label right.
TEST(LabelsTest, ABatchWithAWrongLabelChangesNothing) {
  auto model = make_model(binary_cross_entropy(), 1);
  const data::Dataset wrong = examples(Tensor::from<float>({2}, {1, kNan})).batch(2);
  model->build(batch_types(wrong).features);
  const StateMap before = model->weights();
  FitOptions options = quiet(1);
  options.allow_nan = true;
  EXPECT_THAT(error_of([&] { model->fit(wrong, options); }), testing::HasSubstr("label nan"));
  for (const auto& [name, value] : model->weights()) {
    const auto was = before.at(name).flat<float>();
    EXPECT_TRUE(std::ranges::equal(value.flat<float>(), was)) << name;
  }
}

// Validation has a batch size of its own, and its labels are not the training's.
TEST(LabelsTest, ValidationIsCheckedToo) {
  auto model = make_model(sparse_categorical_cross_entropy(), 2);
  FitOptions options = quiet(1);
  options.validation = examples(Tensor::from<int64_t>({4}, {0, 1, 5, 0})).batch(2);
  EXPECT_THAT(error_of([&] {
                model->fit(examples(Tensor::from<int64_t>({2}, {0, 1})).batch(2), options);
              }),
              testing::HasSubstr("batch 2 of this process: row 0 of this batch has the label 5"));
}

}  // namespace
}  // namespace trireme::nn
