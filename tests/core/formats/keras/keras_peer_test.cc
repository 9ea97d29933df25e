// Layers and trainings beside Keras. Skipped, which it says, where no Python with Keras is named by
// TRIREME_PEER_PYTHON.
#include "core/nn/step_function.h"
#include "tests/core/formats/keras/keras_test.h"

namespace trireme::testing {
namespace {

// Every layer that Keras has, too: its options and variables mean the same on both sides.
TEST_F(KerasFilesTest, EachLayerIsTheSameOnBothSides) {
  if (!judge("make")) {
    GTEST_SKIP() << "no Keras in " << python() << "; name a Python that has it in "
                 << "TRIREME_PEER_PYTHON";
  }
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path().extension() == ".keras") names.push_back(entry.path().stem().string());
  }
  ASSERT_GT(names.size(), 90u);
  const Format keras = format("keras"), h5 = format("keras-h5");
  for (const std::string& name : names) {
    const auto features = read_tensors(path(name + ".in"));
    const auto expected = read_tensors(path(name + ".out"));
    try {
      const ModelFile file = keras.read(path(name + ".keras"), {.catalogs = &catalogs()});
      EXPECT_THAT(file.notes, ::testing::IsEmpty()) << name;
      EXPECT_LT(difference(predict(file, features), expected), 1e-5) << name;
      keras.write(file, path(name + ".ours.keras"), {.catalogs = &catalogs()});
      const ModelFile older = h5.read(path(name + ".h5"), {.catalogs = &catalogs()});
      EXPECT_LT(difference(predict(older, features), expected), 1e-5) << name << ".h5";
    } catch (const Error& error) {
      ADD_FAILURE() << name << ": " << error.what();
    }
  }
  ASSERT_TRUE(judge("check"));
  const json differences = json::parse(io::read_file(path("differences.json"), 1 << 20));
  for (const std::string& name : names) {
    const json found = differences.value(name, json("nothing was written"));
    EXPECT_TRUE(found.is_number() && found.get<double>() < 1e-5)
        << name << ": " << (found.is_string() ? found.get<std::string>() : found.dump());
  }
}

// Models that Keras 2 saved are read with what it trained them with.
TEST_F(KerasFilesTest, ReadsModelsOfKeras2) {
  if (!judge("make2")) {
    GTEST_SKIP() << "no Keras 2 (tf_keras) in " << python() << "; name a Python that has it in "
                 << "TRIREME_PEER_PYTHON";
  }
  const Format h5 = format("keras-h5");
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path().extension() != ".h5") continue;
    const std::string name = entry.path().stem().string();
    ++count;
    try {
      EXPECT_TRUE(h5.detect(entry.path().string())) << name;
      const ModelFile file = h5.read(entry.path().string(), {.catalogs = &catalogs()});
      EXPECT_THAT(file.notes, ::testing::IsEmpty()) << name;
      const auto expected = read_tensors(path(name + ".out"));
      EXPECT_LT(difference(predict(file, read_tensors(path(name + ".in"))), expected), 1e-5)
          << name;
      ASSERT_TRUE(file.training.has_value()) << name;
      EXPECT_EQ(file.training->step, 1) << name;
    } catch (const Error& error) {
      ADD_FAILURE() << name << ": " << error.what();
    }
  }
  EXPECT_EQ(count, 6u);
}

// Trains on from where a file's training stands, a batch each step.
std::vector<double> go_on(ModelFile& file, const Tensor& features, const Tensor& labels,
                          size_t steps) {
  formats::TrainingPart& training = *file.training;
  const auto model = formats::make_model(file);
  training.optimizer->plan_schedule(training.step + static_cast<int64_t>(steps));
  nn::CompileOptions compile{.optimizer = training.optimizer,
                             .loss = training.outputs.front().loss->make(),
                             .metrics = {}};
  model->compile(std::move(compile));
  const int64_t batch = features.shape()[0] / static_cast<int64_t>(steps);
  const auto part = [&](const Tensor& all, size_t i) {
    const auto begin = static_cast<int64_t>(i) * batch;
    return all.rows(begin, begin + batch);
  };
  model->build_training({.features = {part(features, 0).type()},
                         .labels = {part(labels, 0).type()},
                         .names = {"x", "y"}});
  nn::StateMap state = file.weights;
  state.insert(training.slots.begin(), training.slots.end());
  model->restore_variables(state);
  nn::StepFunction step(model->session(), model->train_graph());
  std::vector<double> losses;
  for (size_t i = 0; i < steps; ++i) {
    data::Element element = {part(features, i), part(labels, i)};
    step.run(element, {.step = training.step,
                       .learning_rate = training.optimizer->learning_rate(training.step)});
    ++training.step;
    losses.push_back(step.values()[0]);
  }
  for (auto& [name, value] : state) value = model->session().variables().get(name);
  for (auto& [name, value] : file.weights) value = state.at(name);
  for (auto& [name, value] : training.slots) value = state.at(name);
  return losses;
}

// A training goes on where the other side left it: weights, the optimizer's state and its step.
TEST_F(KerasFilesTest, TrainingGoesOnFromKerasAndInKeras) {
  if (!judge("train")) {
    GTEST_SKIP() << "no Keras in " << python() << "; name a Python that has it in "
                 << "TRIREME_PEER_PYTHON";
  }
  const Format keras = format("keras");
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path().extension() == ".keras") names.push_back(entry.path().stem().string());
  }
  ASSERT_GT(names.size(), 14u);
  for (const std::string& name : names) {
    const Tensor features = read_tensors(path(name + ".in")).front();
    const Tensor labels = read_tensors(path(name + ".labels")).front();
    const json expected = json::parse(io::read_file(path(name + ".losses.json"), 1 << 20));
    try {
      ModelFile file = keras.read(path(name + ".keras"), {.catalogs = &catalogs()});
      EXPECT_THAT(file.notes, ::testing::IsEmpty()) << name;
      ASSERT_TRUE(file.training.has_value()) << name;
      EXPECT_EQ(file.training->step, 8) << name;
      const std::vector<double> losses = go_on(file, features, labels, expected.size());
      for (size_t i = 0; i < losses.size(); ++i) {
        EXPECT_NEAR(losses[i], expected[i].get<double>(), 1e-4) << name << ", step " << i;
      }
      keras.write(file, path(name + ".ours.keras"), {.catalogs = &catalogs()});
      file = keras.read(path(name + ".ours.keras"), {.catalogs = &catalogs()});
      std::ofstream(path(name + ".ours.json"))
          << json(go_on(file, features, labels, expected.size()));
    } catch (const Error& error) {
      ADD_FAILURE() << name << ": " << error.what();
    }
  }
  ASSERT_TRUE(judge("follow"));
  const json differences = json::parse(io::read_file(path("differences.json"), 1 << 20));
  for (const std::string& name : names) {
    const json found = differences.value(name, json("nothing was written"));
    EXPECT_TRUE(found.is_number() && found.get<double>() < 1e-4)
        << name << ": " << (found.is_string() ? found.get<std::string>() : found.dump());
  }
}

}  // namespace
}  // namespace trireme::testing
