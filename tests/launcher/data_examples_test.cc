// The examples on images in IDX files and on texts, at small size: in one process, with two
// workers, and with parameter servers where there is an embedding.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/launcher/program.h"

namespace trireme {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::ProcessResult;
using testing::TemporaryDirectory;
using testing::trireme_run;

class DataExamplesTest : public ::testing::Test {
 protected:
  std::vector<double> train(const std::vector<std::string>& command, const std::string& example,
                            const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> words = command;
    words.push_back(TRIREME_SOURCE_DIR "/examples/" + example + ".textproto");
    words.insert(words.end(), {"--output-dir", folder_ / name});
    words.insert(words.end(), more.begin(), more.end());
    const ProcessResult result = trireme_run(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    line_ = json::parse(result.out.substr(std::min(result.out.find('{'), result.out.size())),
                        nullptr, false);
    return testing::numbers(testing::read_log(folder_ / name + "/log.csv"));
  }

  TemporaryDirectory folder_;
  json line_;  // the result
};

// Made-up reviews: 3% have the wrong label, and words of the other kind are strewn in.
TEST_F(DataExamplesTest, TextsAreToldApartByASumOfTheirWords) {
  const std::vector<std::string> steps = {"--set", "steps_per_epoch=20",   "--set", "epochs=2",
                                          "--set", "data.reviews.words=40"};
  const auto expected = train({"train"}, "text_binary", "one", steps);
  ASSERT_EQ(expected.size(), 10u);
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"launch", "--workers", "2"},
        std::vector<std::string>{"launch", "--workers", "2", "--ps", "2"}}) {
    const auto found = train(command, "text_binary", "run" + std::to_string(command.size()), steps);
    ASSERT_EQ(found.size(), expected.size());
    for (const size_t loss : {1u, 6u}) EXPECT_NEAR(found[loss], expected[loss], 1e-4);
  }
  // Who makes a batch, and when, changes nothing; blocks are another order.
  std::vector<std::string> ahead = steps, blocks = steps;
  ahead.insert(ahead.end(),
               {"--set", "data.threads=2", "--set", "data.prefetch=3", "--set", "data.cache=true"});
  EXPECT_EQ(train({"train"}, "text_binary", "ahead", ahead), expected);
  blocks.insert(blocks.end(), {"--set", "data.shuffle_block=64"});
  EXPECT_NE(train({"train"}, "text_binary", "blocks", blocks), expected);
  train({"train"}, "text_binary", "whole", {"--set", "epochs=2"});
  EXPECT_GT(line_.value("val_accuracy", 0.), 0.86);
  EXPECT_GE(line_.value("data_wait_seconds", -1.), 0.);
}

// Files of Fashion-MNIST have MNIST's names: MNIST's own stand in for them.
TEST_F(DataExamplesTest, FashionMnistIsReadFromAFolderOfItsOwn) {
  const char* data = std::getenv("TRIREME_DATA_DIR");
  const std::string mnist = std::string(data != nullptr ? data : TRIREME_TEST_DATA_DIR) + "/mnist";
  if (!std::filesystem::exists(mnist)) GTEST_SKIP() << "there is no " << mnist;
  std::filesystem::create_directory_symlink(mnist, folder_ / "fashion_mnist");
  const std::vector<std::string> small = {
      "--data-dir", folder_.path(), "--set", "data.take=4096", "--set", "data.validation_take=512",
      "--set",      "epochs=2"};
  const auto expected = train({"train"}, "fashion_mnist", "one", small);
  ASSERT_EQ(expected.size(), 10u);
  EXPECT_GT(line_.value("val_accuracy", 0.), 0.85);
  const auto found = train({"launch", "--workers", "2"}, "fashion_mnist", "two", small);
  ASSERT_EQ(found.size(), expected.size());
  EXPECT_NEAR(found[1], expected[1], 1e-4 * expected[1] + 1e-4);
}

// Which stage holds the others up is what a user of `bench data` comes for.
TEST_F(DataExamplesTest, BenchDataShowsEachStage) {
  const ProcessResult result =
      trireme_run({"bench", "data", TRIREME_SOURCE_DIR "/examples/text_binary.textproto",
                   "--seconds", "0.05", "--step", "--compute-threads", "1"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json line = json::parse(result.out.substr(result.out.find('{')));
  EXPECT_EQ(line.at("case"), "text_binary");
  std::vector<std::string> stages;
  double share = 0;
  for (const json& stage : line.at("stages")) {
    stages.push_back(stage.at("stage"));
    share += stage.at("share").get<double>();
    EXPECT_GT(stage.at("examples_per_s").get<double>(), 0);
  }
  EXPECT_THAT(stages, ::testing::ElementsAre("examples", "shuffle", "batch"));
  EXPECT_NEAR(share, 1, 1e-3);
  EXPECT_THAT(stages, ::testing::Contains(line.at("slowest").get<std::string>()));
  EXPECT_GT(line.at("examples_per_s").get<double>(), 0);
  EXPECT_GT(line.at("step_examples_per_s").get<double>(), 0);
  EXPECT_TRUE(line.contains("held_back_by"));

  const ProcessResult cases = trireme_run({"bench", "data", "--seconds", "0.02", "--threads", "0"});
  ASSERT_EQ(cases.exit_code, 0) << cases.err;
  EXPECT_THAT(cases.out, HasSubstr("\"stage\":\"map\""));
  EXPECT_THAT(cases.out, HasSubstr("\"stage\":\"bucket_by_sequence_length\""));
  EXPECT_EQ(trireme_run({"bench", "data", "--step"}).exit_code, 2);
}

}  // namespace
}  // namespace trireme
