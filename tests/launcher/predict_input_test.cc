// Predictions for files of one's own, in each format that a job's data can have: with labels or
// without, the same examples get the same predictions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "core/base/error.h"
#include "tests/launcher/predict_lines.h"
#include "tests/launcher/program.h"

namespace trireme {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::json_lines;
using testing::ProcessResult;
using testing::TemporaryDirectory;
using testing::trireme_run;

class PredictInputTest : public ::testing::Test {
 protected:
  // Trains one epoch of `job`.
  void train(const std::string& job) {
    folder_.write("job.textproto", job);
    const ProcessResult result = trireme_run({"train", folder_ / "job.textproto", "--data-dir",
                                              folder_.path(), "--output-dir", folder_ / "run",
                                              "--threads", "1", "--quiet", "--set", "epochs=1"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  ProcessResult predict(const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {
        "predict",      folder_ / "job.textproto",   "--data-dir", folder_.path(),
        "--checkpoint", folder_ / "run/checkpoints", "--threads",  "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return trireme_run(arguments);
  }
  std::vector<json> lines_of(const std::string& name, const std::string& bytes) {
    const ProcessResult result = predict({"--input", folder_.write(name, bytes)});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return json_lines(result.out);
  }
  std::string error_of(const std::string& name, const std::string& bytes) {
    const ProcessResult result = predict({"--input", folder_.write(name, bytes)});
    EXPECT_EQ(result.exit_code, 2);
    return result.err;
  }

  TemporaryDirectory folder_;
};

std::string big_endian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::string idx_images(uint32_t count) {
  std::string bytes = big_endian(0x803) + big_endian(count) + big_endian(28) + big_endian(28);
  for (uint32_t i = 0; i < count * 784; ++i) bytes += static_cast<char>(i * 7 + i / 784 * 31);
  return bytes;
}

std::vector<double> softmax(const std::vector<double>& logits) {
  std::vector<double> shares;
  double sum = 0;
  for (const double logit : logits) sum += shares.emplace_back(std::exp(logit));
  for (double& share : shares) share /= sum;
  return shares;
}

TEST_F(PredictInputTest, IdxImages) {
  train(testing::kSmallJob);
  const auto lines = lines_of("images", idx_images(300));  // more than one batch
  ASSERT_EQ(lines.size(), 300u);
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].at("index"), i);
    const auto logits = lines[i].at("prediction").get<std::vector<double>>();
    const auto shares = lines[i].at("probabilities").get<std::vector<double>>();
    ASSERT_EQ(logits.size(), 10u);
    const auto expected = softmax(logits);
    for (size_t c = 0; c < 10; ++c) EXPECT_NEAR(shares[c], expected[c], 2e-5);
    EXPECT_EQ(lines[i].at("class"), std::ranges::max_element(logits) - logits.begin());
  }
  const auto few = json_lines(predict({"--input", folder_ / "images", "--limit", "7"}).out);
  EXPECT_EQ(few, std::vector<json>(lines.begin(), lines.begin() + 7));

  EXPECT_THAT(error_of("cut", idx_images(3).substr(0, 2000)), HasSubstr("image 2"));
  EXPECT_THAT(error_of("long", idx_images(3) + "x"), HasSubstr("more bytes"));
  EXPECT_THAT(error_of("labels", big_endian(0x801)), HasSubstr("images (magic 00000803"));
  EXPECT_THAT(error_of("none", idx_images(0)), HasSubstr("found none"));
}

TEST_F(PredictInputTest, TheOutputFileAppearsWhole) {
  train(testing::kSmallJob);
  const std::string images = folder_.write("images", idx_images(5));
  const std::string out = folder_.write("out.jsonl", "before\n");
  ASSERT_EQ(predict({"--input", images, "--output", out}).exit_code, 0);
  EXPECT_EQ(testing::read_text(out), predict({"--input", images}).out);
  const std::string cut = folder_.write("cut", idx_images(300).substr(0, 784 * 299));
  const std::string whole = testing::read_text(out);
  EXPECT_EQ(predict({"--input", cut, "--output", out}).exit_code, 2);
  EXPECT_EQ(testing::read_text(out), whole);
  const ProcessResult csv = predict({"--input", images, "--format", "csv"});
  EXPECT_THAT(csv.out, HasSubstr("index,prediction_0,"));
  EXPECT_EQ(std::ranges::count(csv.out, '\n'), 6);
  if (std::filesystem::exists("/dev/full")) {
    EXPECT_NE(testing::run({"/bin/sh", "-c",
                            testing::kProgram + " predict " + (folder_ / "job.textproto") +
                                " --checkpoint " + (folder_ / "run/checkpoints") + " --input " +
                                images + " > /dev/full"})
                  .exit_code,
              0);
  }
}

TEST_F(PredictInputTest, CifarImagesWithLabelsOrWithout) {
  std::string labeled, plain;
  for (int i = 0; i < 12; ++i) {
    std::string image;
    for (int p = 0; p < 3072; ++p) image += static_cast<char>(p * (i + 3));
    labeled += static_cast<char>(i % 10) + image;
    plain += image;
  }
  std::filesystem::create_directories(folder_ / "cifar10");
  folder_.write("cifar10/data_batch_1.bin", labeled);
  folder_.write("cifar10/test_batch.bin", labeled);
  train(R"(data { cifar10 {} } model { layers { flatten {} } layers { dense { units: 10 } } })");
  const auto lines = lines_of("labeled.bin", labeled);
  ASSERT_EQ(lines.size(), 12u);
  EXPECT_EQ(lines_of("plain.bin", plain), lines);
  EXPECT_EQ(json_lines(predict({"--limit", "12"}).out)[3].at("prediction"),
            lines[3].at("prediction"));
  const std::vector<std::string> names = {"airplane", "automobile", "bird",  "cat",  "deer",
                                          "dog",      "frog",       "horse", "ship", "truck"};
  for (const json& line : lines) {
    EXPECT_EQ(line.at("class_name"), names[line.at("class").get<size_t>()]);
  }
  EXPECT_THAT(error_of("cut.bin", labeled.substr(0, 5000)), HasSubstr("image 1"));
}

TEST_F(PredictInputTest, TextsWithLabelsOrWithout) {
  std::string labeled, plain;
  for (int i = 0; i < 40; ++i) {
    const std::string text = str_cat(i % 2 == 0 ? "fine good " : "poor bad ", "film ", i);
    labeled += str_cat(i % 2 == 0 ? 1 : 0, "\t", text, "\n");
    plain += text + "\r\n";
  }
  folder_.write("train.tsv", labeled);
  train(R"(data { reviews { train_file: "train.tsv" test_file: "train.tsv" vocabulary: 500 } }
model { layers { dense { units: 1 } } }
loss: BINARY_CROSS_ENTROPY)");
  const auto lines = lines_of("labeled.tsv", labeled);
  ASSERT_EQ(lines.size(), 40u);
  EXPECT_EQ(lines_of("plain.txt", plain), lines);
  EXPECT_EQ(json_lines(predict({"--limit", "40"}).out)[5].at("prediction"),
            lines[5].at("prediction"));
  EXPECT_THAT(error_of("mixed.tsv", "1\tgood\nbad\n"), HasSubstr("mixed.tsv:2:1"));
  const ProcessResult other =
      predict({"--input", folder_ / "plain.txt", "--set", "data.reviews.vocabulary=600"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("trained with 500, the job has 600"));
}

TEST_F(PredictInputTest, ClickLogsWithLabelsOrWithout) {
  std::string labeled, plain;
  for (int i = 0; i < 60; ++i) {
    std::string fields;
    for (int n = 0; n < 13; ++n) fields += (n == 0 ? "" : "\t") + std::to_string((i * 7 + n) % 50);
    for (int c = 0; c < 26; ++c) fields += str_cat("\t", std::hex, 0xa0 + (i + c) % 17);
    labeled += str_cat(i % 3 == 0 ? 1 : 0, "\t", fields, "\n");
    plain += fields + "\n";
  }
  folder_.write("train.tsv", labeled);
  train(R"(data { criteo { train_files: "train.tsv" validation_files: "train.tsv" keys: 2600 } }
model { layers { dlrm { keys: 2600 dimension: 4 bottom: 8 top: 8 } } }
loss: BINARY_CROSS_ENTROPY)");
  const auto lines = lines_of("labeled.tsv", labeled);
  ASSERT_EQ(lines.size(), 60u);
  EXPECT_EQ(lines_of("plain.tsv", plain), lines);
  EXPECT_EQ(json_lines(predict({"--limit", "60"}).out)[5].at("prediction"),
            lines[5].at("prediction"));
  EXPECT_THAT(error_of("bad.tsv", plain + "1\t2\n"), HasSubstr("bad.tsv:61:"));
  const ProcessResult other =
      predict({"--input", folder_ / "plain.tsv", "--set", "data.criteo.keys=1300"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("data.criteo.keys"));
}

}  // namespace
}  // namespace trireme
