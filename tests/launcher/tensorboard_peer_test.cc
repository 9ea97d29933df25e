// TensorBoard's pages of what a job and the functions of core/io write, with both of its loaders
// and its EventAccumulator. Skipped, which it says, where no Python with TensorBoard is named by
// TRIREME_PEER_PYTHON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/io/event_file.h"
#include "core/io/event_reader.h"
#include "core/io/event_records.h"
#include "core/io/hparams.h"
#include "tests/launcher/program.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::ProcessResult;
using testing::TemporaryDirectory;
using testing::trireme_run;

std::string python() {
  const char* const named = std::getenv("TRIREME_PEER_PYTHON");
  return named != nullptr ? named : TRIREME_PEER_PYTHON;
}

// What our reader finds in a run.
Json scalars_of(const std::string& folder) {
  Json tags = Json::object();
  for (const auto& [tag, points] : io::read_scalars(folder).tags) {
    Json& list = tags[tag] = Json::array();
    for (const io::ScalarPoint& point : points) {
      list.push_back({point.step, std::isnan(point.value) ? Json() : Json(point.value)});
    }
  }
  return tags;
}

// Values of every kind, a writer that was killed, and one that went on.
void write_runs(const std::string& logdir, Json& expected) {
  {
    io::EventWriter writer(logdir + "/kinds");
    for (int step = 0; step < 50; ++step) {
      writer.scalar("loss", step, std::exp(-0.1 * step));
      writer.scalar("a tag/with words", 2 * step, step == 7 ? NAN : step / 3.0);
    }
    expected["scalars"]["kinds"]["loss"] = Json::array();
    for (int step = 0; step < 50; ++step) {
      expected["scalars"]["kinds"]["loss"].push_back(
          {step, static_cast<float>(std::exp(-0.1 * step))});
      expected["scalars"]["kinds"]["a tag/with words"].push_back(
          {2 * step, step == 7 ? Json() : Json(static_cast<float>(step / 3.0))});
    }
    std::vector<float> values(100);
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
    writer.add(3, io::histogram_record("weights", io::make_histogram(values)));
    writer.add(5,
               io::histogram_record("weights", io::make_histogram(std::vector<float>(100, 0.5f))));
    expected["histograms"]["kinds"]["weights"] = {{"steps", {3, 5}}, {"count", 100}};
    writer.add(1, io::text_record("notes", "a **bold** word"));
    expected["texts"]["kinds"]["notes"] = "a bold word";
  }
  std::string path;
  {
    io::EventWriter writer(logdir + "/killed");
    for (int step = 0; step < 20; ++step) writer.scalar("loss", step, step);
    writer.sync();
    path = writer.path();
  }
  fs::resize_file(path, fs::file_size(path) - 7);
  expected["scalars"]["killed"] = scalars_of(logdir + "/killed");
  EXPECT_EQ(expected["scalars"]["killed"]["loss"].size(), 19u);

  const auto write = [&](int64_t from, int64_t to, double value, io::EventWriterOptions options) {
    io::EventWriter writer(logdir + "/resumed", std::move(options));
    for (int64_t step = from; step <= to; ++step) {
      writer.scalar("batch_loss", step, value);
      if (step % 10 == 0) writer.scalar("epoch_loss", step / 10 - 1, value);
    }
  };
  write(1, 34, 1, {});
  io::EventWriterOptions going_on;
  going_on.start = {.step = 16, .keeps = [](std::string_view tag, int64_t at) {
                      return tag == "batch_loss" ? at <= 15 : at < 1;
                    }};
  write(16, 30, 2, going_on);
  expected["scalars"]["resumed"] = scalars_of(logdir + "/resumed");
  EXPECT_EQ(expected["scalars"]["resumed"]["batch_loss"].size(), 30u);
  EXPECT_EQ(expected["scalars"]["resumed"]["epoch_loss"].size(), 3u);
}

