// Files that have weights and the state of an optimizer, and no layers: they are read into a model
// that is given.
#include <cstring>

#include "tests/core/formats/keras/keras_test.h"
#include "tests/core/formats/models/model_texts.h"

namespace trireme::testing {
namespace {

class WeightFiles : public KerasFilesTest, public ::testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(All, WeightFiles, ::testing::ValuesIn(model_names()),
                         [](const auto& info) { return info.param; });

void expect_same(const nn::StateMap& found, const nn::StateMap& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, value] : expected) {
    ASSERT_TRUE(found.contains(name)) << name;
    const Tensor& other = found.at(name);
    ASSERT_EQ(other.type(), value.type()) << name;
    EXPECT_EQ(std::memcmp(other.raw(), value.raw(), value.bytes()), 0) << name;
  }
}

// Weights and slots come back bit by bit, and training goes on at its step.
TEST_P(WeightFiles, GiveAModelItsWeightsAndItsTraining) {
  const ModelFile file = model_file(GetParam());
  ASSERT_TRUE(file.training.has_value());
  for (const auto& [name, place] : {std::pair("keras-weights", path("w.weights.h5")),
                                    std::pair("keras-checkpoint", path("w"))}) {
    const Format weights = format(name);
    weights.write(file, place, {.catalogs = &catalogs()});
    EXPECT_TRUE(weights.detect(place)) << name;
    const ModelFile again = weights.read(place, {.catalogs = &catalogs(), .model = &file});
    EXPECT_THAT(again.notes, ::testing::IsEmpty()) << name;
    expect_same(again.weights, file.weights);
    ASSERT_TRUE(again.training.has_value()) << name;
    EXPECT_EQ(again.training->step, file.training->step) << name;
    expect_same(again.training->slots, file.training->slots);
    EXPECT_FALSE(weights.read(place, {.catalogs = &catalogs()}).weights.empty()) << name;
  }
}

}  // namespace
}  // namespace trireme::testing
