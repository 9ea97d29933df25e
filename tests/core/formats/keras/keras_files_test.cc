// Whole models in Keras's files: what we write is what Keras and we read, and what Keras writes
// gives here what it gives there.
#include "tests/core/formats/keras/keras_test.h"
#include "tests/core/formats/models/model_texts.h"

namespace trireme::testing {
namespace {

std::vector<Tensor> predictions(const ModelFile& file, const std::string& name) {
  return formats::make_model(file)->predict_all(random_features(name, 5));
}

class EachModel : public KerasFilesTest, public ::testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(All, EachModel, ::testing::ValuesIn(model_names()),
                         [](const auto& info) { return info.param; });

// A file that is read back is the same model, in its options, weights and training.
TEST_P(EachModel, IsTheSameAfterAFile) {
  const ModelFile file = model_file(GetParam());
  const std::vector<Tensor> expected = predictions(file, GetParam());
  for (const std::string ending : {".keras", ".h5"}) {
    const Format whole = format(ending == ".h5" ? "keras-h5" : "keras");
    const std::string place = path("model" + ending);
    std::vector<std::string> notes;
    whole.write(file, place, {.catalogs = &catalogs(), .notes = &notes});
    EXPECT_THAT(notes, ::testing::IsEmpty());
    EXPECT_TRUE(whole.detect(place));
    const ModelFile again = whole.read(place, {.catalogs = &catalogs()});
    EXPECT_THAT(again.notes, ::testing::IsEmpty());
    EXPECT_LT(difference(predictions(again, GetParam()), expected), 1e-6) << ending;
    ASSERT_TRUE(again.training.has_value());
    EXPECT_EQ(again.training->step, file.training->step);
    EXPECT_EQ(again.training->slots.size(), file.training->slots.size());
  }
}

// Weights alone are read into a model that is given, with the optimizer's state.
TEST_P(EachModel, HasItsWeightsInFilesOfWeights) {
  const ModelFile file = model_file(GetParam());
  const ModelFile other = model_file(GetParam(), 2);
  const std::vector<Tensor> expected = predictions(file, GetParam());
  ASSERT_GT(difference(predictions(other, GetParam()), expected), 1e-3);
  for (const std::string kind : {"keras-weights", "keras-checkpoint"}) {
    const Format weights = format(kind);
    const std::string place = path(kind == "keras-weights" ? "x.weights.h5" : "x.index");
    weights.write(file, place, {.catalogs = &catalogs()});
    EXPECT_TRUE(weights.detect(place)) << kind;
    const ModelFile read = weights.read(place, {.catalogs = &catalogs(), .model = &other});
    EXPECT_LT(difference(predictions(read, GetParam()), expected), 1e-6) << kind;
    EXPECT_EQ(read.training->step, file.training->step) << kind;
    EXPECT_EQ(read.training->slots.size(), file.training->slots.size()) << kind;
    EXPECT_FALSE(weights.read(place, {.catalogs = &catalogs()}).weights.empty()) << kind;
  }
}

TEST_F(KerasFilesTest, KerasReadsOursAndWeReadItsOwn) {
  for (const std::string& name : model_names()) {
    const ModelFile file = model_file(name);
    for (const std::string each : {"keras", "keras-h5", "keras-weights"}) {
      const std::string ending = each == "keras"      ? ".keras"
                                 : each == "keras-h5" ? ".h5"
                                                      : ".weights.h5";
      format(each).write(file, path(name + ending), {.catalogs = &catalogs()});
    }
    write_tensors(path(name + ".in"), random_features(name, 5));
    write_tensors(path(name + ".out"), predictions(file, name));
  }
  if (!judge("predict")) {
    GTEST_SKIP() << "no Keras in " << python() << "; name a Python that has it in "
                 << "TRIREME_PEER_PYTHON";
  }
  const json differences = json::parse(io::read_file(path("differences.json"), 1 << 20));
  for (const std::string& name : model_names()) {
    for (const std::string ending : {".keras", ".h5", ".weights.h5"}) {
      const json& found = differences.at(name + ending);
      EXPECT_TRUE(found.is_number() && found.get<double>() < 1e-5)
          << name << ending << ": "
          << (found.is_string() ? found.get<std::string>() : found.dump());
    }
    const std::vector<Tensor> expected = predictions(model_file(name), name);
    for (const std::string each : {"keras", "keras-h5"}) {
      const std::string again = path(name + (each == "keras" ? ".again.keras" : ".again.h5"));
      if (!fs::exists(again)) continue;
      const ModelFile read = format(each).read(again, {.catalogs = &catalogs()});
      EXPECT_LT(difference(predictions(read, name), expected), 1e-5) << again;
    }
  }
}

}  // namespace
}  // namespace trireme::testing
