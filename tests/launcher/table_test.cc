// Tables as a user has them: what was done to the columns when the model was trained is done to
// every other file, and undone for what the user reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/error.h"
#include "core/io/checkpoint.h"
#include "tests/launcher/predict_lines.h"
#include "tests/launcher/program.h"

namespace trireme {
namespace {

using nlohmann::json;
using testing::first_outputs;
using ::testing::HasSubstr;
using testing::json_lines;
using testing::ProcessResult;
using testing::TemporaryDirectory;
using testing::trireme_run;

constexpr char kLinear[] = R"(name: "table"
data { csv { file: "train.csv" label: "price" } }
model { layers { dense { units: 1 } } }
loss: MEAN_SQUARED_ERROR
optimizer { adam {} learning_rate: 0.05 }
metrics: MEAN_ABSOLUTE_ERROR
epochs: 40
batch_size: 32
)";

struct House {
  double rooms, age, price;
};

// Prices around 300,000, which rooms and age decide, with noise.
std::vector<House> houses(int count, int first = 0) {
  std::vector<House> all;
  for (int i = first; i < first + count; ++i) {
    const double rooms = 1 + (i * 37) % 7, age = (i * 53) % 90;
    all.push_back({rooms, age, 250'000 + 20'000 * rooms - 700 * age + (i * 71) % 1000});
  }
  return all;
}

std::string csv_of(const std::vector<House>& all) {
  std::string text = "rooms,age,price\n";
  for (const House& h : all) text += str_cat(h.rooms, ",", h.age, ",", std::llround(h.price), "\n");
  return text;
}

class TableTest : public ::testing::Test {
 protected:
  ProcessResult run(const std::string& command, std::vector<std::string> more,
                    const std::string& job = kLinear) {
    folder_.write("job.textproto", job);
    std::vector<std::string> arguments = {
        command,  folder_ / "job.textproto", "--data-dir", folder_.path(), "--threads", "1",
        "--quiet"};
    if (command == "train") {
      arguments.insert(arguments.end(), {"--output-dir", folder_ / output_});
    } else {
      arguments.insert(arguments.end(), {"--checkpoint", folder_ / "run/checkpoints"});
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return trireme_run(arguments);
  }
  ProcessResult train(std::vector<std::string> more = {}, const std::string& job = kLinear) {
    ProcessResult result = run("train", std::move(more), job);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result;
  }
  std::string predict(const std::string& name, const std::string& bytes,
                      const std::string& job = kLinear) {
    const ProcessResult result = run("predict", {"--input", folder_.write(name, bytes)}, job);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }
  std::string saved_preprocessing() const {
    return io::load_checkpoint(folder_ / "run/checkpoints").at("preprocessing").item<std::string>();
  }

  TemporaryDirectory folder_;
  std::string output_ = "run";
};

// A mean absolute error of 0.2 says nothing when nobody knows of what.
TEST_F(TableTest, ErrorsAndPredictionsAreInTheUnitsOfTheLabel) {
  const std::vector<House> all = houses(200);
  folder_.write("train.csv", csv_of(all));
  const json trained = json::parse(train().out);
  const std::vector<double> prices = first_outputs(predict("all.csv", csv_of(all)));
  ASSERT_EQ(prices.size(), 200u);
  double squares = 0, absolute = 0;
  for (size_t i = 160; i < 200; ++i) {  // the validation rows
    const double error = prices[i] - static_cast<double>(std::llround(all[i].price));
    squares += error * error / 40;
    absolute += std::abs(error) / 40;
  }
  EXPECT_LT(absolute, 3000);  // it has learned what there is to learn
  EXPECT_NEAR(trained.at("val_mean_absolute_error").get<double>(), absolute, absolute * 1e-3);
  EXPECT_NEAR(trained.at("val_loss").get<double>(), squares, squares * 1e-3);

  double all_squares = 0;
  for (size_t i = 0; i < 200; ++i) {
    all_squares += std::pow(prices[i] - static_cast<double>(std::llround(all[i].price)), 2) / 200;
  }
  const json evaluated = json::parse(run("evaluate", {"--input", folder_ / "all.csv"}).out);
  EXPECT_NEAR(evaluated.at("val_loss").get<double>(), all_squares, all_squares * 1e-3);
}

// Scaled by its own mean, a file of one house would have the mean of all prices.
TEST_F(TableTest, OtherFilesGetTheScaleOfTheTraining) {
  const std::vector<House> all = houses(200);
  folder_.write("train.csv", csv_of(all));
  train();
  const std::vector<double> prices = first_outputs(predict("all.csv", csv_of(all)));
  const std::vector<double> one = first_outputs(predict("one.csv", csv_of({all[7]})));
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0], prices[7]);
  // Other order, other delimiter, no label.
  std::string swapped = "age;rooms\n";
  for (const House& h : all) swapped += str_cat(h.age, ";", h.rooms, "\n");
  EXPECT_EQ(first_outputs(predict("swapped.csv", swapped)), prices);
}

