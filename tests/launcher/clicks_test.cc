// Click logs from the command line: made, trained on, and the AUC that comes out.
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

constexpr char kData[] = "data { clicks { examples: 50000 validation_examples: 10000 keys: 520 } }";

std::string wide_deep_job(const std::string& data) {
  return data + R"(
model { layers { wide_deep { keys: 520 dimension: 4 deep: 16 } } }
loss: BINARY_CROSS_ENTROPY
optimizer { adagrad { initial_accumulator: 1e-6 } learning_rate: 0.03 }
metrics: AUC
batch_size: 256
)";
}

json last_line(const ProcessResult& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return json::parse(result.out.empty() ? "{}" : result.out);
}

// The AUC of the planted model, as the job prints it.
double planted(const ProcessResult& result) {
  const std::string before = "has the AUC ";
  const size_t at = result.err.find(before);
  EXPECT_NE(at, std::string::npos) << result.err;
  return at == std::string::npos ? 0 : std::stod(result.err.substr(at + before.size()));
}

TEST(ClicksTest, AJobComesNearThePlantedAuc) {
  const TemporaryDirectory folder;
  const ProcessResult result =
      trireme_run({"train", folder.write("clicks.textproto", wide_deep_job(kData)), "--output-dir",
                   folder / "run"});
  const json line = last_line(result);
  EXPECT_GT(line.value("auc", 0.), 0.7);
  EXPECT_GT(line.value("val_auc", 0.), planted(result) - 0.01);
  EXPECT_LT(line.value("val_auc", 1.), planted(result) + 0.005);

  const json evaluated = last_line(trireme_run(
      {"evaluate", folder / "clicks.textproto", "--checkpoint", folder / "run/checkpoints"}));
  EXPECT_NEAR(evaluated.value("val_auc", 0.), line.value("val_auc", 1.), 1e-5);
}

// The same examples, by way of files.
TEST(ClicksTest, AGeneratedLogTrainsAsTheOneThatIsMadeOnTheFly) {
  const TemporaryDirectory folder;
  const auto generate = [&](const std::string& name, const std::string& first,
                            const std::string& examples) {
    return last_line(trireme_run({"generate", "clicks", "--out", folder / name, "--keys", "520",
                                  "--first", first, "--examples", examples}));
  };
  EXPECT_EQ(generate("train.tsv.gz", "0", "5000").value("examples", 0), 5000);
  const json test = generate("test.tsv", "5000", "1000");
  EXPECT_GT(test.value("bayes_auc", 0.), 0.8);

  const std::string files =
      wide_deep_job("data { criteo { train_files: \"" + (folder / "train.tsv.gz") +
                    "\" validation_files: \"" + (folder / "test.tsv") + "\" keys: 520 } }");
  const std::string made =
      wide_deep_job("data { clicks { examples: 5000 validation_examples: 1000 keys: 520 } }");
  const auto train = [&](const std::string& name, const std::string& job) {
    return last_line(trireme_run({"train", folder.write(name, job), "--output-dir",
                                  folder / (name + ".run"), "--threads", "1"}));
  };
  const json from_files = train("files.textproto", files), from_air = train("made.textproto", made);
  for (const char* key : {"loss", "auc", "val_loss", "val_auc"}) {
    EXPECT_EQ(from_files.value(key, 1.), from_air.value(key, 2.)) << key;
  }
}

TEST(ClicksTest, EarlyStoppingKnowsThatALargerAucIsBetter) {
  const TemporaryDirectory folder;
  const std::string job = wide_deep_job(
      "data { clicks { examples: 4000 keys: 520 } } epochs: 4\n"
      "early_stopping { monitor: \"auc\" patience: 1 }");
  const json line = last_line(trireme_run(
      {"train", folder.write("clicks.textproto", job), "--output-dir", folder / "run"}));
  EXPECT_EQ(line.value("epochs", 0), 4);  // the AUC of the training examples rises
}

TEST(ClicksTest, WrongInputIsOneLine) {
  const TemporaryDirectory folder;
  const auto refused = [&](const ProcessResult& result, const std::string& reason) {
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(reason));
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
  };
  refused(trireme_run({"generate", "clicks", "--out", folder / "log", "--keys", "3"}),
          "found 3 keys in all");
  refused(trireme_run({"generate", "clicks", "--out", folder / "log", "--examples", "0"}),
          "--examples must be positive");
  folder.write("bad.tsv", "1\tx\n");
  const std::string job =
      wide_deep_job("data { criteo { train_files: \"" + (folder / "bad.tsv") + "\" } }");
  const ProcessResult result =
      trireme_run({"train", folder.write("bad.textproto", job), "--output-dir", folder / "run"});
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("bad.tsv:1:3: expected an integer or nothing, found 'x'"));
}

}  // namespace
}  // namespace trireme
