// `trireme sweep` from its options to its table, with real trials.
#include "tests/launcher_sweep/sweep_case.h"

namespace trireme::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class SweepCommandTest : public SweepCase {};

TEST_F(SweepCommandTest, RandomSearchTrainsEachTrialInAFolderOfItsOwn) {
  const ProcessResult result = sweep("out", {"--trials", "5", "--jobs", "2"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto line = last_json(result);
  EXPECT_EQ(line.at("done"), 5);
  EXPECT_EQ(line.at("steps"), 5 * 4 * 5);
  const std::string best = line.at("folder");
  const auto own = nlohmann::json::parse(read_text(best + "/result.json"));
  EXPECT_EQ(own.at("value"), line.at("best"));
  EXPECT_EQ(own.at("status"), "done");
  // The table begins with the best, and says how to go on.
  EXPECT_THAT(result.err, HasSubstr("go on with it: trireme train " + best));
  for (int i = 0; i < 5; ++i) {
    const auto other = nlohmann::json::parse(read_text(trial("out", i) + "/result.json"));
    EXPECT_LE(own.at("value"), other.at("value"));
  }
  // The job as it ran says the same again.
  const ProcessResult again =
      trireme_run({"train", best + "/job.textproto", "--output-dir", folder_ / "again"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(read_log(folder_ / "again/log.csv"), read_log(best + "/log.csv"));
  const std::string table = read_text(folder_ / "out/results.csv");
  EXPECT_THAT(table, HasSubstr("trial,status,epochs,steps,seconds,optimizer.learning_rate,"));
  EXPECT_THAT(table, HasSubstr("trial-0004,done,4,20,"));
}

// Workers may come and go; the same seed is the same sweep.
TEST_F(SweepCommandTest, TheSameSeedGivesTheSameTrialsHoweverManyRunAtOnce) {
  ASSERT_EQ(sweep("one", {"--trials", "4", "--jobs", "1", "--seed", "9"}).exit_code, 0);
  ASSERT_EQ(sweep("three", {"--trials", "4", "--jobs", "3", "--seed", "9"}).exit_code, 0);
  EXPECT_EQ(logs("one", 4), logs("three", 4));
}

TEST_F(SweepCommandTest, TheSameCommandRepeatsNothing) {
  const Words options = {"--trials", "3", "--jobs", "2"};
  const ProcessResult first = sweep("out", options);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const ProcessResult second = sweep("out", options);
  ASSERT_EQ(second.exit_code, 0) << second.err;
  EXPECT_EQ(last_json(first).at("best"), last_json(second).at("best"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(starts("out", i), 1);
  // More trials of the same space go on with it.
  ASSERT_EQ(sweep("out", {"--trials", "4", "--jobs", "1"}).exit_code, 0);
  EXPECT_EQ(starts("out", 0), 1);
  EXPECT_EQ(starts("out", 3), 1);
  const ProcessResult other = sweep("out", {"--trials", "4", "--seed", "2"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("holds another sweep: seed was 1 and is 2"));
}

TEST_F(SweepCommandTest, AGridHasAllOfItsSettings) {
  const ProcessResult result =
      sweep("out", {"--search", "grid", "--points", "2", "--vary", "…units=[8,10]"});
  EXPECT_EQ(result.exit_code, 2);  // two layers have units
  EXPECT_THAT(result.err, HasSubstr("matches 2 fields"));
  const ProcessResult grid = sweep("out", {"--search", "grid", "--points", "2", "--vary",
                                           "model.layers[1]…units=[8,10]", "--set", "epochs=1"});
  ASSERT_EQ(grid.exit_code, 0) << grid.err;
  EXPECT_EQ(last_json(grid).at("done"), 4);
}

// Promotion goes on from the checkpoint with the schedule of the whole run: a trial that was
// stopped and promoted is, to the last digit, the trial that was never stopped.
TEST_F(SweepCommandTest, AshaTrainsTheGoodOnesOnAsIfTheyHadNeverStopped) {
  const Words options = {"--trials",     "9",     "--jobs",  "2", "--metric",
                         "val_accuracy", "--set", "epochs=9"};
  Words asha = options;
  asha.insert(asha.end(), {"--search", "asha"});
  const ProcessResult halved = sweep("asha", asha), full = sweep("full", options);
  ASSERT_EQ(halved.exit_code, 0) << halved.err;
  ASSERT_EQ(full.exit_code, 0) << full.err;
  EXPECT_LT(2 * last_json(halved).at("steps").get<int>(), last_json(full).at("steps").get<int>());
  int whole = 0;
  for (int i = 0; i < 9; ++i) {
    const std::string some = read_log(trial("asha", i) + "/log.csv");
    const std::string all = read_log(trial("full", i) + "/log.csv");
    EXPECT_EQ(some, all.substr(0, some.size())) << i;
    whole += some == all;
  }
  EXPECT_GE(whole, 1);
}

// One wrong setting must not cost the others.
TEST_F(SweepCommandTest, AFailedTrialIsRecordedAndTheSweepGoesOn) {
  const ProcessResult diverging =
      Process({kProgram, "sweep", job_, "--output-dir", folder_ / "nan", "--search", "grid",
               "--vary", "optimizer=[{sgd {} learning_rate: 1e30},{sgd {} learning_rate: 0.1}]"})
          .wait(std::chrono::seconds(60));
  ASSERT_EQ(diverging.exit_code, 0) << diverging.err;
  EXPECT_EQ(last_json(diverging).at("failed"), 1);
  EXPECT_EQ(last_json(diverging).at("best_trial"), "trial-0001");
  EXPECT_EQ(starts("nan", 0), 1);  // another try would fail alike
  EXPECT_THAT(diverging.err, HasSubstr("trial-0000 failed: "));
  const auto failed = nlohmann::json::parse(read_text(trial("nan", 0) + "/result.json"));
  EXPECT_THAT(failed.at("error").get<std::string>(), HasSubstr("(exit code 1)"));
}

// tests/launcher/tensorboard_peer_test has TensorBoard read such files.
TEST_F(SweepCommandTest, TensorBoardFindsEachTrialsSettingAndFigures) {
  const ProcessResult result =
      Process({kProgram, "sweep", job_, "--output-dir", folder_ / "out", "--threads", "1",
               "--search", "grid", "--vary",
               "optimizer=[{sgd {} learning_rate: 1e30},{sgd {} learning_rate: 0.1}]"})
          .wait(std::chrono::seconds(60));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto inspected = [](const std::string& folder) {
    return Process({kProgram, "inspect", folder}).wait(std::chrono::seconds(20)).out;
  };
  EXPECT_THAT(inspected(folder_ / "out"), HasSubstr("_hparams_/experiment"));
  EXPECT_THAT(inspected(trial("out", 0)), HasSubstr("_hparams_/session_end_info"));
  EXPECT_THAT(inspected(trial("out", 0)), Not(HasSubstr("val_loss")));  // it has failed
  const std::string good = inspected(trial("out", 1));
  EXPECT_THAT(good, HasSubstr("_hparams_/session_start_info"));
  EXPECT_THAT(good, HasSubstr("val_loss"));
  EXPECT_THAT(good, HasSubstr("val_accuracy"));
}

TEST_F(SweepCommandTest, SaysWhichFiguresThereAre) {
  const ProcessResult wrong = sweep("out", {"--trials", "2", "--metric", "val_acuracy"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("--maximize or --minimize"));
  const ProcessResult missing =
      sweep("out", {"--trials", "2", "--metric", "val_acuracy", "--maximize"});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_THAT(missing.err, HasSubstr("did you mean 'val_accuracy'?"));
}

TEST_F(SweepCommandTest, WrongArgumentsAreSaidBeforeAnythingStarts) {
  const auto expect_refused = [&](const Words& more, const std::string& why) {
    const ProcessResult result = sweep("never", more);
    EXPECT_EQ(result.exit_code, 2) << why;
    EXPECT_THAT(result.err, HasSubstr(why));
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "never"));
  };
  expect_refused({"--vary", "optimizer.adam.beta1=log(0,1)"}, "character 26: a logarithm");
  expect_refused({"--resume"}, "--resume: a sweep cannot pass it on");
  expect_refused({"--no-such-option"}, "--no-such-option: is no option of sweep, nor of train");
  expect_refused({"--search", "grid"}, "give it, e.g. --points 5");
  expect_refused({"--min-epochs", "2"}, "--min-epochs: is of --search asha");
  expect_refused({"--search", "asha", "--min-epochs", "5"}, "the job has 4 epochs in all");
  expect_refused({"--search", "asha", "--set", "checkpoint.off=true"}, "goes on from checkpoints");
  expect_refused({"--search", "asha", "--vary", "epochs=2..4"}, "must be the same in all trials");
  expect_refused({"--space", folder_.write("space", "a.b=1..2\n")}, "space:1: a.b=1..2");
}

}  // namespace
}  // namespace trireme::testing
