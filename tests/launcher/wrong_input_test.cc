// Wrong input ends with one clear line and exit code 2; nothing crashes and nothing half-written
// stays.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <zlib.h>

#include <filesystem>

#include "tests/launcher/program.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using testing::kSmallJob;
using testing::ProcessResult;
using testing::TemporaryDirectory;
using testing::trireme_run;

// One line on standard error that says all of `parts`, and exit code 2.
void expect_refused(const ProcessResult& result, const std::vector<std::string>& parts,
                    int exit_code = 2) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  EXPECT_EQ(result.out, "");
  const size_t last = result.err.rfind("trireme: ");
  ASSERT_NE(last, std::string::npos) << result.err;
  for (const std::string& part : parts) EXPECT_THAT(result.err.substr(last), HasSubstr(part));
}

std::string big_endian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::string gzip(const std::string& bytes) {
  std::string packed(compressBound(bytes.size()) + 64, '\0');
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// A folder with a tiny MNIST whose parts a test can spoil.
struct TinyMnist {
  TemporaryDirectory folder;
  std::string job = folder.write("job.textproto", [] {
    std::string text = kSmallJob;
    return text.replace(text.find("digits {} take: 640 validation_take: 200"), 40,
                        "mnist { directory: \"tiny\" }");
  }());

  TinyMnist() {
    std::filesystem::create_directories(folder / "tiny");
    for (const char* split : {"train", "t10k"}) {
      folder.write(std::string("tiny/") + split + "-images-idx3-ubyte", images(4));
      folder.write(std::string("tiny/") + split + "-labels-idx1-ubyte", labels(4));
    }
  }
  static std::string images(uint32_t count) {
    return big_endian(0x803) + big_endian(count) + big_endian(28) + big_endian(28) +
           std::string(size_t{784} * count, '\7');
  }
  static std::string labels(uint32_t count) {
    return big_endian(0x801) + big_endian(count) + std::string(count, '\1');
  }
  ProcessResult train() const {
    return trireme_run({"train", job, "--data-dir", folder.path(), "--output-dir", folder / "run",
                        "--threads", "1"});
  }
};

TEST(WrongInputTest, TheTinyMnistItselfIsFine) { EXPECT_EQ(TinyMnist().train().exit_code, 0); }

TEST(WrongInputTest, TruncatedIdx) {
  TinyMnist mnist;
  mnist.folder.write("tiny/train-images-idx3-ubyte", TinyMnist::images(4).substr(0, 2000));
  expect_refused(mnist.train(),
                 {"train-images-idx3-ubyte", "expected 3152 bytes", "4 images of 28×28", "2000"});
}

TEST(WrongInputTest, WrongMagicOfIdx) {
  TinyMnist mnist;
  mnist.folder.write("tiny/train-images-idx3-ubyte", "PNG!" + TinyMnist::images(4).substr(4));
  expect_refused(mnist.train(), {"train-images-idx3-ubyte", "magic"});
}

TEST(WrongInputTest, CorruptGzip) {
  TinyMnist mnist;
  std::string packed = gzip(TinyMnist::images(4));
  packed[packed.size() / 2] = static_cast<char>(packed[packed.size() / 2] ^ 0x55);
  std::filesystem::remove(mnist.folder / "tiny/train-images-idx3-ubyte");
  mnist.folder.write("tiny/train-images-idx3-ubyte.gz", packed);
  expect_refused(mnist.train(), {"train-images-idx3-ubyte.gz", "gzip"});
}

TEST(WrongInputTest, CifarFileOfAWrongLength) {
  const TemporaryDirectory folder;
  std::filesystem::create_directories(folder / "cifar10");
  folder.write("cifar10/data_batch_1.bin", std::string(3073 * 2 + 5, '\1'));
  folder.write("cifar10/test_batch.bin", std::string(3073, '\1'));
  const std::string job = folder.write("job.textproto", R"(data { cifar10 {} }
model { layers { flatten {} } layers { dense { units: 10 } } })");
  expect_refused(trireme_run({"train", job, "--data-dir", folder.path()}),
                 {"data_batch_1.bin", "3073", "6151"});
}

TEST(WrongInputTest, RaggedCsv) {
  const TemporaryDirectory folder;
  folder.write("houses.csv", "rooms,age,price\n1,2,3\n4,5\n");
  const std::string job = folder.write("job.textproto", R"(data { csv { file: "houses.csv" } }
model { layers { dense { units: 1 } } }
loss: MEAN_SQUARED_ERROR)");
  expect_refused(trireme_run({"train", job, "--data-dir", folder.path()}),
                 {"houses.csv:3:", "3", "2"});
}

TEST(WrongInputTest, UnknownFieldAndWrongTypeInTheJob) {
  const TemporaryDirectory folder;
  const std::string job = folder.write("job.textproto", kSmallJob + "epoch: 3\n");
  expect_refused(trireme_run({"train", job}), {"job.textproto:13:", "epoch"});
  folder.write("job.textproto", kSmallJob + "seed: \"one\"\n");
  expect_refused(trireme_run({"train", job}), {"job.textproto:13:7: "});
  expect_refused(trireme_run({"train", folder / "missing.textproto"}),
                 {"missing.textproto", "no such job file"});
  expect_refused(trireme_run({"train", job, "--no-such-option"}), {"no-such-option"});
}

TEST(WrongInputTest, LayersThatDoNotFit) {
  const TemporaryDirectory folder;
  const std::string job =
      folder.write("job.textproto", R"(data { digits {} take: 10 validation_take: 10 }
model {
  layers { name: "c1" conv2d { filters: 4 kernel: 5 } }
  layers { name: "logits" dense { units: 10 } }
})");
  expect_refused(trireme_run({"train", job}),
                 {"job.textproto:4:", "layer 2 (dense \"logits\")", "[?, 24, 24, 4]",
                  "layer 1 (conv2d \"c1\")", "flatten"});
}

TEST(WrongInputTest, ALossThatIsNotANumberStopsTheTraining) {
  const TemporaryDirectory folder;
  const std::string job = folder.write("job.textproto", kSmallJob);
  const std::vector<std::string> arguments = {
      "train", job,     "--output-dir",   folder / "run", "--threads",
      "1",     "--set", "optimizer.sgd=", "--set",        "optimizer.learning_rate=1e30"};
  expect_refused(trireme_run(arguments), {"step ", "loss"}, 1);
  std::vector<std::string> allowed = arguments;
  allowed.insert(allowed.end(), {"--set", "allow_nan=true"});
  EXPECT_EQ(trireme_run(allowed).exit_code, 0);
}

TEST(WrongInputTest, CheckpointOfAnotherModel) {
  const TemporaryDirectory folder;
  const std::string job = folder.write("job.textproto", kSmallJob);
  ASSERT_EQ(
      trireme_run({"train", job, "--output-dir", folder / "run", "--set", "epochs=1"}).exit_code,
      0);
  const std::vector<std::string> expected = {"hidden/kernel", "784, 32", "784, 16"};
  expect_refused(trireme_run({"evaluate", job, "--checkpoint", folder / "run/checkpoints", "--set",
                              "model.layers[1].dense.units=32"}),
                 expected);
  expect_refused(trireme_run({"train", job, "--output-dir", folder / "run", "--resume", "--set",
                              "model.layers[1].dense.units=32"}),
                 expected);
  expect_refused(trireme_run({"evaluate", job, "--checkpoint", folder / "nowhere"}), {"nowhere"});
  expect_refused(trireme_run({"train", job, "--output-dir", folder / "fresh", "--resume"}),
                 {"no checkpoint"});
}

// A file system of 450 KiB: two checkpoints fit, a third does not.
TEST(WrongInputTest, AFullDiskLeavesThePreviousCheckpoint) {
  const TemporaryDirectory folder;
  const std::string disk = folder / "disk";
  std::filesystem::create_directories(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=450k") != 0) {
    GTEST_SKIP() << "a tmpfs cannot be mounted here (not root?)";
  }
  const std::string job = folder.write("job.textproto", kSmallJob);
  const ProcessResult full = trireme_run({"train", job, "--output-dir", disk, "--threads", "1"});
  EXPECT_EQ(full.exit_code, 1) << full.err;
  EXPECT_THAT(full.err, HasSubstr("ckpt-20"));
  EXPECT_THAT(full.err, HasSubstr("space"));
  EXPECT_THAT(full.err, HasSubstr("the checkpoint of step 20 needs 15"));  // 3 · 12,730 floats
  EXPECT_THAT(full.err, HasSubstr("were free; those before it are whole"));
  const ProcessResult inspected = trireme_run({"inspect", disk + "/checkpoints"});
  const ProcessResult evaluated =
      trireme_run({"evaluate", job, "--checkpoint", disk + "/checkpoints"});
  umount(disk.c_str());
  EXPECT_THAT(inspected.out, HasSubstr("ckpt-10"));
  EXPECT_EQ(evaluated.exit_code, 0) << evaluated.err;
}

TEST(WrongInputTest, WhatCannotBeInspectedIsRefused) {
  const TemporaryDirectory folder;
  expect_refused(trireme_run({"inspect", folder / "nothing"}), {"nothing"});
  expect_refused(trireme_run({"inspect", folder.write("text.txt", "hello")}), {"text.txt"});
  expect_refused(trireme_run({"inspect", folder.write("bad.graph", "hello")}), {"bad.graph"});
}

}  // namespace
}  // namespace trireme