// A hundred trials with different parameters of all types; some have failed, one still runs.
void write_trials(const std::string& logdir, Json& expected) {
  std::vector<io::HParamValues> all;
  for (int i = 0; i < 100; ++i) {
    const std::string name = str_cat("sweep/trial_", i);
    io::HParamValues values = {{"learning_rate", 0.001 * (i + 1)},
                               {"optimizer", i % 2 == 0 ? std::string("adam") : "sgd"}};
    if (i % 3 == 0) values["use_bias"] = i % 2 == 0;
    if (i % 5 == 0) values[str_cat("only_", i)] = 1.0 * i;
    if (i % 7 == 0) values["mixed"] = i % 2 == 0 ? io::HParamValue(2.0) : io::HParamValue("two");
    all.push_back(values);
    const auto status = i == 99       ? io::SessionStatus::kRunning
                        : i % 10 == 3 ? io::SessionStatus::kFailure
                                      : io::SessionStatus::kSuccess;
    io::write_session(
        logdir + "/" + name,
        {.values = values, .group = name, .status = status, .start_seconds = 1.0 * i});
    {
      io::EventWriter writer(logdir + "/" + name + "/validation");
      for (int epoch = 0; epoch < 3; ++epoch)
        writer.scalar("epoch_loss", epoch, 1.0 / (i + epoch + 1));
    }
    Json session = {{"status", i == 99       ? "running"
                               : i % 10 == 3 ? "failure"
                                             : "success"},
                    {"metrics", {{"validation:epoch_loss", static_cast<float>(1.0 / (i + 3))}}}};
    for (const auto& [key, value] : values) {
      std::visit([&](const auto& v) { session["hparams"][key] = v; }, value);
    }
    expected["sessions"][name] = session;
  }
  io::write_experiment(logdir + "/sweep", io::unite(all),
                       std::vector<io::HParamMetric>{{"epoch_loss", "validation", "loss"}});
}

