// Examples over images at small size, and layers that take their values from the data: they learn,
// and two workers go the steps of one process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "core/base/error.h"
#include "tests/launcher/program.h"
#include "tests/support/training_log.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::numbers;
using testing::Process;
using testing::ProcessResult;
using testing::read_text;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;

// The numbers below that name in a log.csv.
std::vector<double> column(const std::string& log, const std::string& name) {
  std::stringstream header(log.substr(0, log.find('\n')));
  std::vector<std::string> names;
  for (std::string cell; std::getline(header, cell, ',');) names.push_back(cell);
  const auto at = static_cast<size_t>(std::ranges::find(names, name) - names.begin());
  EXPECT_LT(at, names.size()) << "no column " << name << " in " << log;
  const std::vector<double> all = numbers(log);
  std::vector<double> found;
  for (size_t i = at; i < all.size() && at < names.size(); i += names.size()) {
    found.push_back(all[i]);
  }
  return found;
}

class ImageExamplesTest : public ::testing::Test {
 protected:
  // The example with other data in the place of its own.
  std::string example_on(const std::string& name, const std::string& data) const {
    const std::string text = read_text(std::string(TRIREME_EXAMPLES) + "/" + name);
    const std::regex line("(^|\n)data \\{[^\n]*\n");
    EXPECT_TRUE(std::regex_search(text, line)) << name;
    return folder_.write(name, std::regex_replace(text, line, "$1" + data + "\n"));
  }

  // An epoch is a step, so that the log has the loss of each.
  std::vector<double> losses(const std::string& job, const std::string& run, int workers,
                             int steps) const {
    Words words = {kProgram};
    if (workers == 1) words.push_back("train");
    if (workers > 1) words.insert(words.end(), {"launch", "--workers", std::to_string(workers)});
    const std::string out = folder_ / run;
    words.insert(words.end(),
                 {job, "--threads", "1", "--output-dir", out, "--set", "steps_per_epoch=1", "--set",
                  "epochs=" + std::to_string(steps), "--set", "optimizer.learning_rate=0.01"});
    const ProcessResult result = Process(words).wait(100s);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const std::vector<double> losses = column(read_text(out + "/log.csv"), "loss");
    EXPECT_EQ(losses.size(), static_cast<size_t>(steps));
    return losses;
  }

  void expect_same_steps(const std::string& job, int steps) const {
    const std::vector<double> one = losses(job, "one", 1, steps),
                              two = losses(job, "two", 2, steps);
    ASSERT_EQ(one.size(), two.size());
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_NEAR(two[i], one[i], 1e-4 * std::abs(one[i])) << "step " << i;
    }
  }

  TemporaryDirectory folder_;
};

// Its layers draw numbers, and its normalisation needs the whole batch.
TEST_F(ImageExamplesTest, ResNet20GoesTheSameStepsOnTwoWorkers) {
  const std::string job =
      example_on("cifar10_resnet20.textproto", "data { digits {} take: 96 validation_take: 16 }");
  expect_same_steps(job, 3);
}

TEST_F(ImageExamplesTest, ResNet20Learns) {
  const std::string job =
      example_on("cifar10_resnet20.textproto", "data { digits {} take: 64 validation_take: 16 }");
  const Words words = {kProgram,       "train",         job,     "--threads", "1",
                       "--output-dir", folder_ / "out", "--set", "epochs=12", "--set",
                       "batch_size=32"};
  const ProcessResult result = Process(words).wait(200s);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::vector<double> loss = column(read_text(folder_ / "out" + "/log.csv"), "loss");
  ASSERT_EQ(loss.size(), 12u);
  EXPECT_LT(loss.back(), 0.7 * loss.front());
}

TEST_F(ImageExamplesTest, TheAutoencoderGoesTheSameStepsOnTwoWorkers) {
  const std::string job =
      example_on("mnist_autoencoder.textproto",
                 "data { digits {} take: 512 validation_take: 64 labels: FEATURES }");
  expect_same_steps(job, 4);
}

// The mean image is what a model gives that knows nothing of an image.
TEST_F(ImageExamplesTest, TheAutoencoderGivesBackWhatItWasGiven) {
  const std::string job =
      example_on("mnist_autoencoder.textproto",
                 "data { digits {} take: 2048 validation_take: 256 labels: FEATURES }");
  const std::string out = folder_ / "out";
  const ProcessResult result = Process({kProgram, "train", job, "--threads", "1", "--output-dir",
                                        out, "--set", "epochs=20", "--set", "batch_size=64"})
                                   .wait(100s);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("the labels are the features"));
  const std::vector<double> loss = column(read_text(out + "/log.csv"), "val_loss");
  ASSERT_EQ(loss.size(), 20u);
  EXPECT_LT(loss.back(), 0.5 * loss.front());
}

// Every worker takes the same values from the data, and they are in the checkpoint.
TEST_F(ImageExamplesTest, ANormalizationIsAdaptedAlikeOnTwoWorkers) {
  const std::string job = folder_.write("adapted.textproto", R"(
data { digits {} take: 256 validation_take: 32 }
model {
  layers { normalization {} }
  layers { flatten {} }
  layers { dense { units: 10 } }
}
optimizer { sgd {} learning_rate: 0.05 }
batch_size: 64
)");
  expect_same_steps(job, 3);
  const std::string late = folder_.write("late.textproto", R"(
data { digits {} take: 256 }
model {
  layers { flatten {} }
  layers { normalization {} }
  layers { dense { units: 10 } }
}
)");
  const ProcessResult result = testing::trireme_run({"train", late});
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("late.textproto:5:"));
  EXPECT_THAT(result.err, HasSubstr("expected it to be called once, on a feature of the data"));
}

// The words come from all training texts on each worker, and go with the checkpoint.
TEST_F(ImageExamplesTest, AVocabularyIsTheSameOnTwoWorkersAndIsKept) {
  std::string lines;
  for (int i = 0; i < 80; ++i) {
    lines += str_cat(i % 2 == 0 ? "pos\tnumber " : "neg\tnumber ", i,
                     i % 2 == 0 ? " fine film\n" : " poor film\n");
  }
  const std::string file = folder_.write("texts.tsv", lines);
  const std::string job = folder_.write("texts.textproto", R"(
data { text_lines { files: ")" + file + R"(" } }
model {
  layers { text_vectorization { max_tokens: 40 output_mode: MULTI_HOT } }
  layers { dense { units: 2 } }
}
optimizer { adam {} }
batch_size: 16
)");
  expect_same_steps(job, 4);
  const std::string out = folder_ / "trained";
  const ProcessResult trained =
      Process({kProgram, "train", job, "--threads", "1", "--output-dir", out, "--set", "epochs=10",
               "--set", "optimizer.learning_rate=0.05"})
          .wait(60s);
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const std::string unknown = folder_.write("unknown.txt", "a fine thing\na poor thing\n");
  const ProcessResult result = testing::trireme_run(
      {"predict", job, "--checkpoint", out + "/checkpoints", "--input", unknown});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, ::testing::ContainsRegex("\"line\":1.*\"class_name\":\"pos\""));
  EXPECT_THAT(result.out, ::testing::ContainsRegex("\"line\":2.*\"class_name\":\"neg\""));
}

}  // namespace
}  // namespace trireme
