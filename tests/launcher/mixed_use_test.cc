// Examples of several losses, weights and towers, at a small size: the same losses in one process,
// with workers, and with parameter servers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/error.h"
#include "tests/launcher/program.h"

namespace trireme {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::ProcessResult;
using testing::read_text;
using testing::TemporaryDirectory;
using testing::trireme_run;

// The columns of a training's log.csv.
std::map<std::string, std::vector<double>> columns(const std::string& folder) {
  std::stringstream lines(read_text(folder + "/log.csv"));
  std::string line, cell;
  std::getline(lines, line);
  std::vector<std::string> names;
  for (std::stringstream cells(line); std::getline(cells, cell, ',');) names.push_back(cell);
  std::map<std::string, std::vector<double>> found;
  while (std::getline(lines, line)) {
    std::stringstream cells(line);
    for (const std::string& name : names) {
      std::getline(cells, cell, ',');
      if (!cell.empty()) found[name].push_back(std::strtod(cell.c_str(), nullptr));
    }
  }
  return found;
}

class MixedUseTest : public ::testing::Test {
 protected:
  // Trains the job as each of `ways` says, a command line before the job; the first is the
  // reference.
  void train_in_all_ways(const std::string& job, const std::vector<std::vector<std::string>>& ways,
                         const std::vector<std::string>& set) {
    for (size_t i = 0; i < ways.size(); ++i) {
      const std::string output = folder_ / ("run" + std::to_string(i));
      std::vector<std::string> arguments = {ways[i][0], job};
      arguments.insert(arguments.end(), ways[i].begin() + 1, ways[i].end());
      arguments.insert(arguments.end(), {"--output-dir", output, "--data-dir", folder_.path()});
      for (const std::string& one : set) arguments.insert(arguments.end(), {"--set", one});
      const ProcessResult result = trireme_run(arguments);
      ASSERT_EQ(result.exit_code, 0) << ::testing::PrintToString(arguments) << "\n" << result.err;
      results_.push_back(json::parse(result.out.substr(result.out.rfind("\n{") + 1)));
      logs_.push_back(columns(output));
      ASSERT_FALSE(logs_[0]["loss"].empty());
      // Of the first two epochs: later, rounding may have grown.
      for (const auto& [name, values] : logs_[0]) {
        if (name == "data_wait_ms") continue;
        ASSERT_EQ(logs_[i][name].size(), values.size()) << name;
        for (size_t k = 0; k < std::min<size_t>(values.size(), 2); ++k) {
          // Scores that are nearly equal may change places.
          const double tolerance = name.ends_with("loss") ? 1e-4 : 5e-3;
          EXPECT_NEAR(logs_[i][name][k], values[k], tolerance * (1 + std::fabs(values[k])))
              << name << " of epoch " << k << ", " << ::testing::PrintToString(arguments);
        }
      }
    }
  }
  std::string example(const std::string& name) const {
    return std::string(TRIREME_EXAMPLES_DIR) + "/" + name;
  }

  const std::vector<std::string> one_ = {"train", "--quiet"},
                                 two_ = {"launch", "--workers", "2", "--quiet"};
  TemporaryDirectory folder_;
  std::vector<json> results_;
  std::vector<std::map<std::string, std::vector<double>>> logs_;
};

// Negatives come from groups that are whole on every worker.
TEST_F(MixedUseTest, TwoTowersHaveTheSameLossesEverywhere) {
  const std::vector<std::string> servers = {
      "launch", "--workers", "2", "--ps", "2", "--quiet", "--strategy", "parameter_server"};
  train_in_all_ways(
      example("two_tower.textproto"), {one_, two_, servers},
      {"data.visits.users=200", "data.visits.items=100", "data.visits.examples=5120", "epochs=2",
       "model.layers[0].embedding.vocabulary=200", "model.layers[3].embedding.vocabulary=100"});
  if (HasFatalFailure()) return;
  EXPECT_LT(logs_[0]["loss"][1], logs_[0]["loss"][0]);
  EXPECT_GT(logs_[0]["val_in_batch_top_5_accuracy"][1], 0.2);
}

// A table in which the price follows from the other columns; a row in five counts nothing, and is
// far off.
std::string houses(int count) {
  std::string text = "rooms,age,weight,MEDV\n";
  for (int i = 0; i < count; ++i) {
    const int rooms = 1 + i * 37 % 7, age = i * 53 % 90;
    const bool is_wrong = i % 5 == 4;
    text += str_cat(rooms, ",", age, ",", is_wrong ? 0 : 1 + i % 3, ",",
                    is_wrong ? 500 : 20 + 3 * rooms - age / 10, "\n");
  }
  return text;
}

TEST_F(MixedUseTest, BostonCountsRowsByTheirWeights) {
  folder_.write("boston_house_prices.csv", houses(300));
  train_in_all_ways(example("boston.textproto"), {one_, two_},
                    {"data.csv.sample_weight=weight", "epochs=40",
                     "weighted_metrics=MEAN_ABSOLUTE_ERROR", "weighted_metrics[0].name=weighted"});
  if (HasFatalFailure()) return;
  // The wrong fifth is off by 480; what counts is not.
  EXPECT_GT(logs_[0]["val_mean_absolute_error"].back(), 80);
  EXPECT_LT(logs_[0]["val_weighted"].back(), 10);
}

constexpr char kOutputs[] = R"(name: "outputs"
data { digits {} take: 640 validation_take: 200 }
model {
  layers { name: "pixels" flatten {} }
  layers { name: "code" dense { units: 16 activation: RELU } }
  layers { name: "digit" dense { units: 10 } }
  layers { name: "flat" inputs: "code" dense { units: 784 activation: SIGMOID } }
  layers { name: "again" reshape { shape: 28 shape: 28 shape: 1 } }
}
outputs { layer: "digit" loss: SPARSE_CATEGORICAL_CROSS_ENTROPY metrics: ACCURACY metrics: CONFUSION_MATRIX }
outputs { layer: "again" loss: MEAN_SQUARED_ERROR labels: "image" weight: 2 }
optimizer { adam {} learning_rate: 0.01 }
epochs: 2
batch_size: 64
)";

