// Job files: what is wrong is said with its line and column, and overrides reach every field.
#include "worker/job_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/base/error.h"
#include "core/nn/losses.h"
#include "core/nn/optimizers.h"
#include "proto/job.pb.h"
#include "tests/support/process.h"
#include "tests/worker/job_values_at.h"
#include "worker/build_data.h"
#include "worker/build_model.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::value_at;

constexpr char kJob[] = R"(data { digits {} }
model {
  layers { flatten {} }
  layers { name: "logits" dense { units: 10 } }
}
optimizer { adam {} }
)";

std::string error_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    JobFile::parse(text, "job.textproto", overrides);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "(no error)";
}

TEST(JobFileTest, DefaultsAreFilledIn) {
  const JobFile file = JobFile::parse(kJob, "examples/my_job.textproto");
  EXPECT_EQ(file.job().name(), "my_job");
  EXPECT_EQ(file.job().batch_size(), 128);
  EXPECT_EQ(file.job().output_dir(), "runs/my_job");
  EXPECT_EQ(file.job().epochs(), 1);
  EXPECT_EQ(file.job().seed(), 1u);
  EXPECT_DOUBLE_EQ(file.make_optimizer()->learning_rate(0), 0.001);
  const JobFile least = JobFile::parse("data { digits {} } model { layers { flatten {} } }", "job");
  EXPECT_EQ(least.make_optimizer()->name(), "sgd");
  EXPECT_EQ(least.loss().make().name, "sparse_categorical_cross_entropy");
}

// One of the two would be without effect, and nobody would see which.
TEST(JobFileTest, AFlagAndItsOlderNameMustAgree) {
  const std::string begin =
      "data { digits {} }\nmodel {\n  layers { flatten {} }\n  layers { dense { ";
  EXPECT_THAT(error_of(begin + "units: 10 use_bias: true no_bias: true } } }"),
              AllOf(StartsWith("job.textproto:4:"), HasSubstr("no_bias")));
  EXPECT_EQ(error_of(begin + "units: 10 use_bias: false no_bias: true } } }"), "(no error)");
}

// An empty value is no component; it must not become the default's.
TEST(JobFileTest, AnEmptyNameOfAComponentIsRefused) {
  EXPECT_THAT(error_of(kJob, {"loss="}), HasSubstr("--set loss="));
  EXPECT_THAT(error_of(kJob, {"optimizer= "}), HasSubstr("expected a name"));
}

TEST(JobFileTest, AnUnknownFieldIsNamedWithLineAndColumn) {
  EXPECT_THAT(error_of("data { digits {} }\nmodel {\n  layer { }\n}"),
              StartsWith("job.textproto:3:"));
  EXPECT_THAT(error_of("data { digits {} }\nmodel {\n  layer { }\n}"), HasSubstr("layer"));
}

TEST(JobFileTest, AWrongTypeIsNamedWithLineAndColumn) {
  EXPECT_THAT(error_of("epochs: \"three\""), StartsWith("job.textproto:1:9: "));
  EXPECT_THAT(error_of("loss: NO_SUCH_LOSS"), HasSubstr("NO_SUCH_LOSS"));
}

// A number that is no value, a value that is no number, a name with a line's end: in the file, too.
TEST(JobFileTest, ValuesThatNoFieldMayHaveAreNamedWithLineAndColumn) {
  const auto error = [](const std::string& line) { return error_of(std::string(kJob) + line); };
  EXPECT_THAT(
      error("output_dir: \"a\\nb\""),
      StartsWith("job.textproto:7:1: output_dir: expected no control characters, found byte "
                 "10 (a line's end) in \"a?b\"; a backslash is written as \\\\"));
  EXPECT_EQ(error("loss: 7"), "job.textproto:7:7: expected '{' or a name, found '7'");
  EXPECT_EQ(error("metrics: [ACCURACY, 9]"),
            "job.textproto:7:21: expected '{' or a name, found '9'");
  EXPECT_THAT(error("strategy: 70"), StartsWith("job.textproto:7:11: strategy: expected one of"));
  EXPECT_THAT(error("distributed { bucket_mib: inf }"),
              StartsWith("job.textproto:7:27: distributed.bucket_mib: expected a finite number"));
  EXPECT_THAT(error("name: \"C:\\data\""), HasSubstr("Invalid escape sequence"));
}

