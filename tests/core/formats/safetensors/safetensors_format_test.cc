#include "core/formats/safetensors_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>

#include "core/nn/layers.h"
#include "tests/support/process.h"

namespace trireme::formats {
namespace {

using ::testing::HasSubstr;

std::string python() {
  const char* const named = std::getenv("TRIREME_PEER_PYTHON");
  return named != nullptr ? named : TRIREME_PEER_PYTHON;
}

class SafetensorsFormatTest : public ::testing::Test {
 protected:
  SafetensorsFormatTest() : directory_(::testing::TempDir() + "/trireme-st-XXXXXX") {
    if (::mkdtemp(directory_.data()) == nullptr) ADD_FAILURE();
    model_.add<nn::Dense>({.units = 3, .name = "hidden"}).add<nn::Dense>({.units = 1});
    model_.build(TensorType{DType::kFloat32, {-1, 4}});
    file_ = model_file_of(model_);
    file_.name = "two";
    file_.job_text = "model {\n  layers { dense { units: 3 } }  # ü\n}\n";
  }
  ~SafetensorsFormatTest() override { std::filesystem::remove_all(directory_); }

  std::string path(const std::string& name) const { return directory_ + "/" + name; }

  static void expect_equal(const nn::StateMap& found, const nn::StateMap& expected) {
    ASSERT_EQ(found.size(), expected.size());
    for (const auto& [name, tensor] : expected) {
      ASSERT_TRUE(found.contains(name)) << name;
      ASSERT_EQ(found.at(name).type(), tensor.type()) << name;
      EXPECT_EQ(std::memcmp(found.at(name).raw(), tensor.raw(), tensor.bytes()), 0) << name;
    }
  }

  std::string directory_;
  nn::Model model_{{.seed = 5}};
  ModelFile file_;
  Format format_ = safetensors_format();
};

TEST_F(SafetensorsFormatTest, GivesBackWeightsJobAndTheStateOfATraining) {
  file_.training.emplace();
  file_.training->step = 12;
  file_.training->slots["optimizer/adam/m/dense/bias"] = Tensor::from<float>({1}, {0.5F});
  format_.write(file_, path("m.safetensors"), {});
  EXPECT_TRUE(format_.suits(path("m.safetensors")));
  EXPECT_TRUE(format_.detect(path("m.safetensors")));
  const ModelFile found = format_.read(path("m.safetensors"), {});
  EXPECT_EQ(found.name, "two");
  EXPECT_EQ(found.job_text, file_.job_text);
  expect_equal(found.weights, file_.weights);
  ASSERT_TRUE(found.training);
  EXPECT_EQ(found.training->step, 12);
  expect_equal(found.training->slots, file_.training->slots);
}

// Without a training there is nothing that could be taken for a slot: a layer may be named
// "optimizer".
TEST_F(SafetensorsFormatTest, KeepsAWeightThatIsNamedAsASlot) {
  file_.weights["optimizer/kernel"] = Tensor::from<float>({1}, {1});
  format_.write(file_, path("m.safetensors"), {});
  const ModelFile found = format_.read(path("m.safetensors"), {});
  EXPECT_FALSE(found.training);
  EXPECT_TRUE(found.weights.contains("optimizer/kernel"));
}

TEST_F(SafetensorsFormatTest, IsTheModelWhoseWeightsItHas) {
  format_.write(file_, path("m.safetensors"), {});
  nn::Model other({.seed = 9});
  other.add<nn::Dense>({.units = 3, .name = "hidden"}).add<nn::Dense>({.units = 1});
  other.build(TensorType{DType::kFloat32, {-1, 4}});
  const ModelFile layers = model_file_of(other);
  const ModelFile found = format_.read(path("m.safetensors"), {.model = &layers});
  const Tensor x = Tensor::from<float>({1, 4}, {1, -2, 3, 4});
  EXPECT_EQ(make_model(found)->predict(x).item<float>(), model_.predict(x).item<float>());
}

// The files must be those of everybody else, not only of our own reader and writer.
TEST_F(SafetensorsFormatTest, IsReadAndWrittenByTheLibraryOfThatName) {
  file_.weights["c"] = Tensor::from<int64_t>({2}, {-1, 7});
  file_.weights["d"] = Tensor::from<bool>({3}, {true, false, true});
  format_.write(file_, path("m.safetensors"), {});
  const ::trireme::testing::ProcessResult result = ::trireme::testing::run(
      {python(),
       std::string(TRIREME_SOURCE_DIR) + "/tests/core/formats/safetensors/safetensors_peer.py",
       path("m.safetensors"), path("theirs.safetensors")});
  if (result.exit_code == 77 || result.exit_code == 127) {
    GTEST_SKIP() << "no module safetensors in " << python()
                 << "; name a Python that has it in TRIREME_PEER_PYTHON";
  }
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("c int64 [2] 6.0\nd bool [3] 2.0\n"));
  EXPECT_THAT(result.out, HasSubstr("hidden/kernel float32 [4, 3] "));
  EXPECT_THAT(result.out, HasSubstr(file_.job_text));
  const ModelFile theirs = format_.read(path("theirs.safetensors"), {});
  EXPECT_EQ(theirs.job_text, file_.job_text);
  expect_equal(theirs.weights, file_.weights);
}

}  // namespace
}  // namespace trireme::formats