TEST_F(MixedUseTest, SeveralOutputsHaveALossEach) {
  folder_.write("outputs.textproto", kOutputs);
  train_in_all_ways(folder_ / "outputs.textproto", {one_, two_}, {});
  if (HasFatalFailure()) return;
  auto& log = logs_[0];
  for (size_t k = 0; k < 2; ++k) {
    EXPECT_NEAR(log["loss"][k], log["digit_loss"][k] + 2 * log["again_loss"][k], 1e-4);
  }
  EXPECT_GT(log["val_digit_accuracy"][1], 0.3);
  // The table is in the result: all validated examples, by their label.
  const json& table = results_[0].at("val_digit_confusion_matrix");
  ASSERT_EQ(table.size(), 10u);
  double all = 0, right = 0;
  for (size_t row = 0; row < 10; ++row) {
    for (size_t i = 0; i < 10; ++i) {
      all += table[row][i].get<double>();
      if (row == i) right += table[row][i].get<double>();
    }
  }
  EXPECT_EQ(all, 200);
  EXPECT_NEAR(right / all, log["val_digit_accuracy"][1], 1e-6);
  EXPECT_EQ(results_[1].at("val_digit_confusion_matrix"), table);
}

// What is wrong in a job with several losses is said with its place.
TEST_F(MixedUseTest, WrongOutputsAreNamed) {
  const auto error = [&](const std::string& from, const std::string& to) {
    std::string job = kOutputs;
    const size_t at = job.find(from);
    EXPECT_NE(at, std::string::npos);
    folder_.write("wrong.textproto", job.replace(at, from.size(), to));
    const ProcessResult result = trireme_run(
        {"train", folder_ / "wrong.textproto", "--quiet", "--output-dir", folder_ / "wrong"});
    EXPECT_EQ(result.exit_code, 2) << result.err;
    return result.err;
  };
  EXPECT_THAT(error("labels: \"image\"", "labels: \"picture\""),
              HasSubstr("the data has no \"picture\""));
  EXPECT_THAT(error("layer: \"again\"", "layer: \"agian\""),
              HasSubstr("wrong.textproto:11:11: outputs[1].layer: there is no layer \"agian\""));
  EXPECT_THAT(error("optimizer {", "loss: MEAN_SQUARED_ERROR\noptimizer {"),
              HasSubstr("wrong.textproto:12:1: loss: is of a job with a single loss"));
}

// Weights of another training, under other names; the head has another shape.
TEST_F(MixedUseTest, StartsWithWeightsOfAnotherTraining) {
  const std::string first = testing::kSmallJob;
  folder_.write("first.textproto", first);
  ASSERT_EQ(trireme_run({"train", folder_ / "first.textproto", "--quiet", "--output-dir",
                         folder_ / "first"})
                .exit_code,
            0);
  std::string second = first;
  second.replace(second.find("\"hidden\""), 8, "\"body\"");
  second.insert(second.find("model {") + 7,
                " weights { from: \"" + (folder_ / "first") +
                    "\" map { pattern: \"body/(.*)\" replacement: \"hidden/$1\" } }\n");
  folder_.write("second.textproto", second);
  const ProcessResult result =
      trireme_run({"train", folder_ / "second.textproto", "--output-dir", folder_ / "second"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("loaded 4 of 4 weights"));
  // It goes on where the first ended.
  EXPECT_LT(columns(folder_ / "second")["loss"][0], columns(folder_ / "first")["loss"][0] - 0.1);
  const ProcessResult none =
      trireme_run({"train", folder_ / "second.textproto", "--output-dir", folder_ / "third",
                   "--set", "model.weights.from=" + (folder_ / "nowhere")});
  EXPECT_EQ(none.exit_code, 2) << none.err;
  EXPECT_THAT(none.err, HasSubstr("model.weights: "));
}

}  // namespace
}  // namespace trireme