TEST(JobFileTest, AMisspeltFieldIsSuggested) {
  EXPECT_THAT(error_of(std::string(kJob) + "epoch: 3"),
              StartsWith("job.textproto:7:1: Job has no field 'epoch'; did you mean 'epochs'?"));
}

// As editors on other systems write them; `#` ends at the line's end, also where that is a CR.
TEST(JobFileTest, LineEndsMarksAndPackingAreThoseOfEveryText) {
  const testing::TemporaryDirectory folder;
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    std::string text = "\xef\xbb\xbf# a comment\n" + std::string(kJob) + "epochs: 3\nepoch: 4";
    for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += end.size()) {
      text.replace(at, 1, end);
    }
    try {
      JobFile::read(folder.write("job", text));
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), StartsWith((folder / "job") + ":9:1: Job has no field 'epoch'"));
    }
    text.resize(text.size() - 8);
    EXPECT_EQ(JobFile::read(folder.write("job", text)).job().epochs(), 3);
  }
}

TEST(JobFileTest, WhatIsMissingIsSaidWithAnExample) {
  EXPECT_THAT(error_of("model { layers { flatten {} } }"), HasSubstr("expected a data source"));
  EXPECT_THAT(error_of("data { digits {} }"), HasSubstr("expected a model"));
  EXPECT_THAT(error_of(std::string(kJob) + "batch_size: -1"), HasSubstr("batch_size"));
}

TEST(JobFileTest, WhatParameterServersCannotDoIsNamedWithLineAndColumn) {
  const auto error = [](const std::string& servers) {
    return error_of(std::string(kJob) + "parameter_servers {\n  " + servers + "\n}");
  };
  EXPECT_THAT(error("sparse: BOUNDED"),
              StartsWith("job.textproto:8:3: parameter_servers.sparse: BOUNDED needs a bound"));
  EXPECT_THAT(error("dense: ASYNC staleness: 2"),
              StartsWith("job.textproto:8:16: parameter_servers.staleness: "));
  EXPECT_THAT(error("dense: ASYNC sparse: ASYNC backup_workers: 1"),
              HasSubstr("parameter_servers.backup_workers: are of consistency SYNC"));
  EXPECT_THAT(error_of(std::string(kJob) + "strategy: HYBRID parameter_servers { dense: ASYNC }"),
              HasSubstr("strategy HYBRID all-reduces"));
  EXPECT_EQ(error("dense: BOUNDED sparse: ASYNC staleness: 2"), "(no error)");
}

TEST(JobFileTest, OverridesReachEveryKindOfField) {
  const JobFile file =
      JobFile::parse(kJob, "job",
                     {"optimizer.learning_rate=0.25", "model.layers[1].dense.units=7",
                      "data.mnist.directory=my mnist", "name=other", "metrics=ACCURACY",
                      "optimizer.sgd=momentum: 0.9"});
  EXPECT_EQ(value_at(file, "optimizer"), "learning_rate: 0.25 sgd { momentum: 0.9 }");
  EXPECT_EQ(value_at(file, "model.layers[1].dense.units"), "7");
  EXPECT_EQ(value_at(file, "data.mnist.directory"), "my mnist");
  EXPECT_EQ(value_at(file, "metrics"), "accuracy { }");
}

