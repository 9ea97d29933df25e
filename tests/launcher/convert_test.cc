// trireme convert, as a user would call it: between a training's folder and files of other formats.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/launcher/program.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using testing::ProcessResult;
using testing::read_text;
using testing::TemporaryDirectory;
using testing::trireme_run;

class ConvertTest : public ::testing::Test {
 protected:
  void train(const std::string& name, const std::vector<std::string>& more = {}) {
    folder_.write("small.textproto", testing::kSmallJob);
    std::vector<std::string> words = {"train", folder_ / "small.textproto", "--quiet",
                                      "--output-dir", folder_ / name};
    words.insert(words.end(), more.begin(), more.end());
    const ProcessResult result = trireme_run(words);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  json converted(std::vector<std::string> words) {
    words.insert(words.begin(), "convert");
    const ProcessResult result = trireme_run(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    report_ = result.err;
    return result.exit_code == 0 ? json::parse(result.out) : json();
  }
  std::string error_of(std::vector<std::string> words) {
    words.insert(words.begin(), "convert");
    const ProcessResult result = trireme_run(words);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_EQ(result.out, "");
    return result.err;
  }
  std::string predictions(const std::string& checkpoint) {
    const ProcessResult result = trireme_run(
        {"predict", folder_ / "small.textproto", "--checkpoint", folder_ / checkpoint, "--quiet"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }

  TemporaryDirectory folder_;
  std::string report_;
};

// Through a file of another format and back, neither the job file nor the data are needed, and not
// a bit of a prediction is another.
TEST_F(ConvertTest, GoesThroughSafetensorsAndBackWithoutTheJobFile) {
  train("first");
  const json there = converted({folder_ / "first", folder_ / "small.safetensors"});
  EXPECT_EQ(there["from_format"], "trireme");
  EXPECT_EQ(there["to_format"], "safetensors");
  EXPECT_EQ(there["layers"], 4);
  EXPECT_EQ(there["weights"], 4);
  EXPECT_EQ(there["parameters"], 784 * 16 + 16 + 16 * 10 + 10);
  EXPECT_EQ(there["slots"], 8);
  EXPECT_TRUE(there["missing"].empty());
  EXPECT_THAT(report_, HasSubstr("loaded 4 of 4 weights"));
  const json back = converted({folder_ / "small.safetensors", folder_ / "again"});
  EXPECT_EQ(back["to_format"], "trireme");
  EXPECT_EQ(back["step"], there["step"]);
  const std::string expected = predictions("first");
  EXPECT_THAT(expected, HasSubstr("prediction"));
  EXPECT_EQ(predictions("again"), expected);
  EXPECT_EQ(predictions("small.safetensors"), expected);
}

// A training that was converted goes on as if it had never been: same weights, slots, batches.
TEST_F(ConvertTest, WritesAFolderThatATrainingGoesOnIn) {
  train("whole", {"--set", "epochs=4"});
  train("half");
  converted({folder_ / "half", folder_ / "half.safetensors"});
  converted({folder_ / "half.safetensors", folder_ / "moved"});
  const ProcessResult result =
      trireme_run({"train", folder_ / "moved/job.textproto", "--output-dir", folder_ / "moved",
                   "--resume", "--set", "epochs=4"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("going on from"));
  const json all = json::parse(result.out.substr(result.out.rfind("\n{") + 1));
  EXPECT_EQ(all["epochs"], 4);
  EXPECT_EQ(predictions("moved"), predictions("whole"));
}

// What is printed is a job that trains.
TEST_F(ConvertTest, PrintsTheModelAsAJobFile) {
  train("run");
  const ProcessResult printed = trireme_run({"convert", folder_ / "run", "--print-job", "--quiet"});
  ASSERT_EQ(printed.exit_code, 0) << printed.err;
  EXPECT_THAT(printed.out, HasSubstr("digits"));
  EXPECT_THAT(printed.out, HasSubstr("units: 16"));
  EXPECT_THAT(printed.out, ::testing::Not(HasSubstr("kernel_initializer")));  // the default
  folder_.write("printed.textproto", printed.out);
  const ProcessResult trained = trireme_run(
      {"train", folder_ / "printed.textproto", "--output-dir", folder_ / "printed", "--quiet"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_EQ(predictions("printed"), predictions("run"));
}

// A weight that is not found would be one that nobody trained.
TEST_F(ConvertTest, RefusesWeightsThatAreMissingAndTakesThemByOtherNames) {
  train("run");
  converted({folder_ / "run", folder_ / "w.safetensors"});
  std::string other = testing::kSmallJob;
  other.replace(other.find("\"hidden\""), 8, "\"body\"");
  other.insert(other.find("model {") + 7, " inputs { shape: [28, 28, 1] }");
  const std::string job = folder_.write("other.textproto", other);
  const std::string error = error_of({folder_ / "w.safetensors", folder_ / "new", "--model", job});
  EXPECT_THAT(error, HasSubstr("not found: body/kernel, body/bias"));
  EXPECT_FALSE(fs::exists(folder_ / "new"));
  const json mapped = converted(
      {folder_ / "w.safetensors", folder_ / "new", "--model", job, "--map", "body/(.*)=hidden/$1"});
  EXPECT_EQ(mapped["weights"], 4);
  const json partial =
      converted({folder_ / "w.safetensors", folder_ / "part", "--model", job, "--partial"});
  EXPECT_EQ(partial["missing"], json({"body/kernel", "body/bias"}));
  EXPECT_EQ(partial["unused"], json({"hidden/bias", "hidden/kernel"}));
}

TEST_F(ConvertTest, LeavesWhatIsThere) {
  train("run");
  folder_.write("w.safetensors", "mine");
  EXPECT_THAT(error_of({folder_ / "run", folder_ / "w.safetensors"}), HasSubstr("--overwrite"));
  EXPECT_EQ(read_text(folder_ / "w.safetensors"), "mine");
  EXPECT_THAT(error_of({folder_ / "run", folder_ / "model.nothing"}),
              HasSubstr("no format has that ending"));
  EXPECT_THAT(error_of({folder_ / "nowhere", folder_ / "x.safetensors"}),
              HasSubstr("there is no such file or folder"));
  EXPECT_THAT(error_of({folder_ / "small.textproto", folder_ / "x.safetensors"}),
              HasSubstr("it is no model of a known format"));
  EXPECT_FALSE(fs::exists(folder_ / "x.safetensors"));
  converted({folder_ / "run", folder_ / "w.safetensors", "--overwrite"});
  EXPECT_NE(read_text(folder_ / "w.safetensors"), "mine");
  for (const auto& entry : fs::directory_iterator(folder_.path())) {
    EXPECT_FALSE(entry.path().filename().string().starts_with(".")) << entry.path();
  }
}

// Some formats are several files, whose names begin with the one that is given.
TEST_F(ConvertTest, PutsAllFilesOfAFormatInPlace) {
  train("run");
  folder_.write("small.textproto", testing::kSmallJob);
  const std::vector<std::string> words = {folder_ / "run", folder_ / "tf", "--to",
                                          "keras-checkpoint"};
  converted(words);
  EXPECT_TRUE(fs::exists(folder_ / "tf.index"));
  EXPECT_EQ(predictions("tf"), predictions("run"));
  EXPECT_THAT(error_of(words), HasSubstr("it is there already"));
}

// A training may begin with a file of any format, and leave what it took as it is.
TEST_F(ConvertTest, GivesATrainingItsFirstWeights) {
  train("run");
  converted({folder_ / "run", folder_ / "w.safetensors"});
  std::string job = testing::kSmallJob;
  job.insert(job.find("model {") + 7,
             " weights { from: \"" + (folder_ / "w.safetensors") + "\" freeze: \"hidden\" }");
  folder_.write("next.textproto", job);
  const ProcessResult result =
      trireme_run({"train", folder_ / "next.textproto", "--output-dir", folder_ / "next"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("loaded 4 of 4 weights"));
  converted({folder_ / "next", folder_ / "next.safetensors"});
  const auto kernel = [&](const std::string& name) {
    return trireme_run({"inspect", folder_ / name}).out;
  };
  const auto line = [](const std::string& text, const std::string& of) {
    const size_t begin = text.find(of);
    return text.substr(begin, text.find('\n', begin) - begin);
  };
  EXPECT_EQ(line(kernel("next/checkpoints/ckpt-20"), "hidden/kernel"),
            line(kernel("run/checkpoints/ckpt-20"), "hidden/kernel"));
  EXPECT_NE(line(kernel("next/checkpoints/ckpt-20"), "logits/kernel"),
            line(kernel("run/checkpoints/ckpt-20"), "logits/kernel"));
}

// Data of another shape than the model takes would be found deep in some layer.
TEST_F(ConvertTest, ComparesTheInputsOfAJobWithItsData) {
  std::string job = testing::kSmallJob;
  job.insert(job.find("model {") + 7, "\n  inputs { shape: [28, 27, 1] }");
  folder_.write("inputs.textproto", job);
  const ProcessResult result = trireme_run(
      {"train", folder_ / "inputs.textproto", "--output-dir", folder_ / "x", "--quiet"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("inputs.textproto:4:3: model.inputs[0]: expected"));
}

}  // namespace
}  // namespace trireme
