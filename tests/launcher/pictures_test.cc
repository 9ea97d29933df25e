// Jobs whose examples are pictures in folders, or arrays of NumPy: trained by one process and by
// two, and predicted.
#include "tests/core/data/pictures.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "core/data/npy.h"
#include "tests/launcher/predict_lines.h"
#include "tests/launcher/program.h"

namespace trireme {
namespace {

using data::Bytes;
using ::testing::HasSubstr;
using testing::json_lines;
using testing::kProgram;
using testing::ProcessResult;
using testing::TemporaryDirectory;
using testing::trireme_run;

class PictureJobsTest : public ::testing::Test {
 protected:
  // Dark pictures in PNG and bright ones in JPEG.
  void SetUp() override {
    for (const char* folder : {"all", "all/bright", "all/dark"}) {
      std::filesystem::create_directory(folder_ / folder);
    }
    for (int i = 0; i < 30; ++i) {
      Bytes dark, bright;
      for (int y = 0; y < 10; ++y) {
        dark.push_back(0);  // no filter
        for (int x = 0; x < 12; ++x) {
          dark.push_back(static_cast<uint8_t>(i + 3 * x));
          bright.push_back(static_cast<uint8_t>(180 + i + 2 * y));
        }
      }
      write("all/dark/" + std::to_string(i) + ".png", data::png(12, 10, 8, 0, dark));
      write("all/bright/" + std::to_string(i) + ".jpg", data::jpeg(12, 10, 1, bright));
    }
  }
  void write(const std::string& name, const Bytes& bytes) const {
    folder_.write(name, {bytes.begin(), bytes.end()});
  }
  std::string job(const std::string& data) const {
    return folder_.write("job.textproto", data + R"(
model { layers { flatten {} } layers { dense { units: 2 } } }
optimizer { adam { } learning_rate: 0.02 }
metrics: ACCURACY
epochs: 5
batch_size: 8
)");
  }
  std::vector<std::string> train(const std::string& job, const std::string& name) const {
    return {job, "--data-dir", folder_.path(), "--output-dir", folder_ / name, "--threads", "1"};
  }
  // Runs `trireme train`, by itself or under launch.
  ProcessResult run(std::vector<std::string> before,
                    const std::vector<std::string>& arguments) const {
    before.insert(before.end(), arguments.begin(), arguments.end());
    return trireme_run(before);
  }

  const TemporaryDirectory folder_;
};

TEST_F(PictureJobsTest, FoldersOfPicturesTrainAloneAndByTwoAndPredict) {
  const std::string file =
      job("data { image_folder { directory: \"all\" image_size: 6 image_size: 5 } }");
  const ProcessResult alone = run({"train"}, train(file, "alone"));
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  EXPECT_THAT(alone.err, HasSubstr("48 + 12 pictures of 2 classes"));
  EXPECT_EQ(json_lines(alone.out)[0].at("val_accuracy"), 1.0);
  const ProcessResult two = run({"launch", "--workers", "2"}, train(file, "two"));
  ASSERT_EQ(two.exit_code, 0) << two.err;
  testing::expect_close(testing::read_log(folder_ / "two/log.csv"),
                        testing::read_log(folder_ / "alone/log.csv"));

  const auto predict = [&](const std::string& input) {
    return trireme_run({"predict", file, "--data-dir", folder_.path(), "--checkpoint",
                        folder_ / "alone/checkpoints", "--input", folder_ / input});
  };
  const auto lines = json_lines(predict("all/dark").out);
  ASSERT_EQ(lines.size(), 30u);
  for (const auto& line : lines) EXPECT_EQ(line.at("class_name"), "dark");
  EXPECT_EQ(json_lines(predict("all/bright/3.jpg").out)[0].at("class_name"), "bright");

  write("all/dark/7.png", data::bytes_of("\x89PNG\r\n\x1a\n"));
  const ProcessResult broken = run({"train"}, train(file, "broken"));
  EXPECT_EQ(broken.exit_code, 2);
  EXPECT_THAT(broken.err, HasSubstr("all/dark/7.png: the PNG is damaged"));
  const ProcessResult skipped =
      run({"train"},
          train(job("data { image_folder { directory: \"all\" skip_broken: true } }"), "skipped"));
  EXPECT_EQ(skipped.exit_code, 0) << skipped.err;
  EXPECT_THAT(skipped.err, HasSubstr("1 broken pictures left out"));
}

TEST_F(PictureJobsTest, ArraysOfNumpyTrain) {
  Tensor x(DType::kUInt8, {40, 3}), y(DType::kInt64, {40});
  for (int64_t i = 0; i < 40; ++i) {
    y.flat<int64_t>()[static_cast<size_t>(i)] = i % 2;
    for (int64_t k = 0; k < 3; ++k) {
      x.flat<uint8_t>()[static_cast<size_t>(3 * i + k)] = static_cast<uint8_t>(i % 2 * 200 + i + k);
    }
  }
  data::write_npy(folder_ / "x.npy", x);
  data::write_npy(folder_ / "y.npy", y);
  const ProcessResult result =
      run({"train"},
          train(job("data { npy { features: \"x.npy\" labels: \"y.npy\" scale: 0.01 } }"), "run"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("npy: 32 + 8 rows of 1 array(s)"));
  EXPECT_LT(json_lines(result.out)[0].at("val_loss"), 0.6);
}

}  // namespace
}  // namespace trireme