TEST(JobFileTest, AWrongOverrideSaysWhatThereIs) {
  EXPECT_THAT(error_of(kJob, {"optimizer.learning_rat=1"}), HasSubstr("learning_rate"));
  EXPECT_THAT(error_of(kJob, {"epochs"}), HasSubstr("expected path=value"));
  EXPECT_THAT(error_of(kJob, {"epochs=many"}), HasSubstr("'many'"));
  EXPECT_THAT(error_of(kJob, {"model.layers[9].dense.units=1"}), HasSubstr("has 2 elements"));
  EXPECT_THAT(error_of(kJob, {"model.layers.dense.units=1"}), HasSubstr("layers[0]"));
  EXPECT_THAT(error_of(kJob, {"epochs.x=1"}), HasSubstr("has no fields"));
}

TEST(JobFileTest, PrecisionHasKerasNamesAndShortOnes) {
  const auto precision = [](const std::string& text, const std::vector<std::string>& overrides) {
    return JobFile::parse(text, "job.textproto", overrides).job().precision();
  };
  EXPECT_EQ(precision(kJob, {}), "float32");
  EXPECT_EQ(precision(kJob, {"precision=bf16"}), "mixed_bfloat16");
  EXPECT_EQ(precision(std::string(kJob) + "precision: \"mixed_float16\"", {}), "mixed_float16");
  EXPECT_THAT(error_of(std::string(kJob) + "precision: \"fp8\""),
              StartsWith("job.textproto:7:1: unknown precision \"fp8\"; known are float32"));
}

TEST(JobFileTest, ALayerThatDoesNotFitIsNamedWithItsLine) {
  const JobFile file = JobFile::parse(R"(data { digits {} }
model {
  layers { conv2d { filters: 4 kernel: 5 } }
  layers { name: "logits" dense { units: 10 } }
})",
                                      "job.textproto");
  nn::Model model;
  try {
    build_layers(model, file, {{DType::kFloat32, {-1, 28, 28, 1}}});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), StartsWith("job.textproto:4:"));
    EXPECT_THAT(error.what(), HasSubstr("[?, 24, 24, 4]"));
    EXPECT_THAT(error.what(), HasSubstr("flatten"));
  }
}

// Their bytes would be a small number, multiplied without a check.
TEST(JobFileTest, ALayerThatNoMemoryHoldsIsNamedWithItsLine) {
  const auto build_error = [](const std::string& layer) -> std::string {
    const JobFile file = JobFile::parse(
        "data { clicks {} }\nmodel {\n  layers { " + layer + " }\n}", "job.textproto");
    try {
      nn::Model model;
      build_layers(model, file, {{DType::kFloat32, {-1, 13}}, {DType::kInt64, {-1, 26}}});
    } catch (const Error& error) {
      return error.what();
    }
    return "(no error)";
  };
  for (const int64_t keys : {int64_t{1} << 61, (int64_t{1} << 61) + 1, (int64_t{1} << 60) + 3,
                             INT64_MAX, INT64_MAX / 16, INT64_MAX / 64 + 1}) {
    for (const char* kind : {"dlrm", "wide_deep"}) {
      EXPECT_THAT(build_error(str_cat(kind, " { keys: ", keys, " dimension: 16 }")),
                  ::testing::AllOf(StartsWith("job.textproto:3:"), HasSubstr("layer 1"),
                                   HasSubstr("more elements than any memory")))
          << keys;
    }
  }
  EXPECT_THAT(build_error("dense { units: 4611686018427387904 }"), StartsWith("job.textproto:3:"));
  EXPECT_THAT(build_error("dlrm { keys: 100 bottom: 9223372036854775807 }"),
              StartsWith("job.textproto:3:"));
  EXPECT_THAT(build_error("dlrm { keys: 100 dimension: 9223372036854775807 }"),
              StartsWith("job.textproto:3:"));
  EXPECT_THAT(build_error("residual { layers { dense { units: 9223372036854775807 } } }"),
              StartsWith("job.textproto:3:"));
}

