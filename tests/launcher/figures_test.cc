// The numbers that the program prints: right, or not there at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/launcher/program.h"

namespace trireme {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using testing::ProcessResult;
using testing::read_log;
using testing::TemporaryDirectory;
using testing::trireme_run;

// Two features, of which the first tells classes apart and is so large that logits lie beyond ±16.
std::string table(int rows, double positives, const std::string& negative = "0",
                  const std::string& positive = "1") {
  std::mt19937 random(5);
  std::normal_distribution<double> normal;
  std::bernoulli_distribution draw(positives);
  std::string text = "a,b,label\n";
  for (int i = 0; i < rows; ++i) {
    const bool is_positive = draw(random);
    text += std::to_string(50 * normal(random) + (is_positive ? 40 : 0)) + "," +
            std::to_string(normal(random)) + "," + (is_positive ? positive : negative) + "\n";
  }
  return text;
}

struct Job {
  TemporaryDirectory folder;
  std::string path;

  explicit Job(const std::string& csv, const std::string& layer = "dense { units: 1 }") {
    path = folder.write("job.textproto", "data { csv { file: \"" + folder.write("table.csv", csv) +
                                             "\" keep_scale: true validation_fraction: 0.25 } }\n"
                                             "model { layers { " +
                                             layer +
                                             " } }\n"
                                             "loss: BINARY_CROSS_ENTROPY\n"
                                             "optimizer { sgd {} learning_rate: 0.001 }\n"
                                             "metrics: ACCURACY metrics: AUC\n"
                                             "batch_size: 32\n");
  }
  ProcessResult train(const std::string& output, std::vector<std::string> more = {}) const {
    std::vector<std::string> words = {"train", path, "--output-dir", folder / output};
    words.insert(words.end(), more.begin(), more.end());
    return trireme_run(words);
  }
};

json last_line(const ProcessResult& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return json::parse(result.out.empty() ? "{}" : result.out);
}

// Of each pair of a positive and a negative row, by the logits that the program predicts.
double count_pairs(const std::string& predictions, const std::string& csv) {
  std::vector<double> labels, logits;
  std::istringstream rows(csv), lines(predictions);
  for (std::string row; std::getline(rows, row);) labels.push_back(row.ends_with(",1") ? 1 : 0);
  for (std::string line; std::getline(lines, line);) {
    logits.push_back(json::parse(line)["prediction"][0]);
  }
  labels.erase(labels.begin(), labels.end() - static_cast<std::ptrdiff_t>(logits.size()));
  double right = 0, pairs = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    for (size_t j = 0; j < labels.size(); ++j) {
      if (labels[i] != 1 || labels[j] != 0) continue;
      ++pairs;
      right += logits[i] > logits[j] ? 1 : logits[i] == logits[j] ? 0.5 : 0;
    }
  }
  return right / pairs;
}

TEST(FiguresTest, TheAucIsThatOfAllPairs) {
  const std::string csv = table(1600, 0.1);
  const Job job(csv);
  const double found = last_line(job.train("run")).value("val_auc", 0.);
  const ProcessResult predicted = trireme_run(
      {"predict", job.path, "--checkpoint", job.folder / "run/checkpoints", "--limit", "0"});
  EXPECT_NEAR(found, count_pairs(predicted.out, csv), 1e-5);
  const json evaluated = last_line(
      trireme_run({"evaluate", job.path, "--checkpoint", job.folder / "run/checkpoints"}));
  EXPECT_NEAR(evaluated.value("val_auc", 0.), found, 1e-9);
  const json devices =
      last_line(job.train("mirrored", {"--strategy", "mirrored", "--cpu-devices", "3"}));
  EXPECT_NEAR(devices.value("val_auc", 0.), found, 1e-5);
}

// Other labels would make a loss below zero, that falls without end.
TEST(FiguresTest, LabelsOfTwoClassesAreZeroAndOne) {
  for (const auto& [negative, positive] :
       {std::pair{"1", "2"}, {"-1", "1"}, {"0", "1.5"}, {"0", "1e9"}}) {
    const Job job(table(200, 0.5, negative, positive));
    const ProcessResult result = job.train("run", {"--set", "metrics=ACCURACY"});
    EXPECT_EQ(result.exit_code, 2) << negative << " " << positive << result.out;
    EXPECT_THAT(result.err, HasSubstr("expected 0 or 1"));
    EXPECT_EQ(result.out, "");
  }
  // A reader that gives ten classes.
  const TemporaryDirectory folder;
  std::string digits = testing::kSmallJob;
  digits.replace(digits.find("units: 10"), 9, "units: 1");
  const ProcessResult result = trireme_run(
      {"train", folder.write("digits.textproto", digits + "loss: BINARY_CROSS_ENTROPY\n"),
       "--output-dir", folder / "run"});
  EXPECT_EQ(result.exit_code, 2) << result.out;
  EXPECT_THAT(result.err, AllOf(HasSubstr("batch"), HasSubstr("has the label "),
                                HasSubstr("binary_cross_entropy takes labels from 0 to 1")));
  EXPECT_EQ(result.out, "");
}

TEST(FiguresTest, WhatDoesNotExistIsLeftOut) {
  const Job job(table(200, 0));
  const ProcessResult result = job.train("run");
  const json line = last_line(result);
  EXPECT_TRUE(line.contains("val_accuracy"));
  EXPECT_FALSE(line.contains("auc")) << result.out;
  EXPECT_FALSE(line.contains("val_auc")) << result.out;
  EXPECT_THAT(result.err, Not(HasSubstr("auc")));
  EXPECT_THAT(read_log(job.folder / "run/log.csv"),
              MatchesRegex("epoch,loss,accuracy,auc,val_loss,val_accuracy,val_auc\n"
                           "0,[0-9.e-]+,[0-9.]+,,[0-9.e-]+,[0-9.]+,\n"));
  const json evaluated = last_line(
      trireme_run({"evaluate", job.path, "--checkpoint", job.folder / "run/checkpoints"}));
  EXPECT_TRUE(evaluated.contains("val_loss"));
  EXPECT_FALSE(evaluated.contains("val_auc"));
  const ProcessResult stopping =
      job.train("stopping", {"--set", "early_stopping=monitor: \"val_auc\" patience: 1"});
  EXPECT_EQ(stopping.exit_code, 2);
  EXPECT_THAT(stopping.err, HasSubstr("epoch 1 has no val_auc"));
}

// Nothing else says why such a model does not learn.
TEST(FiguresTest, AnActivationBeforeALossOfLogitsIsWarnedOfOnce) {
  const Job job(table(200, 0.5), "dense { units: 1 activation: SIGMOID }");
  const auto count = [](const std::string& text) {
    const std::string what = "takes logits";
    int found = 0;
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++found;
    return found;
  };
  const ProcessResult trained = job.train("run");
  EXPECT_EQ(trained.exit_code, 0);
  EXPECT_EQ(count(trained.err), 1) << trained.err;
  EXPECT_THAT(trained.err, HasSubstr("remove the activation"));
  EXPECT_EQ(
      count(
          trireme_run({"evaluate", job.path, "--checkpoint", job.folder / "run/checkpoints"}).err),
      1);
  EXPECT_EQ(count(job.train("right", {"--set", "loss=MEAN_SQUARED_ERROR", "--set",
                                      "metrics=MEAN_ABSOLUTE_ERROR"})
                      .err),
            0);
}

}  // namespace
}  // namespace trireme
