// Jobs whose examples lie in files of records: trained by one process and by two, predicted,
// evaluated and inspected.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/data/example_writer.h"
#include "core/data/tfrecord.h"
#include "tests/launcher/predict_lines.h"
#include "tests/launcher/program.h"

namespace trireme {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::json_lines;
using testing::kProgram;
using testing::ProcessResult;
using testing::read_text;
using testing::TemporaryDirectory;
using testing::trireme_run;

// The label follows from the first of two numbers, a list and the steps.
std::string example(int64_t i) {
  const auto label = i % 3;
  data::ExampleWriter writer;
  const auto f = static_cast<float>(i);
  writer.add("noise", Tensor::scalar(0.1f * f));
  writer.add("x", Tensor::from<float>({2}, {static_cast<float>(label) - 1, 0.01f * f}));
  writer.add("y", Tensor::scalar(label));
  writer.add_bytes("pixels", std::string{static_cast<char>(100 * label), 7, 0, 1});
  writer.add("ids", Tensor::from<int64_t>({label}, std::vector<int64_t>(label, 1)));
  writer.add_steps("steps", Tensor::zeros(DType::kFloat32, {label + 1, 2}));
  return writer.finish();
}

class RecordJobsTest : public ::testing::Test {
 protected:
  // Files of 60 and 36 records to train with and 30 to validate with.
  void write(data::Packing packing) const {
    const auto file = [&](const std::string& name, int64_t begin, int64_t end) {
      data::RecordWriter writer(folder_ / name, packing);
      for (int64_t i = begin; i < end; ++i) writer.write(example(i));
      writer.close();
    };
    file("train-0.tfrecord", 0, 60);
    file("train-1.tfrecord", 60, 96);
    file("valid-0.tfrecord", 96, 126);
  }
  std::string job(const std::string& features, const std::string& options = "") const {
    return folder_.write("job.textproto",
                         "data { tfrecord { files: \"train-*.tfrecord\"\n"
                         "validation_files: \"valid-0.tfrecord\"\n" +
                             features + R"(
features { name: "y" fixed { dtype: INT64 } } label: "y" )" +
                             options +
                             R"( } }
model { layers { flatten {} } layers { dense { units: 3 } } }
optimizer { adam { } learning_rate: 0.05 }
metrics: ACCURACY
epochs: 3
batch_size: 12
)");
  }
  ProcessResult train(const std::string& job, const std::string& name) const {
    return trireme_run({"train", job, "--data-dir", folder_.path(), "--output-dir", folder_ / name,
                        "--overwrite", "--threads", "1"});
  }
  std::string log(const std::string& name) const {
    return testing::read_log(folder_ / (name + "/log.csv"));
  }

  const TemporaryDirectory folder_;
};

const std::string kX = "features { name: \"x\" fixed { shape: 2 } }";

TEST_F(RecordJobsTest, TrainsTheSamePackedOrNotAloneOrByTwo) {
  write(data::Packing::kNone);
  const std::string file = job(kX);
  const ProcessResult alone = train(file, "alone");
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  EXPECT_THAT(alone.err, HasSubstr("tfrecord: 96 + 30 examples of 2 file(s), label \"y\""));
  EXPECT_EQ(json_lines(alone.out)[0].at("val_accuracy"), 1.0);
  const ProcessResult two =
      testing::run({kProgram, "launch", "--workers", "2", file, "--threads", "1", "--data-dir",
                    folder_.path(), "--output-dir", folder_ / "two"});
  ASSERT_EQ(two.exit_code, 0) << two.err;
  testing::expect_close(log("two"), log("alone"));
  for (const data::Packing packing : {data::Packing::kGzip, data::Packing::kZlib}) {
    write(packing);
    ASSERT_EQ(train(file, "packed").exit_code, 0);
    EXPECT_EQ(log("packed"), log("alone"));
  }
}