TEST(JobFileTest, EveryExampleIsAJobWhoseModelBuilds) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(TRIREME_SOURCE_DIR "/examples")) {
    if (entry.path().extension() != ".textproto") continue;
    SCOPED_TRACE(entry.path().string());
    const JobFile file = JobFile::read(entry.path().string());
    Shape shape{-1, 28, 28, 1};
    const std::string data = value_at(file, "data");
    const auto reads = [&](const char* source) { return data.find(source) != std::string::npos; };
    if (reads("cifar10 {")) shape = {-1, 32, 32, 3};
    if (reads("csv {")) shape = {-1, 13};
    std::vector<TensorType> features = {{DType::kFloat32, shape}};
    if (reads("characters {")) features = {{DType::kInt64, {-1, 128}}};
    // What the program makes up is here.
    for (const char* source : {"reviews {", "reversal {", "series {", "visits {"}) {
      if (!reads(source)) continue;
      const JobData made = build_data(file, "");
      features = nn::batch_types(training_batches(file, made, 0, 1)).features;
    }
    if (reads("clicks {")) {
      features = {{DType::kFloat32, {-1, 13}}, {DType::kInt64, {-1, 26}}};
    }
    nn::Model model;
    build_layers(model, file, features);
    EXPECT_NO_THROW(compile_options(file, 100));
    ++count;
  }
  EXPECT_GE(count, 8);
}

TEST(BuildDataTest, MissingDataSaysWhereItLooked) {
  const JobFile file = JobFile::parse(kJob, "job", {"data.mnist.directory=no_such_folder"});
  try {
    build_data(file, "/nowhere");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("/nowhere/no_such_folder"));
    EXPECT_THAT(error.what(), HasSubstr("--data-dir"));
  }
}

TEST(BuildDataTest, MadeUpTablesAndReviewsNeedNoFile) {
  for (const char* source : {"data.csv=", "data.reviews=vocabulary: 500"}) {
    const JobFile file = JobFile::parse(
        kJob, "job",
        {source, "data.take=100", "data.validation_take=10", "loss=MEAN_SQUARED_ERROR"});
    const JobData data = build_data(file, "");
    EXPECT_EQ(data.train.cardinality(), 100);
    EXPECT_EQ(data.validation.cardinality(), 10);
  }
}

// A 0 that is written was once the default.
TEST(BuildDataTest, AFractionOfZeroValidatesWithNothing) {
  const auto rows = [](const std::string& csv) {
    const JobFile file =
        JobFile::parse(kJob, "job", {"data={csv {" + csv + "}}", "loss=MEAN_SQUARED_ERROR"});
    const JobData data = build_data(file, "");
    return std::pair(data.train.cardinality(), data.validation.cardinality());
  };
  EXPECT_EQ(rows(""), std::pair(int64_t{3200}, int64_t{800}));
  EXPECT_EQ(rows("validation_fraction: 0"), std::pair(int64_t{4000}, int64_t{0}));
  EXPECT_EQ(rows("validation_fraction: 0.5"), std::pair(int64_t{2000}, int64_t{2000}));
}

// With the line, where the value stands.
TEST(BuildDataTest, WhatMayNotBeZeroSaysSo) {
  const auto refusal = [](const std::string& data) {
    return error_of("data {\n  " + data + "\n}\nmodel { layers { dense { units: 1 } } }");
  };
  EXPECT_THAT(refusal("noise { height: 0 }"), StartsWith("job.textproto:2:"));
  EXPECT_THAT(refusal("noise { height: 0 }"), HasSubstr("data.noise.height: expected at least 1"));
  EXPECT_THAT(refusal("reviews { vocabulary: 0 }"), HasSubstr("data.reviews.vocabulary"));
  EXPECT_THAT(refusal("csv { validation_fraction: 1 }"), StartsWith("job.textproto:2:"));
  EXPECT_THAT(refusal("csv { delimiter: \";;\" }"), StartsWith("job.textproto:2:"));
  EXPECT_THAT(refusal("cifar100 {}"), HasSubstr("did you mean 'cifar10'"));
  EXPECT_EQ(refusal("digits { seed: 0 }"), "(no error)");
}

}  // namespace
}  // namespace trireme
