#include "tests/core/formats/models/model_texts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/base/error.h"
#include "worker/job_file.h"
#include "worker/model_text.h"

namespace trireme::testing {
namespace {

using formats::ModelFile;

class ModelTexts : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(All, ModelTexts, ::testing::ValuesIn(model_names()),
                         [](const auto& info) { return info.param; });

std::vector<float> all_predictions(const ModelFile& file, const std::string& name) {
  std::vector<float> all;
  for (const Tensor& output : formats::make_model(file)->predict_all(random_features(name, 3))) {
    const auto values = output.flat<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

// A network that is printed is the network that was read, in every option.
TEST_P(ModelTexts, ArePrintedAsJobsOfTheSameNetwork) {
  ModelFile file = model_file(GetParam());
  const std::string text = print_model(*core_job_schema(), file);
  ModelFile again = parse_model(*core_job_schema(), text, "printed");
  EXPECT_EQ(print_model(*core_job_schema(), again), text);
  ASSERT_EQ(again.inputs.size(), file.inputs.size());
  for (size_t i = 0; i < file.inputs.size(); ++i) {
    EXPECT_EQ(again.inputs[i].type, file.inputs[i].type) << text;
  }
  EXPECT_EQ(again.outputs, file.outputs);
  again.weights = file.weights;
  EXPECT_EQ(all_predictions(again, GetParam()), all_predictions(file, GetParam()));
  ASSERT_TRUE(again.training);
  EXPECT_EQ(again.training->optimizer->name(), file.training->optimizer->name());
  EXPECT_EQ(again.training->outputs.size(), file.training->outputs.size());
}

// Weights that tell nothing apart would let a lost one through.
TEST_P(ModelTexts, PredictOtherwiseForOtherExamples) {
  const ModelFile file = model_file(GetParam());
  const std::vector<float> all = all_predictions(file, GetParam());
  EXPECT_THAT(all, ::testing::Each(::testing::Truly([](float x) { return std::isfinite(x); })));
  EXPECT_GT(std::set<float>(all.begin(), all.end()).size(), 2u);
  ModelFile other = model_file(GetParam(), 2);
  EXPECT_NE(all_predictions(other, GetParam()), all);
}

}  // namespace
}  // namespace trireme::testing
