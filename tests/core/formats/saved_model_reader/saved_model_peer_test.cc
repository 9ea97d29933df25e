// SavedModels that TensorFlow and Keras write here and now, and what they give. Skipped, which it
// says, where no Python with TensorFlow and Keras is named by TRIREME_PEER_PYTHON.
#include <cstdlib>
#include <filesystem>
#include <set>

#include "core/nn/losses.h"
#include "core/nn/optimizers.h"
#include "core/nn/schedules.h"
#include "tests/core/formats/saved_model_reader/helpers.h"
#include "tests/support/process.h"

namespace trireme::formats {
namespace {

std::string python() {
  const char* const named = std::getenv("TRIREME_PEER_PYTHON");
  return named != nullptr ? named : TRIREME_PEER_PYTHON;
}

// The models are made once: to import TensorFlow takes seconds.
class SavedModelPeerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = ::testing::TempDir() + str_cat("saved_model_peer_", getpid());
    std::filesystem::create_directories(folder_);
    trireme::testing::Process maker(
        {"/usr/bin/env", "-u", "OPENBLAS_CORETYPE", "-u", "OPENBLAS_L2_SIZE", python(),
         std::string(TRIREME_SOURCE_DIR) + "/tests/core/formats/saved_model_reader/saved_models.py",
         folder_});
    const trireme::testing::ProcessResult result = maker.wait(std::chrono::seconds(560));
    is_there_ = result.exit_code != 77 && result.exit_code != 127;
    if (is_there_) {
      EXPECT_EQ(result.exit_code, 0) << result.err;
    }
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(folder_); }

  void SetUp() override {
    if (!is_there_) {
      GTEST_SKIP() << "no TensorFlow and Keras in " << python() << "; name a Python that has them "
                   << "in TRIREME_PEER_PYTHON";
    }
  }

  // The folders of models whose names begin so.
  static std::vector<std::string> folders(const std::string& prefix) {
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      if (entry.path().filename().string().starts_with(prefix)) found.insert(entry.path());
    }
    return {found.begin(), found.end()};
  }

  static void expect_all(const std::string& prefix, size_t count) {
    const std::vector<std::string> all = folders(prefix);
    EXPECT_EQ(all.size(), count);
    for (const std::string& folder : all) {
      try {
        testing::expect_predictions(folder);
      } catch (const Error& error) {
        ADD_FAILURE() << folder << ": " << error.what();
      }
    }
  }

  static std::string folder_;
  static bool is_there_;
};
std::string SavedModelPeerTest::folder_;
bool SavedModelPeerTest::is_there_ = false;

TEST_F(SavedModelPeerTest, GivesWhatKeras3Gives) { expect_all("keras3_", 11); }

TEST_F(SavedModelPeerTest, GivesWhatKeras2Gives) { expect_all("keras2_", 11); }

TEST_F(SavedModelPeerTest, GivesWhatFunctionsOfAModuleGive) { expect_all("module_", 4); }

TEST_F(SavedModelPeerTest, GivesWhatGraphsOfTensorFlow1Give) { expect_all("old_", 2); }

// Gradients flow through the layer to the variables that the file calls trainable, and to no
// others.
TEST_F(SavedModelPeerTest, TrainsOnAsKerasDoes) {
  for (const std::string& folder : folders("trained_")) {
    SCOPED_TRACE(folder);
    const data::NpzFile io(folder + "/io.npz");
    const ModelFile file = testing::read(folder + "/model");
    const auto model = make_model(file);
    model->compile({.optimizer = std::make_shared<nn::Sgd>(nn::constant_rate(0.1)),
                    .loss = nn::mean_squared_error(),
                    .metrics = {}});
    const Tensor losses = io.read("losses");
    for (int64_t i = 0; i < losses.elements(); ++i) {
      const auto logs =
          model->train_on_batch({.features = {io.read("x0")}, .labels = {io.read("target")}});
      EXPECT_NEAR(logs.at("loss"), losses.as_double(i), 1e-4) << "step " << i;
    }
    for (const auto& [name, value] : model->weights()) {
      if (name.find("moving") == std::string::npos) continue;
      testing::expect_near(value, file.weights.at(name), 0, name);
    }
  }
}

}  // namespace
}  // namespace trireme::formats
