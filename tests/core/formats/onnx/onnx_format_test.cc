#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "core/base/error.h"
#include "core/formats/onnx/onnx_formats.h"
#include "core/formats/onnx/read_onnx.h"
#include "core/formats/onnx/write_onnx.h"
#include "tests/core/formats/models/model_texts.h"
#include "tests/support/process.h"

namespace trireme::formats {
namespace {

using ::testing::HasSubstr;
using ::trireme::testing::TemporaryDirectory;

void expect_equal(const nn::StateMap& found, const nn::StateMap& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(found.contains(name)) << name;
    ASSERT_EQ(found.at(name).type(), tensor.type()) << name;
    EXPECT_EQ(std::memcmp(found.at(name).raw(), tensor.raw(), tensor.bytes()), 0) << name;
  }
}

// Filters change their layout on the way, and must come back as they were.
TEST(OnnxFormatTest, GivesBackWeightsAndJob) {
  const TemporaryDirectory folder;
  const Format format = onnx_formats().at(0);
  for (const std::string& name : ::trireme::testing::model_names()) {
    ModelFile file = ::trireme::testing::model_file(name);
    file.job_text = "name: \"" + name + "\"\n";
    const std::string path = folder / (name + ".onnx");
    format.write(file, path, {});
    EXPECT_TRUE(format.suits(path));
    EXPECT_TRUE(format.detect(path));
    const ModelFile found = format.read(path, {});
    EXPECT_EQ(found.name, name);
    EXPECT_EQ(found.job_text, file.job_text);
    expect_equal(found.weights, file.weights);
  }
}

// A message of protobuf cannot reach 2 GiB: larger models keep their weights beside it.
TEST(OnnxFormatTest, KeepsLargeWeightsInAFileBesideIt) {
  const TemporaryDirectory folder;
  ModelFile file = ::trireme::testing::model_file("lenet");
  file.job_text = "x";
  write_onnx(file, folder / "m.onnx", /*most_bytes=*/1000);
  EXPECT_LT(std::filesystem::file_size(folder / "m.onnx"),
            std::filesystem::file_size(folder / "m.onnx.data") / 4);
  expect_equal(read_onnx(folder / "m.onnx", {}).weights, file.weights);

  std::filesystem::resize_file(folder / "m.onnx.data", 5000);
  try {
    read_onnx(folder / "m.onnx", {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("m.onnx.data: expected "));
  }
}

TEST(OnnxFormatTest, RefusesWhatIsNoModel) {
  const TemporaryDirectory folder;
  const ModelFile file = [] {
    ModelFile lenet = ::trireme::testing::model_file("mnist_mlp");
    lenet.job_text = "x";
    return lenet;
  }();
  write_onnx(file, folder / "m.onnx");
  const auto size = std::filesystem::file_size(folder / "m.onnx");
  for (uintmax_t cut : {size - 1, size / 2, uintmax_t{9}, uintmax_t{0}}) {
    std::filesystem::resize_file(folder / "m.onnx", cut);
    try {
      read_onnx(folder / "m.onnx", {});
      FAIL() << cut;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDataLoss) << error.what();
      EXPECT_THAT(error.what(), HasSubstr("m.onnx: expected a model of ONNX"));
    }
  }
}

}  // namespace
}  // namespace trireme::formats