// Each kind of feature comes to the model in the form that its options say.
TEST_F(RecordJobsTest, TrainsOnEveryKindOfFeature) {
  write(data::Packing::kNone);
  for (const std::string features :
       {"features { name: \"pixels\" raw { shape: 4 scale: 0.01 } }",
        "features { name: \"ids\" variable { dtype: FLOAT32 max_length: 4 padding: -1 } }",
        "features { name: \"steps\" sequence { shape: 2 max_length: 3 padding: 1 } }"}) {
    const ProcessResult result = train(job(features), "run");
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_LT(json_lines(result.out)[0].at("val_loss"), 1.05) << features;
  }
}

TEST_F(RecordJobsTest, PredictsAndEvaluatesOtherFiles) {
  write(data::Packing::kGzip);
  const std::string file = job(kX);
  ASSERT_EQ(train(file, "run").exit_code, 0);
  const auto with = [&](const std::string& command, const std::string& input) {
    return trireme_run({command, file, "--data-dir", folder_.path(), "--checkpoint",
                        folder_ / "run/checkpoints", "--threads", "1", "--input", input});
  };
  const auto lines = json_lines(with("predict", folder_ / "valid-0.tfrecord").out);
  ASSERT_EQ(lines.size(), 30u);
  for (size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i].at("class"), (96 + i) % 3);
  EXPECT_EQ(json_lines(with("evaluate", folder_ / "valid-0.tfrecord").out)[0].at("val_accuracy"),
            1.0);
  // Without the label's feature.
  data::RecordWriter writer(folder_ / "unlabeled");
  data::ExampleWriter unlabeled;
  unlabeled.add("x", Tensor::from<float>({2}, {1, 0}));
  writer.write(unlabeled.finish());
  writer.close();
  EXPECT_EQ(json_lines(with("predict", folder_ / "unlabeled").out)[0].at("class"), 2);
}

TEST_F(RecordJobsTest, InspectPrintsCountsFeaturesAndSizes) {
  write(data::Packing::kGzip);
  const ProcessResult result = trireme_run({"inspect", folder_ / "train-0.tfrecord"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("(gzip): 60 records of "), HasSubstr("all checksums fit"),
                                HasSubstr("feature \"ids\"     int64, 0 to 2 values"),
                                HasSubstr("feature \"x\"       float, 2 values, 600 bytes in all"),
                                HasSubstr("sequence \"steps\"  float, 1 to 3 steps, 2 values")));
  folder_.write("bad", read_text(folder_ / "train-0.tfrecord").substr(0, 900));
  EXPECT_EQ(trireme_run({"inspect", folder_ / "bad"}).exit_code, 2);
}

TEST_F(RecordJobsTest, WrongInputIsOneLineThatNamesThePlace) {
  write(data::Packing::kNone);
  const auto refused = [&](const std::string& job, const std::string& reason) {
    const ProcessResult result = train(job, "refused");
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(reason));
  };
  refused(job("features { name: \"x\" fixed { shape: 3 } }"),
          "feature \"x\": expected 3 values (shape [3]), found 2");
  refused(job("features { name: \"x\" variable { dtype: FLOAT32 } }"),
          "feature \"x\" has another length in each example");
  refused(job("features { name: \"absent\" fixed {} }"), "feature \"absent\": the record has none");
  refused(job(kX, "compression: GZIP"), "expected data packed with gzip");
  refused(job(""), "expected features and a label, found 1 feature(s)");
  refused(job(kX + kX), "two features have the name \"x\"");
  std::string bytes = read_text(folder_ / "train-1.tfrecord");
  bytes[bytes.size() - 20] ^= 4;
  folder_.write("train-1.tfrecord", bytes);
  refused(job(kX), "train-1.tfrecord: record 35 at byte ");
  folder_.write("train-1.tfrecord", bytes.substr(0, bytes.size() - 5));
  refused(job(kX), "the file ends after");
}

}  // namespace
}  // namespace trireme
