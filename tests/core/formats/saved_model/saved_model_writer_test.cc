#include "core/formats/saved_model/saved_model_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/formats/inference_graph.h"
#include "core/io/tensor_bundle.h"
#include "core/nn/catalogs.h"
#include "core/nn/functional.h"
#include "core/nn/layers.h"
#include "tests/core/formats/models/model_texts.h"
#include "tests/core/formats/saved_model/judge.h"
#include "tests/support/process.h"

namespace trireme::formats {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class SavedModelWriterTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return directory_ / name; }

  // The model as a SavedModel, and what it predicts, for the judge.
  void write_case(const std::string& name, const ModelFile& file,
                  const std::vector<Tensor>& features) {
    const fs::path folder = path(name);
    fs::create_directories(folder);
    write_saved_model(file, (folder / "model").string(), {});
    const std::vector<Tensor> outputs = make_model(file)->predict_all(features);
    const InferenceGraph graph = inference_graph(file);
    write_tensors(folder.string(), graph.input_names, features, graph.output_names, outputs);
  }

  std::string error_of(const ModelFile& file, const std::string& name) {
    try {
      write_saved_model(file, path(name), {});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  trireme::testing::TemporaryDirectory directory_;
};

// The reason for the format: what others load predicts what we do.
TEST_F(SavedModelWriterTest, IsTakenByAllThatLoadsSavedModels) {
  for (const std::string& name : trireme::testing::model_names()) {
    write_case(name, trireme::testing::model_file(name),
               trireme::testing::random_features(name, 4));
  }
  judge(directory_.path(), "all");
}

TEST_F(SavedModelWriterTest, KeepsVariablesOutOfTheGraphAndTheJobBesideIt) {
  ModelFile file = trireme::testing::model_file("mnist_mlp");
  file.job_text = "name: \"a job\"  # ü\n";
  write_saved_model(file, path("model"), {});
  const io::BundleReader bundle(path("model/variables/variables"));
  for (const auto& [name, tensor] : file.weights) {
    const Tensor found = bundle.read("layers/" + name + "/.ATTRIBUTES/VARIABLE_VALUE");
    ASSERT_EQ(found.type(), tensor.type());
    EXPECT_EQ(std::memcmp(found.raw(), tensor.raw(), tensor.bytes()), 0) << name;
  }
  EXPECT_TRUE(bundle.contains("_CHECKPOINTABLE_OBJECT_GRAPH"));
  EXPECT_LT(fs::file_size(path("model/saved_model.pb")), 20000u);
  std::ifstream job(path("model/assets.extra/trireme/job.textproto"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(job), {}), file.job_text);
}

TEST_F(SavedModelWriterTest, ReplacesAModelAndNothingElse) {
  const ModelFile file = trireme::testing::model_file("mnist_mlp");
  fs::create_directories(path("model"));
  write_saved_model(file, path("model"), {});
  std::ofstream(path("model/stale")) << "of the model before";
  write_saved_model(file, path("model/"), {});
  EXPECT_FALSE(fs::exists(path("model/stale")));
  fs::create_directories(path("photos"));
  std::ofstream(path("photos/one")) << "x";
  EXPECT_THAT(error_of(file, "photos"), HasSubstr("found a folder with other files"));
  EXPECT_TRUE(fs::exists(path("photos/one")));
  EXPECT_FALSE(fs::exists(path("photos.trireme-partial")));
}

// Whoever has several layers that cannot be written learns so at the first try.
TEST_F(SavedModelWriterTest, NamesAllOpsThatTensorflowLacksAndLeavesNothing) {
  const auto x = nn::input({4});
  const auto one = nn::dense({.units = 4, .name = "one"})(x);
  nn::Model model({x}, {one});
  model.build();
  ModelFile file = model_file_of(model);
  file.weights.erase("one/kernel");
  EXPECT_THAT(error_of(file, "model"), HasSubstr("one/kernel"));
  EXPECT_FALSE(fs::exists(path("model")));
}

}  // namespace
}  // namespace trireme::formats