TEST_F(TableTest, ColumnsThatDoNotMatchAreListed) {
  folder_.write("train.csv", csv_of(houses(50)));
  train({"--set", "epochs=1"});
  const auto error = [&](const std::string& text) {
    const ProcessResult result = run("predict", {"--input", folder_.write("other.csv", text),
                                                 "--output", folder_ / "out.jsonl"});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_FALSE(std::filesystem::exists(folder_ / "out.jsonl"));
    return result.err;
  };
  EXPECT_THAT(error("rooms,floor\n1,2\n"), HasSubstr("missing \"age\"; not known \"floor\""));
  EXPECT_THAT(error("1,2\n3,4\n"), HasSubstr("header"));
  EXPECT_THAT(error("rooms,age\n1,2\n3,x\n"), HasSubstr("other.csv:3:3"));
  EXPECT_THAT(error("rooms,age\n"), HasSubstr("found none"));
  std::string renamed = csv_of(houses(50));
  folder_.write("other.csv", renamed.replace(renamed.find("age"), 3, "floor"));
  const ProcessResult trained = run("train", {"--resume", "--set", "data.csv.file=other.csv"});
  EXPECT_EQ(trained.exit_code, 2);
  EXPECT_THAT(trained.err, HasSubstr("missing \"age\"; not known \"floor\""));
  const ProcessResult kept = run("evaluate", {"--set", "data.csv.keep_scale=true"});
  EXPECT_EQ(kept.exit_code, 2);
  EXPECT_THAT(kept.err, HasSubstr("keep_scale"));
}

// Going on with other statistics would give the weights another meaning.
TEST_F(TableTest, AResumedTrainingKeepsTheScaleOfTheFirst) {
  folder_.write("train.csv", csv_of(houses(100)));
  const std::vector<std::string> some = {"--set", "epochs=1", "--set", "data.take=60"};
  train(some);
  const std::string before = saved_preprocessing();
  std::vector<House> other = houses(100);
  for (House& h : other) h.age *= 10;
  folder_.write("train.csv", csv_of(other));
  train({"--set", "epochs=2", "--set", "data.take=60", "--resume"});
  EXPECT_EQ(saved_preprocessing(), before);
}

// What an earlier version saved.
TEST_F(TableTest, ACheckpointWithoutTheScaleIsRefused) {
  folder_.write("train.csv", csv_of(houses(50)));
  train({"--set", "epochs=1"});
  const std::string checkpoints = folder_ / "run/checkpoints";
  auto state = io::load_checkpoint(checkpoints);
  ASSERT_EQ(state.erase("preprocessing"), 1u);
  io::CheckpointManager(checkpoints).save(2, state);
  for (const char* command : {"evaluate", "predict", "train"}) {
    const ProcessResult result =
        run(command, std::string_view(command) == "train" ? std::vector<std::string>{"--resume"}
                                                          : std::vector<std::string>{});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr("does not say how the columns of its table were scaled"));
  }
}

// A class that is scaled makes cross entropies negative.
TEST_F(TableTest, LabelsOfACrossEntropyAreNotScaled) {
  std::string text = "a,b,sold\n";
  for (int i = 0; i < 200; ++i) {
    const int a = (i * 37) % 11, b = (i * 53) % 13;
    text += str_cat(a, ",", b, ",", a > 5 ? "yes" : "no", "\n");
  }
  folder_.write("train.csv", text);
  std::string job = kLinear;
  job.replace(job.find("price"), 5, "sold");
  job.replace(job.find("MEAN_SQUARED_ERROR"), 18, "BINARY_CROSS_ENTROPY");
  job.replace(job.find("MEAN_ABSOLUTE_ERROR"), 19, "ACCURACY");
  const json trained = json::parse(train({}, job).out);
  EXPECT_GT(trained.at("val_loss").get<double>(), 0);
  EXPECT_GT(trained.at("val_accuracy").get<double>(), 0.9);
  const auto lines = json_lines(predict("few.csv", "b,a\n3,10\n3,0\n", job));
  ASSERT_EQ(lines.size(), 2u);
  for (const json& line : lines) {
    const double logit = line.at("prediction")[0];
    EXPECT_NEAR(line.at("probabilities")[0].get<double>(), 1 / (1 + std::exp(-logit)), 1e-5);
  }
  EXPECT_EQ(lines[0].at("class_name"), "yes");
  EXPECT_EQ(lines[0].at("class"), 1);
  EXPECT_EQ(lines[1].at("class_name"), "no");
  EXPECT_EQ(lines[1].at("line"), 3);

  std::string wrong = text;
  for (size_t at = 0; (at = wrong.find("yes", at)) != std::string::npos;) wrong.replace(at, 3, "2");
  for (size_t at = 0; (at = wrong.find("no", at)) != std::string::npos;) wrong.replace(at, 2, "1");
  folder_.write("train.csv", wrong);
  output_ = "other";
  const ProcessResult refused = run("train", {}, job);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("expected 0 or 1"));
}

