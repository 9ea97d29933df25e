// --resume: which checkpoint, and what a training does that is not the one that wrote it.
#include "tests/launcher/output_case.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::kSmallJob;
using ::testing::Not;
using testing::occurrences;
using testing::ProcessResult;
using testing::read_log;
using testing::trireme_run;
using testing::Words;

class ResumeTest : public testing::OutputCase {};

// Days of work are in the checkpoint before.
TEST_F(ResumeTest, ADamagedCheckpointIsLeftOut) {
  trained("run");
  flip_bit("run", 20);
  const ProcessResult resumed = train("run", {"--resume", "--set", "epochs=3"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.err,
              AllOf(HasSubstr("ckpt-20.data-00000-of-00001"), HasSubstr("checksum"),
                    HasSubstr("going on from " + out("run") + "/checkpoints/ckpt-10")));
  EXPECT_EQ(occurrences(resumed.err, "damaged"), 1) << resumed.err;
  EXPECT_EQ(read_log(out("run") + "/log.csv"), whole_log(3));
}

// Only then is there nothing to go on from.
TEST_F(ResumeTest, WithNoWholeCheckpointTheErrorNamesAll) {
  trained("run");
  flip_bit("run", 10);
  flip_bit("run", 20);
  const ProcessResult resumed = train("run", {"--resume", "--set", "epochs=3"});
  EXPECT_EQ(resumed.exit_code, 2);
  EXPECT_THAT(resumed.err, AllOf(HasSubstr("ckpt-10"), HasSubstr("ckpt-20")));
}

// No option named an older one.
TEST_F(ResumeTest, ResumeTakesAStepOrAPath) {
  trained("run", {"--set", "epochs=3"});
  const std::string whole = whole_log(4);
  trained("run", {"--resume", "10", "--set", "epochs=4"});
  EXPECT_EQ(read_log(out("run") + "/log.csv"), whole);
  // Of another run: a new one in its own folder.
  const Words path = {"--resume=" + out("run") + "/checkpoints/ckpt-20.index", "--set", "epochs=4"};
  trained("other", path);
  EXPECT_EQ(read_log(out("other") + "/log.csv"), whole);
  const ProcessResult again = train("other", path);
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, HasSubstr("--overwrite"));
}

// Which steps were kept is not in the log.
TEST_F(ResumeTest, AStepThatIsNotThereIsAnErrorThatListsThoseThatAre) {
  trained("run");
  for (const std::string& missing : {std::string("15"), out("run") + "/none"}) {
    const ProcessResult result = train("run", {"--resume", missing});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, AllOf(HasSubstr("--resume " + missing), HasSubstr("10, 20")));
  }
  EXPECT_EQ(train("empty", {"--resume", "5"}).exit_code, 2);
}

// The job file may stand behind it, as batch scripts have it.
TEST_F(ResumeTest, ResumeTakesNoJobFileForItsValue) {
  trained("run");
  const ProcessResult result =
      trireme_run({"train", "--resume", job_, "--quiet", "--output-dir", out("run")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("nothing is left to train"));
}

// What a checkpoint means depends on these: going on would be silently another training.
TEST_F(ResumeTest, ResumeRefusesWhatCannotGoOn) {
  trained("run");
  const struct {
    std::string set;
    Words said;
  } cases[] = {{"batch_size=32", {"batch_size: 64 → 32", "order of other batches"}},
               {"seed=7", {"seed: 1 → 7"}},
               {"data.take=320", {"data.take: 640 → 320"}},
               {"optimizer.sgd=momentum: 0.9", {"optimizer.kind: adam → sgd"}}};
  for (const auto& test : cases) {
    const ProcessResult result = train("run", {"--resume", "--set", "epochs=3", "--set", test.set});
    EXPECT_EQ(result.exit_code, 2) << test.set << ": " << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("cannot go on"), HasSubstr("--output-dir"),
                                  Not(HasSubstr("pipeline"))));
    for (const std::string& words : test.said) EXPECT_THAT(result.err, HasSubstr(words));
  }
  std::string without = kSmallJob;
  without.erase(without.find("metrics: ACCURACY\n"), 18);
  const ProcessResult metrics = trireme_run(
      {"train", folder_.write("small.textproto", without), "--resume", "--output-dir", out("run")});
  EXPECT_EQ(metrics.exit_code, 2);
  EXPECT_THAT(metrics.err, HasSubstr("metrics: ACCURACY → none"));
  // Refused before anything was written.
  folder_.write("small.textproto", kSmallJob);
  EXPECT_EQ(read_log(out("run") + "/log.csv"), whole_log(2));
}

// What was not meant is seen only when it is said.
TEST_F(ResumeTest, ResumeSaysWhatIsDifferent) {
  trained("run");
  const struct {
    Words sets;
    std::string said;
  } cases[] = {
      {{"optimizer.learning_rate=0.01"}, "optimizer.learning_rate: 0.001 → 0.01"},
      {{"optimizer.adam.beta1=0.8"}, "optimizer.adam.beta1: 0.9 → 0.8"},
      {{"precision=bf16"}, "precision: \"float32\" → \"mixed_bfloat16\""},
      {{"distributed.micro_batches=2"}, "distributed.micro_batches: 1 → 2"},
      {{"model.layers[2].dropout.rate=0.5"}, "model.layers[2].dropout.rate: 0.2 → 0.5"},
      {{"data.validation_take=100"}, "data.validation_take: 200 → 100"},
  };
  for (const auto& test : cases) {
    Words more = {"--resume", "20", "--set", "epochs=3"};
    for (const std::string& set : test.sets) more.insert(more.end(), {"--set", set});
    const ProcessResult result = train("run", more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr(test.said));
  }
  // Nothing but the epochs is different, as it is meant.
  const ProcessResult same = train("run", {"--resume", "20", "--set", "epochs=3"});
  EXPECT_THAT(same.err, Not(HasSubstr("--resume")));
}

// It stayed at 0 without a word.
TEST_F(ResumeTest, AScheduleThatEndsTooEarlyIsSaid) {
  const Words cosine = {"--set", "optimizer.schedule.cosine.steps=20"};
  const ProcessResult fits = train("run", cosine);
  EXPECT_THAT(fits.err, Not(HasSubstr("schedule")));
  const ProcessResult ended = train(
      "run", {"--resume", "--set", "epochs=4", "--set", "optimizer.schedule.cosine.steps=20"});
  EXPECT_EQ(ended.exit_code, 0) << ended.err;
  EXPECT_THAT(ended.err, AllOf(HasSubstr("the cosine schedule ends at step 20 of 40"),
                               HasSubstr("nothing is learned")));
  // One over the whole run is stretched: 0.001 · (1 + cos(π · 20 / 40)) / 2.
  trained("all", {"--set", "optimizer.schedule.cosine.steps=0"});
  const ProcessResult stretched =
      train("all", {"--resume", "--set", "epochs=4", "--set", "optimizer.schedule.cosine.steps=0"});
  EXPECT_THAT(stretched.err, HasSubstr("the learning rate of step 21 is 0.0005"));
}

}  // namespace
}  // namespace trireme
