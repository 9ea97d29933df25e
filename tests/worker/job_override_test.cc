// --set: values reach their field as they stand, and no other field.
#include "worker/job_override.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/data/source.h"
#include "core/nn/layer.h"
#include "core/nn/optimizers.h"
#include "proto/job.pb.h"
#include "tests/worker/job_values_at.h"
#include "worker/job_file.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::value_at;
using testing::values_at;
using Words = std::vector<std::string>;

constexpr char kJob[] = R"(data { digits {} }
model {
  layers { flatten {} }
  layers { name: "logits" dense { units: 10 } }
}
optimizer { adam { beta1: 0.5 } learning_rate: 0.25 }
metrics: ACCURACY
checkpoint { every_steps: 7 keep: 2 }
)";

JobFile set(const Words& overrides, const std::vector<JobOption>& options = {}) {
  return JobFile::parse(kJob, "job.textproto", overrides, options);
}
job::Job frame(const Words& overrides) { return set(overrides).job(); }
std::string refusal(const Words& overrides, const std::vector<JobOption>& options = {}) {
  try {
    set(overrides, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "(no error)";
}

// Text that would mean something in a job file means nothing here.
TEST(JobOverrideTest, AStringIsTakenAsItStands) {
  for (const char* const text :
       {"x\" epochs: 7", "\"quoted\"", "'", "a\\nb", "C:\\data\\new", "} model {", "# no comment",
        "a=b", " blanks ", "", "[a,b]", "{a}", "Ünïcode", "$(rm)"}) {
    const JobFile file = set({std::string("data.mnist.directory=") + text, "epochs=3"});
    EXPECT_EQ(value_at(file, "data.mnist.directory"), text);
    EXPECT_EQ(file.job().epochs(), 3);
    EXPECT_EQ(file.make_layers().size(), 2u);
    if (*text == '\0') continue;  // no name: the default
    EXPECT_EQ(frame({std::string("name=") + text}).name(), text);
    EXPECT_EQ(set({}, {{"--output-dir", "output_dir", text}}).job().output_dir(), text);
  }
}

TEST(JobOverrideTest, ListsAreSetExtendedAndEmptied) {
  const auto files = [](const Words& overrides) {
    return values_at(set(overrides), "data.criteo.train_files");
  };
  EXPECT_THAT(files({"data.criteo.train_files=[a, b.gz ,c d]"}), ElementsAre("a", "b.gz", "c d"));
  EXPECT_THAT(files({"data.criteo.train_files=one"}), ElementsAre("one"));
  EXPECT_THAT(files({R"(data.criteo.train_files=["a,b" , "say \"x\"\\n", c"d])"}),
              ElementsAre("a,b", "say \"x\"\\n", "c\"d"));
  EXPECT_THAT(files({"data.criteo.train_files=[a,b]", "data.criteo.train_files+=c",
                     "data.criteo.train_files+=[d,e]", "data.criteo.train_files[1]=B"}),
              ElementsAre("a", "B", "c", "d", "e"));
  EXPECT_THAT(files({"data.criteo.train_files=[a]", "data.criteo.train_files=[]", "data.digits="}),
              ElementsAre());
  EXPECT_THAT(files({R"(data.criteo.train_files=[""])"}), ElementsAre(""));
  const auto both = ElementsAre("accuracy { }", "auc { }");
  EXPECT_THAT(values_at(set({"metrics=[ACCURACY,auc]"}), "metrics"), both);
  EXPECT_THAT(values_at(set({"metrics+=AUC"}), "metrics"), both);
  EXPECT_THAT(values_at(set({"metrics+=[{auc {}}]"}), "metrics"), both);
  EXPECT_THAT(values_at(set({"metrics[0]=AUC"}), "metrics"), ElementsAre("auc { }"));
  EXPECT_THAT(values_at(set({"model.layers[0].dlrm={keys: 9}", "model.layers[0].dlrm.top=[5, 6]"}),
                        "model.layers[0].dlrm.top"),
              ElementsAre("5", "6"));
}

TEST(JobOverrideTest, MessagesAreReplacedOrMerged) {
  const JobFile file = set({"optimizer={adam {beta2: 0.75}}", "checkpoint+={keep: 9}",
                            "model.layers+={ dense { units: 3 } }"});
  EXPECT_EQ(value_at(file, "optimizer"), "adam { beta2: 0.75 }") << "the message is new";
  EXPECT_EQ(file.job().checkpoint().every_steps(), 7);
  EXPECT_EQ(file.job().checkpoint().keep(), 9);
  EXPECT_EQ(value_at(file, "model.layers[2].dense.units"), "3");
  const JobFile layers =
      set({R"(model.layers=[{ flatten {} }, { name: "a,}" dense { units: 4 } }])"});
  ASSERT_EQ(layers.make_layers().size(), 2u);
  EXPECT_EQ(value_at(layers, "model.layers[1].name"), "a,}");
  EXPECT_EQ(set({"optimizer.sgd="}).make_optimizer()->name(), "sgd");
  EXPECT_EQ(set({"optimizer=RMSPROP"}).make_optimizer()->name(), "rmsprop");
  EXPECT_EQ(value_at(set({"loss=mean_squared_error"}), "loss"), "mean_squared_error { }");
}

// The text of a message cannot end it and go on behind it.
TEST(JobOverrideTest, AMessageCannotReachOtherFields) {
  EXPECT_THAT(refusal({"optimizer.adam=beta1: 0.5 } learning_rate: 9 sgd {"}),
              StartsWith("--set optimizer.adam=beta1: 0.5 } learning_rate: 9 sgd {: "));
  EXPECT_THAT(refusal({"optimizer={adam {}} epochs: 7 {}"}), HasSubstr("is no Optimizer"));
  EXPECT_THAT(refusal({"checkpoint=[a]"}), HasSubstr("is no Checkpoint"));
}

TEST(JobOverrideTest, NumbersAreOfTheirFieldsRange) {
  EXPECT_EQ(frame({"epochs= 12 "}).epochs(), 12);
  EXPECT_EQ(frame({"seed=18446744073709551615"}).seed(), UINT64_MAX);
  EXPECT_EQ(set({"data.take=+5"}).data().take(), 5);
  EXPECT_DOUBLE_EQ(set({"optimizer.learning_rate=2e-1"}).make_optimizer()->learning_rate(0), 0.2);
  EXPECT_TRUE(frame({"allow_nan=true"}).allow_nan());
  EXPECT_EQ(refusal({"epochs=3000000000"}),
            "--set epochs=3000000000: 'epochs': expected a whole number from -2147483648 to "
            "2147483647, found '3000000000'");
  EXPECT_THAT(refusal({"seed=-1"}), HasSubstr("from 0 to 18446744073709551615, found '-1'"));
  for (const char* wrong : {"", "1.5", "1e3", "0x", "7 epochs", "--1", "010", "1\n2"}) {
    EXPECT_THAT(refusal({std::string("epochs=") + wrong}), HasSubstr("expected a whole number"));
  }
  for (const char* wrong : {"", "nan", "inf", "1e999", "1,5", "0.1f", "x"}) {
    EXPECT_THAT(refusal({std::string("optimizer.learning_rate=") + wrong}),
                HasSubstr("expected a finite number"));
  }
  EXPECT_THAT(refusal({"allow_nan=yes"}), HasSubstr("expected true or false, found 'yes'"));
}

TEST(JobOverrideTest, NamesOfEnumsAndFieldsAreSuggested) {
  EXPECT_THAT(refusal({"loss=MEAN_SQARED_ERROR"}),
              AllOf(StartsWith("--set loss=MEAN_SQARED_ERROR: 'loss': expected one of "
                               "SPARSE_CATEGORICAL_CROSS_ENTROPY, BINARY_CROSS_ENTROPY, "),
                    EndsWith("found 'MEAN_SQARED_ERROR'; did you mean 'MEAN_SQUARED_ERROR'?")));
  EXPECT_THAT(refusal({}, {{"--strategy", "strategy", "miror"}}),
              StartsWith("--strategy miror: 'strategy': expected one of AUTO, ONE_DEVICE, "));
  EXPECT_THAT(refusal({"metrics=[AUC,ACURACY]"}), HasSubstr("did you mean 'ACCURACY'?"));
  EXPECT_THAT(refusal({"epoch=3"}), HasSubstr("did you mean 'epochs'?"));
  EXPECT_THAT(refusal({"optimizer.learning_rat=3"}), HasSubstr("did you mean 'learning_rate'?"));
  EXPECT_THAT(refusal({"xyzzy=3"}), ::testing::Not(HasSubstr("did you mean")));
}

TEST(JobOverrideTest, AWrongPathSaysWhy) {
  EXPECT_THAT(refusal({"=3"}), HasSubstr("expected path=value"));
  EXPECT_THAT(refusal({"epochs+=3"}), HasSubstr("+= is for lists and messages"));
  EXPECT_THAT(refusal({"epochs[0]=3"}), HasSubstr("'epochs' is no list"));
  EXPECT_THAT(refusal({"metrics[1]=AUC"}), HasSubstr("'metrics' has 1 elements; += adds one"));
  for (const char* path : {"data..take", ".data", "data.", "[0]"}) {
    EXPECT_THAT(refusal({std::string(path) + "=3"}), HasSubstr("between the dots")) << path;
  }
  for (const char* path : {"metrics[", "metrics[0", "metrics[x]", "metrics[-1]", "metrics[0]x"}) {
    EXPECT_THAT(refusal({std::string(path) + "=AUC"}), HasSubstr("a number in brackets")) << path;
  }
  for (const char* list : {"[AUC", "[AUC,]", "[,AUC]", "[AUC,,AUC]"}) {
    EXPECT_THAT(refusal({std::string("metrics=") + list}), HasSubstr("the list")) << list;
  }
  EXPECT_THAT(refusal({"data.criteo.train_files=[\"a]"}), HasSubstr("is never closed"));
  EXPECT_THAT(refusal({"data.criteo.train_files=[\"a\"b]"}), HasSubstr("expected a comma"));
}

// Names become folders, lines of logs and messages.
TEST(JobOverrideTest, ControlCharactersInAnyStringAreRefused) {
  EXPECT_EQ(refusal({"name=a\nb"}),
            "--set name=a?b: name: expected no control characters, found byte 10 (a line's end) in "
            "\"a?b\"; a backslash is written as \\\\ in a job file");
  EXPECT_THAT(refusal({}, {{"--output-dir", "output_dir", "a\tb"}}),
              StartsWith("--output-dir a?b: output_dir: "));
  EXPECT_THAT(refusal({"model.layers[1].name=a\x7f"}),
              StartsWith("--set model.layers[1].name=a?: model.layers[1].name: "));
  EXPECT_THAT(refusal({"name=\xff"}), HasSubstr("expected text in UTF-8"));
  EXPECT_THAT(refusal({"name=\xc0\x80"}), HasSubstr("expected text in UTF-8"));
}

// What an override sets stands nowhere in the file.
TEST(JobOverrideTest, ErrorsInWhatWasSetNameTheOption) {
  EXPECT_THAT(refusal({"parameter_servers.staleness=-1"}),
              StartsWith("--set parameter_servers.staleness=-1: parameter_servers.staleness: "));
  EXPECT_THAT(refusal({"parameter_servers={dense: BOUNDED}"}),
              StartsWith("--set parameter_servers={dense: BOUNDED}: parameter_servers.dense: "));
  EXPECT_THAT(refusal({}, {{"--precision", "precision", "f8"}}), StartsWith("--precision f8: "));
}

}  // namespace
}  // namespace trireme