// The seconds of a day, counted from 1970, decide the label.
TEST_F(TableTest, TimesKeepTheirDigits) {
  std::string text = "time,price\n";
  for (int i = 0; i < 200; ++i) {
    const int k = (i * 37) % 101;
    text += str_cat(1'700'000'000 + k, ",", 1'600'000'000 + 3 * k, "\n");
  }
  folder_.write("train.csv", text);
  const json trained = json::parse(train().out);
  EXPECT_LT(trained.at("val_mean_absolute_error").get<double>(), 1);
  const std::vector<double> predicted =
      first_outputs(predict("two.csv", "time\n1700000010\n1700000050\n"));
  EXPECT_NEAR(predicted[0], 1'600'000'030, 2);
  EXPECT_NEAR(predicted[1], 1'600'000'150, 2);
}

TEST_F(TableTest, MissingFeaturesGoByThePolicyInEveryFile) {
  const std::string text = csv_of(houses(100)) + "3,NA,300000\n";
  folder_.write("train.csv", text);
  const ProcessResult refused = run("train", {});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("train.csv:102:3: column \"age\": a value is missing"));
  train({"--set", "epochs=1", "--set", "data.csv.missing=DROP"});
  const std::string input = folder_.write("holes.csv", "rooms,age\n1,2\n3,\n2,2\n");
  const ProcessResult dropped =
      run("predict", {"--input", input, "--set", "data.csv.missing=DROP"});
  const auto lines = json_lines(dropped.out);
  ASSERT_EQ(lines.size(), 3u) << dropped.err;
  EXPECT_TRUE(lines[1].at("prediction").is_null());
  EXPECT_EQ(lines[1].at("missing"), "age");
  EXPECT_TRUE(lines[2].at("prediction")[0].is_number());
}

// Every worker scales by the same numbers, and whoever saves has them.
TEST_F(TableTest, TheScaleIsInTheCheckpointsOfWorkersAndServers) {
  const std::vector<House> all = houses(120);
  folder_.write("train.csv", csv_of(all));
  train({"--set", "epochs=1"});
  const std::string alone = saved_preprocessing();
  for (const std::string servers : {"0", "1"}) {
    const std::string output = folder_ / ("run-" + servers);
    const ProcessResult result =
        trireme_run({"launch", "--workers", "2", "--ps", servers, folder_ / "job.textproto",
                     "--data-dir", folder_.path(), "--output-dir", output, "--set", "epochs=2"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const json trained = json::parse(result.out.substr(result.out.find('{')));
    EXPECT_EQ(io::load_checkpoint(output + "/checkpoints").at("preprocessing").item<std::string>(),
              alone);
    const ProcessResult evaluated =
        trireme_run({"evaluate", folder_ / "job.textproto", "--data-dir", folder_.path(),
                     "--checkpoint", output + "/checkpoints"});
    const double loss = json::parse(evaluated.out).at("val_loss");
    EXPECT_NEAR(loss, trained.at("val_loss").get<double>(), loss * 1e-3);
    EXPECT_GT(loss, 1e4);  // in squares of the price's units
  }
}

// A fraction of 0 is no validation: its figures are absent, alone and with workers.
TEST_F(TableTest, WithoutAValidationFractionNothingIsValidated) {
  folder_.write("train.csv", csv_of(houses(120)));
  folder_.write("job.textproto", kLinear);
  const std::vector<std::string> set = {"--set", "data.csv.validation_fraction=0", "--set",
                                        "epochs=2"};
  for (const std::string workers : {"1", "2"}) {
    const std::string output = folder_ / ("run-" + workers);
    std::vector<std::string> arguments = {
        "launch",     "--workers",    workers,        folder_ / "job.textproto",
        "--data-dir", folder_.path(), "--output-dir", output};
    arguments.insert(arguments.end(), set.begin(), set.end());
    const ProcessResult result = trireme_run(arguments);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out + result.err, HasSubstr("120 + 0 rows"));
    const json trained = json::parse(result.out.substr(result.out.find('{')));
    EXPECT_TRUE(trained.contains("loss")) << result.out;
    EXPECT_FALSE(trained.contains("val_loss")) << result.out;
    std::istringstream log(testing::read_log(output + "/log.csv"));
    std::string header, line;
    std::getline(log, header);
    EXPECT_EQ(header, "epoch,loss,mean_absolute_error,val_loss,val_mean_absolute_error");
    int lines = 0;
    for (; std::getline(log, line); ++lines) EXPECT_TRUE(line.ends_with(",,")) << line;
    EXPECT_EQ(lines, 2);
  }
  std::vector<std::string> monitored = set;
  monitored.insert(monitored.end(), {"--set", "early_stopping.patience=1"});
  output_ = "monitored";
  const ProcessResult refused = run("train", monitored);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("there is no val_loss to monitor"));
  output_ = "run";
  train(set);
  const ProcessResult evaluated = run("evaluate", set);
  EXPECT_EQ(evaluated.exit_code, 2);
  EXPECT_THAT(evaluated.err, HasSubstr("no examples"));
}

// A softmax or a sigmoid of probabilities would be wrong without a word.
TEST_F(TableTest, ALossOfProbabilitiesGivesPredictionsThatAreThem) {
  std::string table = "x,y\n";
  for (int i = 0; i < 60; ++i) table += str_cat(i % 10, ",", i % 10 > 4 ? 1 : 0, "\n");
  folder_.write("train.csv", table);
  const std::string job = R"(name: "table"
data { csv { file: "train.csv" label: "y" } }
model { layers { dense { units: 1 activation: SIGMOID } } }
loss { binary_cross_entropy { from_logits: false } }
optimizer { adam {} learning_rate: 0.1 }
metrics: [ACCURACY, AUC]
epochs: 20
)";
  const json trained = json::parse(train({}, job).out);
  EXPECT_GT(trained.at("val_accuracy").get<double>(), 0.9);
  const std::vector<json> lines = json_lines(predict("other.csv", "x\n0\n9\n", job));
  ASSERT_EQ(lines.size(), 2u);
  for (const json& line : lines) EXPECT_EQ(line.at("prediction"), line.at("probabilities")) << line;
  EXPECT_EQ(lines[0].at("class"), 0);
  EXPECT_EQ(lines[1].at("class"), 1);
}