void train_jobs(const TemporaryDirectory& folder, const std::string& logdir, Json& expected) {
  const std::string job = folder.write("job.textproto", R"(name: "digits"
data { digits {} take: 640 validation_take: 200 }
model {
  layers { name: "conv" conv2d { filters: 6 kernel: 5 activation: RELU } }
  layers { flatten {} }
  layers { name: "logits" dense { units: 10 } }
}
optimizer { adam {} learning_rate: 0.01 }
metrics: [ACCURACY, CONFUSION_MATRIX]
callbacks { tensorboard { update_freq: 1 histogram_freq: 1 write_images: true gradient_norm: true
                          profile_batch: [3, 4] images: 3 } }
epochs: 3
batch_size: 64
)");
  ProcessResult result = trireme_run({"train", job, "--output-dir", folder / "run", "--set",
                                      "callbacks[0].tensorboard.log_dir=" + logdir + "/digits"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const std::string run : {"digits/train", "digits/validation"}) {
    expected["scalars"][run] = scalars_of(logdir + "/" + run);
  }
  EXPECT_EQ(expected["scalars"]["digits/train"]["batch_loss"].size(), 30u);
  EXPECT_EQ(expected["scalars"]["digits/train"]["batch_gradient_norm"].size(), 30u);
  for (const char* const tag : {"conv/kernel/histogram", "gradients/conv/kernel"}) {
    expected["histograms"]["digits/train"][tag] = {{"steps", {0, 1, 2}}, {"count", 150}};
  }
  expected["images"]["digits/train"] = {{"inputs", {28, 28, 3}},
                                        {"conv/kernel/image", {35 * 8, 5 * 8, 1}},
                                        {"confusion_matrix", {320, 320, 1}}};
  expected["texts"]["digits/train"] = {
      {"job", "batch_size: 64"}, {"model", "logits"}, {"confusion_matrix/table", "predicted"}};
  expected["graphs"] = {"digits/train"};
  expected["devices"]["digits/train"] = "/device:CPU:0";
  expected["layers"]["digits/train"] = {"conv", "flatten", "logits"};
  expected["traces"]["digits/train"] = {"step 3", "step 4"};
  expected["sessions"]["digits"] = {
      {"status", "success"},
      {"metrics", Json::object()},
      {"hparams", {{"batch_size", 64}, {"optimizer", "adam"}, {"optimizer.learning_rate", 0.01}}}};

  const std::string words = folder.write("words.textproto", R"(name: "words"
data { reviews { vocabulary: 50 words: 10 } take: 256 validation_take: 64 }
model {
  layers { name: "words" embedding_bag { vocabulary: 50 dimension: 4 } }
  layers { name: "kind" dense { units: 1 } }
}
loss: BINARY_CROSS_ENTROPY
callbacks { tensorboard { embeddings_freq: 1 } }
epochs: 2
batch_size: 64
)");
  result = trireme_run({"train", words, "--output-dir", folder / "words", "--set",
                        "callbacks[0].tensorboard.log_dir=" + logdir + "/words"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expected["embeddings"]["words/train"] = {{"words/embeddings", {50, 4}}};
}

// False: there is no TensorBoard.
bool judge(const TemporaryDirectory& folder, const std::string& logdir, const Json& expected) {
  std::vector<std::string> arguments = {
      "/usr/bin/env",
      "-u",
      "OPENBLAS_CORETYPE",
      "-u",
      "OPENBLAS_L2_SIZE",
      python(),
      std::string(TRIREME_SOURCE_DIR) + "/tests/launcher/tensorboard_judge.py",
      logdir,
      folder.write("expected.json", expected.dump())};
  if (const char* const picture = std::getenv("TRIREME_SCREENSHOT")) arguments.push_back(picture);
  testing::Process process(arguments, {"PYTHONDONTWRITEBYTECODE=1"});
  const ProcessResult result = process.wait(std::chrono::seconds(250));
  if (result.exit_code == 77 || result.exit_code == 127) return false;
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  return true;
}

TEST(TensorBoardPeerTest, ShowsWhatJobsAndWritersWrote) {
  const TemporaryDirectory folder;
  const char* const kept = std::getenv("TRIREME_KEEP_LOGDIR");  // to look at
  const std::string logdir = kept != nullptr ? kept : folder / "logdir";
  Json expected;
  write_runs(logdir, expected);
  train_jobs(folder, logdir, expected);
  if (!judge(folder, logdir, expected)) {
    GTEST_SKIP() << "there is no Python with TensorBoard; name one with TRIREME_PEER_PYTHON";
  }
}

TEST(TensorBoardPeerTest, ShowsTheHyperParametersOfAHundredTrials) {
  const TemporaryDirectory folder;
  Json expected;
  write_trials(folder / "logdir", expected);
  if (!judge(folder, folder / "logdir", expected)) {
    GTEST_SKIP() << "there is no Python with TensorBoard; name one with TRIREME_PEER_PYTHON";
  }
}

// Of several workers one writes what all have seen; its training is the one without a callback.
TEST(TensorBoardJobTest, WorkersWriteOnceAndTrainAsWithoutIt) {
  const TemporaryDirectory folder;
  const auto train = [&](const std::string& name, const std::string& callback) {
    const std::string job = folder.write(name + ".textproto", testing::kSmallJob + callback);
    const ProcessResult result = trireme_run(
        {"launch", "--workers", "2", job, "--output-dir", folder / name, "--threads", "1"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return testing::read_log(folder / name + "/log.csv");
  };
  const std::string without = train("without", "");
  EXPECT_EQ(train("with", "callbacks { tensorboard { histogram_freq: 1 update_freq: 1 } }"),
            without);
  const std::string board = folder / "with" + "/tensorboard";
  EXPECT_EQ(scalars_of(board + "/train")["batch_loss"].size(), 20u);
  EXPECT_EQ(io::event_files(board + "/train").size(), 1u);
  EXPECT_FALSE(fs::exists(board + "/rank_1"));
  EXPECT_EQ(train("all", "callbacks { tensorboard { all_ranks: true } }"), without);
  EXPECT_TRUE(fs::exists(folder / "all" + "/tensorboard/rank_1/train"));
}

// Going on shows each epoch once, in TensorBoard's folder as in the log.
TEST(TensorBoardJobTest, AResumedJobSupersedesItsLaterSteps) {
  const TemporaryDirectory folder;
  const std::string job = folder.write(
      "job.textproto", testing::kSmallJob + "callbacks { tensorboard { update_freq: 1 } }");
  const auto train = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"train",        job,         "--output-dir",
                                          folder / "run", "--threads", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProcessResult result = trireme_run(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
  };
  train({});
  train({"--resume", "10", "--set", "epochs=3"});
  const Json scalars = scalars_of(folder / "run" + "/tensorboard/train");
  EXPECT_EQ(scalars["batch_loss"].size(), 30u);
  EXPECT_EQ(scalars["epoch_loss"].size(), 3u);
  EXPECT_EQ(scalars["epoch_loss"][2][0], 2);
}

}  // namespace
}  // namespace trireme
