#include "core/formats/model_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/nn/functional.h"
#include "core/nn/layers.h"

namespace trireme::formats {
namespace {

using testing::HasSubstr;

// Two inputs and two outputs, none of which is the last layer's alone.
std::unique_ptr<nn::Model> two_by_two() {
  const auto a = nn::input({3}), b = nn::input({2});
  const auto both = nn::concat()({a, b});
  const auto hidden = nn::dense({.units = 4, .name = "hidden"})(both);
  auto model = std::make_unique<nn::Model>(
      std::vector{a, b}, std::vector{nn::dense({.units = 2, .name = "first"})(hidden), hidden});
  model->build();
  return model;
}

TEST(ModelFileTest, GivesTheModelThatItWasMadeOf) {
  const auto model = two_by_two();
  const ModelFile file = model_file_of(*model);
  ASSERT_EQ(file.inputs.size(), 2u);
  EXPECT_EQ(file.outputs, (std::vector<std::string>{"first", "hidden"}));
  const auto again = make_model(file);
  const std::vector<Tensor> features = {Tensor::from<float>({1, 3}, {1, -2, 3}),
                                        Tensor::from<float>({1, 2}, {0.5F, 4})};
  const auto expected = model->predict_all(features), found = again->predict_all(features);
  ASSERT_EQ(found.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    for (int64_t k = 0; k < expected[i].elements(); ++k) {
      EXPECT_EQ(found[i].flat<float>()[k], expected[i].flat<float>()[k]);
    }
  }
}

// A model without one of its weights would predict with a first value that nobody sees.
TEST(ModelFileTest, RefusesAWeightThatIsNotThere) {
  ModelFile file = model_file_of(*two_by_two());
  file.weights.erase("hidden/kernel");
  try {
    make_model(file);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("hidden/kernel"));
  }
}

TEST(ModelFileTest, NamesACallOnWhatIsNotThere) {
  ModelFile file = model_file_of(*two_by_two());
  file.layers.back()->set_inputs({"nobody"});
  try {
    make_model(file);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("nobody"));
  }
}

}  // namespace
}  // namespace trireme::formats