// Each of several workers has the callbacks of the job, and one writes.
TEST_F(TableTest, ACsvLogOfAJobIsWrittenOnceByWorkers) {
  folder_.write("train.csv", csv_of(houses(120)));
  const std::string log = folder_ / "mine.csv";
  folder_.write("job.textproto",
                kLinear + str_cat("callbacks { csv_log { file: \"", log, "\" } }\n"));
  const ProcessResult result =
      trireme_run({"launch", "--workers", "2", folder_ / "job.textproto", "--data-dir",
                   folder_.path(), "--output-dir", folder_ / "run", "--set", "epochs=3"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string lines = testing::read_text(log);
  EXPECT_EQ(std::ranges::count(lines, '\n'), 4);
  EXPECT_EQ(lines, testing::read_log(folder_ / "run/log.csv"));
}

// The well-known table: prices are in thousands of dollars.
TEST_F(TableTest, HousesOfBoston) {
  const std::string data = std::getenv("TRIREME_DATA_DIR") != nullptr
                               ? std::getenv("TRIREME_DATA_DIR")
                               : TRIREME_TEST_DATA_DIR;
  const std::string file = data + "/boston_house_prices.csv";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
  std::string job = kLinear;
  job.replace(job.find("price"), 5, "MEDV");  // first: the file's name has the word too
  job.replace(job.find("train.csv"), 9, std::filesystem::absolute(file));
  const json trained = json::parse(train({}, job).out);
  const ProcessResult predicted = run("predict", {"--input", file}, job);
  const std::vector<double> prices = first_outputs(predicted.out);
  ASSERT_EQ(prices.size(), 506u) << predicted.err;
  // The last of 14 columns.
  std::stringstream lines(testing::read_text(file));
  std::string line;
  std::getline(lines, line);
  double absolute = 0, sum = 0;
  for (size_t i = 0; std::getline(lines, line); ++i) {
    sum += prices[i] / 506;
    if (i < 506 - 101) continue;
    absolute += std::abs(prices[i] - std::stod(line.substr(line.rfind(',') + 1))) / 101;
  }
  EXPECT_NEAR(trained.at("val_mean_absolute_error").get<double>(), absolute, 1e-3 * absolute);
  EXPECT_NEAR(sum, 22.5, 3);  // the mean of MEDV
  EXPECT_LT(absolute, 10);
}

}  // namespace
}  // namespace trireme
