// Networks in job files: layers that name their inputs, and where errors say that they stand.
#include "worker/build_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/nn/model.h"
#include "worker/job_file.h"

namespace trireme {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const std::vector<TensorType> kClicks = {{DType::kFloat32, {-1, 13}}, {DType::kInt64, {-1, 26}}};

JobFile job_with(const std::string& layers) {
  return JobFile::parse(
      "data { clicks {} }\nloss: BINARY_CROSS_ENTROPY\nmodel {\n" + layers + "}\n",
      "job.textproto");
}

std::string error_of(const std::string& layers) {
  try {
    nn::Model model;
    build_layers(model, job_with(layers), kClicks);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "";
}

TEST(BuildModelTest, LayersAreCalledOnWhatTheyName) {
  nn::Model model;
  build_layers(model,
               job_with("layers { name: 'hidden' dense { units: 4 } }\n"
                        "layers { inputs: 'feature_1' embedding { vocabulary: 50 dimension: 2 } }\n"
                        "layers { flatten {} }\n"
                        "layers { inputs: ['hidden', 'flatten'] concat {} }\n"
                        "layers { dense { units: 1 } }\n"),
               kClicks);
  std::vector<std::string> names;
  for (const nn::VariableSpec& variable : model.variables().all()) names.push_back(variable.name);
  EXPECT_THAT(names, ElementsAre("hidden/kernel", "hidden/bias", "embedding/embeddings",
                                 "dense/kernel", "dense/bias"));
  EXPECT_EQ(model.variables().find("dense/kernel")->value.shape(), (Shape{4 + 26 * 2, 1}));
}

// The line of the layer, also of mistakes that are seen when the network is built.
TEST(BuildModelTest, WrongInputsAreShownWhereTheLayerStands) {
  EXPECT_THAT(error_of("layers { name: 'hidden' dense { units: 4 } }\n"
                       "layers { inputs: 'hiden' dense { units: 1 } }\n"),
              testing::AllOf(StartsWith("job.textproto:5:"), HasSubstr("did you mean 'hidden'?")));
  EXPECT_THAT(
      error_of("layers { dense { units: 4 } }\n"
               "layers { dense { units: 3 } }\n"
               "layers { inputs: 'dense' dense { units: 1 } }\n"),
      testing::AllOf(StartsWith("job.textproto:5:"), HasSubstr("layer 2 (dense \"dense_1\")"),
                     HasSubstr("nothing uses what it gives")));
  EXPECT_THAT(error_of("layers { dense { units: 4 } }\n"
                       "layers { inputs: ['dense', 'feature_0'] add {} }\n"),
              testing::AllOf(StartsWith("job.textproto:5:"), HasSubstr("found [?, 13]")));
}

}  // namespace
}  // namespace trireme
