// What users give as files and as values on the command line: nothing hangs, fills the memory, or
// means something else than it says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "tests/launcher/program.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::kProgram;
using testing::kSmallJob;
using testing::Process;
using testing::ProcessResult;
using testing::TemporaryDirectory;
using Words = std::vector<std::string>;

constexpr char kCsvJob[] = R"(data { csv { file: "table" } }
model { layers { dense { units: 1 } } }
loss: MEAN_SQUARED_ERROR
)";

class InputFilesTest : public ::testing::Test {
 protected:
  // Runs the program with at most 2 GiB of addresses and for at most 20 s.
  ProcessResult run(const Words& arguments) const {
    Words words = {"/bin/sh", "-c", "ulimit -v 2097152; exec \"$@\"", "sh", kProgram};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return Process(words, {"OMP_NUM_THREADS=1"}).wait(20s);
  }
  void expect_refused(const Words& arguments, const std::string& part) const {
    const ProcessResult result = run(arguments);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(part));
    EXPECT_EQ(result.out, "");
  }
  const TemporaryDirectory folder_;
  const std::string job_ = folder_.write("job.textproto", kSmallJob);
  const std::string csv_job_ = folder_.write("csv.textproto", kCsvJob);
};

// /dev/zero never ends; open() of a pipe waits for a writer.
TEST_F(InputFilesTest, DevicesAndPipesAreRefusedAsFiles) {
  expect_refused({"train", "/dev/zero"}, "/dev/zero: expected a file, found a character device");
  expect_refused({"train", folder_.path()}, "expected a file, found a directory");
  expect_refused({"launch", "/dev/zero"}, "found a character device");
  expect_refused({"inspect", "/dev/zero"}, "/dev/zero: expected ");
  expect_refused({"train", csv_job_, "--set", "data.csv.file=/dev/zero"},
                 "expected a file of data, found a character device");
  for (const char* name : {"pipe", "p.graph", "c.index"}) {
    ASSERT_EQ(::mkfifo((folder_ / name).c_str(), 0600), 0);
  }
  const std::string pipe = folder_ / "pipe";
  expect_refused({"train", pipe}, "nobody opened this pipe for writing within 10 s");
  expect_refused({"launch", pipe}, "expected a job file, found a pipe");
  expect_refused({"train", csv_job_, "--set", "data.csv.file=" + pipe}, "found a pipe");
  expect_refused({"inspect", folder_ / "p.graph"}, "expected a file, found a pipe");
  expect_refused({"inspect", folder_ / "c"}, "expected a file, found a pipe");
  expect_refused({"evaluate", job_, "--checkpoint", folder_ / "c"}, "found a pipe");
}

// A file of 100 GB that takes no room on the disk, as everything that a file can be.
TEST_F(InputFilesTest, AFileOf100GigabytesIsRefusedWithinBoundedMemory) {
  for (const char* name : {"large", "large.graph", "large.index", "large.ps", "test_batch.bin"}) {
    std::filesystem::resize_file(folder_.write(name, ""), uintmax_t{100} << 30);
  }
  const std::string large = folder_ / "large";
  expect_refused({"train", large},
                 "expected a job file of at most 16 MiB, found 107374182400 bytes");
  expect_refused({"inspect", large + ".graph"}, "expected a graph of at most ");
  expect_refused({"inspect", large + ".index"}, "large.index: expected at most ");
  expect_refused({"inspect", large + ".ps"}, "large: expected ");
  expect_refused({"train", job_, "--set", "data.reviews.train_file=" + large, "--set",
                  "data.reviews.test_file=" + large},
                 "large:1:1: expected text in UTF-8, found a NUL byte");
  expect_refused({"train", job_, "--set", "data.criteo.train_files=[" + large + "]"},
                 "large:1:1: ");
  expect_refused({"train", job_, "--set", "data.cifar10.train_files=" + large, "--set",
                  "data.cifar10.directory=" + folder_.path()},
                 "expected a multiple of 3073 bytes");
}

TEST_F(InputFilesTest, AJobMayComeFromAPipe) {
  const std::string command = "cat " + job_ + " | " + kProgram + " train /dev/stdin --output-dir " +
                              (folder_ / "run") + " --set epochs=1";
  const ProcessResult result = Process({"/bin/sh", "-c", command}, {"OMP_NUM_THREADS=1"}).wait(60s);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\"job\":\"small\""));
}

// Quotes and backslashes are part of a name, not of the job's language.
TEST_F(InputFilesTest, OptionsTakeStringsAsTheyStand) {
  const std::string out = folder_ / R"(a\nb "c" {})";
  const ProcessResult result = testing::trireme_run(
      {"train", job_, "--output-dir", out, "--set", "epochs=1", "--set", "name=x\" epochs: 7"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr(R"("job":"x\" epochs: 7")"));
  EXPECT_THAT(result.out, HasSubstr(R"("epochs":1,)"));
  EXPECT_TRUE(std::filesystem::exists(out + "/log.csv"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 3)
      << "the two jobs and the folder";
  expect_refused({"train", job_, "--output-dir", folder_ / "a\nb"},
                 "expected no control characters, found byte 10");
  for (const Words& arguments :
       {Words{"train", job_, "--timeline"}, Words{"train", job_, "--save-graph"},
        Words{"launch", job_, "--log-dir"}, Words{"generate", "clicks", "--out"},
        Words{"ps", "--snapshot-dir"}}) {
    Words words = arguments;
    words.push_back(folder_ / "a\nb");
    expect_refused(words, "expected a path without control characters, found byte 10");
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "a\nb"));
}

TEST_F(InputFilesTest, TheLauncherTakesTheSameStrings) {
  const std::string out = folder_ / "a\" epochs: 7 name: \"b";
  const ProcessResult result = testing::trireme_run(
      {"launch", "--workers", "1", job_, "--output-dir", out, "--set", "epochs=1"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(std::filesystem::exists(out + "/logs/worker-0.log"));
  EXPECT_TRUE(std::filesystem::exists(out + "/log.csv"));
}

}  // namespace
}  // namespace trireme
