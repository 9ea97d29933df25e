// The examples on sequences, at small size: in one process and with two workers; and text that a
// model of characters writes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/launcher/program.h"

namespace trireme {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::ProcessResult;
using ::testing::StartsWith;
using testing::TemporaryDirectory;
using testing::trireme_run;

class SequenceExamplesTest : public ::testing::Test {
 protected:
  using Words = std::vector<std::string>;

  // Trains an example; returns its result.
  json train(const Words& command, const std::string& example, const std::string& run,
             const Words& more) {
    Words words = command;
    words.push_back(TRIREME_SOURCE_DIR "/examples/" + example + ".textproto");
    words.insert(words.end(), {"--output-dir", folder_ / run, "--quiet"});
    words.insert(words.end(), more.begin(), more.end());
    const ProcessResult result = trireme_run(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const size_t begin = result.out.find('{');
    return begin == std::string::npos ? json::object() : json::parse(result.out.substr(begin));
  }

  // Of each epoch, the number in column `name` of a run's log.
  std::vector<double> column(const std::string& run, const std::string& name) {
    std::stringstream lines(testing::read_text(folder_ / run + "/log.csv"));
    std::string line, cell;
    std::getline(lines, line);
    std::vector<double> values;
    size_t at = 0;
    std::stringstream header(line);
    while (std::getline(header, cell, ',') && cell != name) ++at;
    while (std::getline(lines, line)) {
      std::stringstream cells(line);
      for (size_t i = 0; i <= at; ++i) std::getline(cells, cell, ',');
      values.push_back(std::stod(cell));
    }
    return values;
  }

  // One process and two workers have the same losses in their first steps; then the one trains to
  // the end, which gives the result.
  json train_both(const std::string& example, const Words& more) {
    Words few = more;
    few.insert(few.end(), {"--set", "data.take=32", "--set", "epochs=3"});
    train({"train"}, example, "few", few);
    train({"launch", "--workers", "2"}, example, "two", few);
    const std::vector<double> one = column("few", "loss"), two = column("two", "loss");
    EXPECT_EQ(one.size(), 3u);
    EXPECT_EQ(two.size(), 3u);
    for (size_t i = 0; i < std::min(one.size(), two.size()); ++i) {
      EXPECT_NEAR(one[i], two[i], 1e-4 * one[i]) << "epoch " << i;
    }
    return train({"train"}, example, "one", more);
  }

  TemporaryDirectory folder_;
};

// All 65 characters that the example's model has, and then a sentence again and again.
std::string play() {
  std::string text;
  for (char c = ' '; c <= '`'; ++c) text += c;
  for (int i = 0; i < 70; ++i) text += " THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG.";
  return text;
}

TEST_F(SequenceExamplesTest, AModelOfCharactersLearnsASentenceAndWritesIt) {
  const Words small = {"--set", "data.characters.file=" + folder_.write("play.txt", play()),
                       "--set", "data.characters.context=16",
                       "--set", "data.characters.stride=4",
                       "--set", "epochs=6",
                       "--set", "optimizer.learning_rate=0.005"};
  const json result = train_both("char_lstm", small);
  EXPECT_GT(result.value("val_accuracy", 0.), 0.8) << result;

  const auto generate = [&](const Words& more) {
    Words words = {"predict",
                   TRIREME_SOURCE_DIR "/examples/char_lstm.textproto",
                   "--checkpoint",
                   folder_ / "one/checkpoints",
                   "--quiet",
                   "--set",
                   "data.characters.context=16",
                   "--generate",
                   "30"};
    words.insert(words.end(), more.begin(), more.end());
    return trireme_run(words);
  };
  const ProcessResult best = generate({"--prompt", "THE QUICK", "--temperature", "0"});
  ASSERT_EQ(best.exit_code, 0) << best.err;
  EXPECT_THAT(best.out, StartsWith("THE QUICK BROWN FOX JUMPS OVER"));
  EXPECT_EQ(best.out.size(), 9 + 30 + 1u);

  // What is drawn follows from the seed.
  const Words drawn = {"--temperature", "1.5", "--top-k", "20", "--seed", "3"};
  EXPECT_EQ(generate(drawn).out, generate(drawn).out);
  const ProcessResult other = generate({"--prompt", "lower case"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("--prompt:1:1: the character U+006C"));
}

TEST_F(SequenceExamplesTest, ModelsOfOtherDataWriteNoText) {
  const ProcessResult refused =
      trireme_run({"predict", TRIREME_SOURCE_DIR "/examples/series_gru.textproto", "--checkpoint",
                   folder_.path(), "--generate", "5"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--generate: of models of characters only"));
}

// A forecast that says the last value again has a mean squared error of about 0.05; no forecast is
// below the 0.01 of the noise.
TEST_F(SequenceExamplesTest, AGruForecastsASeries) {
  const json result = train_both("series_gru", {"--set", "data.series.window=30", "--set",
                                                "data.series.examples=2000", "--set", "epochs=8"});
  EXPECT_LT(result.value("val_loss", 1.), 0.025) << result;
  EXPECT_GT(result.value("val_loss", 0.), 0.009) << result;
}

// Attention has to find the symbol that stands as far from the end as the decoder is from its
// start: a guess is right once in 8 times.
TEST_F(SequenceExamplesTest, AnEncoderAndADecoderReverseSequences) {
  const json result = train_both(
      "seq2seq_reversal", {"--set", "data.reversal.length=4", "--set", "data.reversal.symbols=8",
                           "--set", "data.reversal.examples=4000", "--set", "epochs=4", "--set",
                           "optimizer.learning_rate=0.01"});
  EXPECT_GT(result.value("val_accuracy", 0.), 0.9) << result;
}

}  // namespace
}  // namespace trireme
