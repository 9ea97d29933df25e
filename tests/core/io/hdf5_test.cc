// HDF5 files: those that h5py wrote, as fixtures/*.h5 (make_fixtures.py), and our own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "core/io/hdf5_file.h"
#include "core/io/hdf5_format.h"
#include "core/io/hdf5_writer.h"
#include "tests/core/io/files.h"

namespace trireme::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string fixture(const std::string& name) {
  return std::string(TRIREME_SOURCE_DIR) + "/tests/core/io/fixtures/" + name;
}

std::vector<double> values_of(const Tensor& tensor) {
  std::vector<double> values;
  for (int64_t i = 0; i < tensor.elements(); ++i) values.push_back(tensor.as_double(i));
  return values;
}

std::vector<double> read_values(const Hdf5File& file, const std::string& path) {
  const Hdf5Dataset* dataset = file.root().dataset(path);
  if (dataset == nullptr) return {};
  return values_of(file.read(*dataset));
}

std::vector<double> count_to(int n) {
  std::vector<double> values(static_cast<size_t>(n));
  std::iota(values.begin(), values.end(), 0);
  return values;
}

// What h5py writes of each type is what a weight may be kept in.
TEST(Hdf5FileTest, ReadsEveryTypeThatH5pyWrites) {
  const Hdf5File file(fixture("types.h5"));
  const std::vector<std::pair<std::string, DType>> types = {
      {"i1", DType::kInt32},     {"u1", DType::kUInt8},      {"i2", DType::kInt32},
      {"u2", DType::kInt32},     {"i4", DType::kInt32},      {"u4", DType::kInt64},
      {"i8", DType::kInt64},     {"u8", DType::kInt64},      {"f2", DType::kFloat16},
      {"f4", DType::kFloat32},   {"f8", DType::kFloat64},    {"big_i2", DType::kInt32},
      {"big_i8", DType::kInt64}, {"big_f4", DType::kFloat32}};
  for (const auto& [name, dtype] : types) {
    const Hdf5Dataset* dataset = file.root().dataset("types/" + name);
    ASSERT_NE(dataset, nullptr) << name;
    EXPECT_EQ(dataset->type, (TensorType{dtype, {2, 3}})) << name;
    const double fourth = name[0] == 'u' ? 4 : -4;
    EXPECT_THAT(values_of(file.read(*dataset)), ElementsAre(1, 2, 3, fourth, 5, 100)) << name;
  }
  EXPECT_EQ(file.read(*file.root().dataset("types/bool")).to_string(), "bool[3] {1, 0, 1}");
  EXPECT_EQ(file.read(*file.root().dataset("types/scalar")).item<int64_t>(), 7);
  EXPECT_EQ(file.read(*file.root().dataset("types/empty")).shape(), Shape({0, 3}));
  EXPECT_THAT(file.read(*file.root().dataset("types/texts")).flat<std::string>(),
              ElementsAre("one", "", "drei ü"));
  EXPECT_THAT(file.read(*file.root().dataset("types/fixed")).flat<std::string>(),
              ElementsAre("ab", "c"));
  EXPECT_EQ(file.root().dataset("types/bf16")->type.dtype, DType::kBFloat16);
  EXPECT_THAT(read_values(file, "types/bf16"), ElementsAre(1, -3));
}

void expect_attributes(const Hdf5Group& group) {
  EXPECT_EQ(*group.text("text"), "häuser");
  EXPECT_EQ(*group.text("bytes"), "fixed");
  EXPECT_THAT(*group.texts("texts"), ElementsAre("a", "bc", ""));
  EXPECT_THAT(*group.texts("fixed"), ElementsAre("xx", "y"));
  EXPECT_THAT(*group.texts("none"), ElementsAre());
  EXPECT_EQ(std::get<int64_t>(group.attributes.at("integer")), -3);
  EXPECT_EQ(std::get<double>(group.attributes.at("number")), 2.5);
  EXPECT_FALSE(group.attributes.contains("matrix"));
}

// Keras keeps configurations and names in attributes: fixed, of any length, and as lists.
TEST(Hdf5FileTest, ReadsAttributes) {
  const Hdf5File file(fixture("types.h5"));
  expect_attributes(file.root());
  expect_attributes(*file.root().group("inner/most"));
  EXPECT_EQ(file.root().group("inner/least"), nullptr);
}

// The newer kind of headers and groups, which our own writer uses too.
TEST(Hdf5FileTest, ReadsTheLatestFormat) {
  const Hdf5File file(fixture("latest.h5"));
  EXPECT_THAT(read_values(file, "types/f4"), ElementsAre(1, 2, 3, -4, 5, 100));
  expect_attributes(*file.root().group("inner"));
}

// More than one node of an old group's B-tree.
TEST(Hdf5FileTest, ReadsGroupsOfManyMembers) {
  const Hdf5File file(fixture("many.h5"));
  const Hdf5Group* group = file.root().group("group");
  ASSERT_EQ(group->datasets.size(), 70U);
  for (int i = 0; i < 70; ++i) {
    EXPECT_THAT(read_values(file, "group/" + std::to_string(i)), ElementsAre(i));
  }
}

// Chunks at the edges, filters, what was never written, and more than one node of chunks.
TEST(Hdf5FileTest, ReadsChunkedDatasets) {
  const Hdf5File file(fixture("chunks.h5"));
  EXPECT_EQ(read_values(file, "plain"), count_to(70));
  EXPECT_EQ(read_values(file, "packed"), count_to(70));
  EXPECT_EQ(read_values(file, "many"), count_to(700));
  EXPECT_THAT(read_values(file, "unwritten"), ElementsAre(9, 9, 9, 9, 9, 9));
  const std::vector<double> sparse = read_values(file, "sparse");
  for (int i = 0; i < 70; ++i) {
    const bool written = i / 10 >= 2 && i / 10 < 4 && i % 10 < 5;
    EXPECT_EQ(sparse[static_cast<size_t>(i)], written ? i : 1.5) << i;
  }
}

// A file from outside must not lead to other files, or around in circles.
TEST(Hdf5FileTest, RefusesWhatLeadsElsewhere) {
  const auto message = [](const std::string& name) {
    return std::string(error_of([&] { Hdf5File{fixture(name)}; }).what());
  };
  EXPECT_THAT(message("soft_link.h5"), HasSubstr("its member \"b\" is a link to a path"));
  EXPECT_THAT(message("external_link.h5"), HasSubstr("its member \"b\" is a link to a path"));
  EXPECT_THAT(message("cycle.h5"), HasSubstr("it is in the file's tree twice"));
  EXPECT_THAT(message("dense.h5"), HasSubstr("h5py's default options"));
  EXPECT_THAT(message("packed.zip"), HasSubstr("expected an HDF5 file, found other contents"));
}

// A few hundred bytes that declare 64 GiB.
TEST(Hdf5FileTest, RefusesDatasetsThatAreNotInTheFile) {
  const Hdf5File file(fixture("shape_bomb.h5"));
  for (const char* name : {"x", "y"}) {
    const Error error = error_of([&] { file.read(*file.root().dataset(name)); });
    EXPECT_EQ(error.code(), ErrorCode::kDataLoss);
    EXPECT_THAT(error.what(), HasSubstr("declares 68719476736 bytes, of which")) << name;
  }
}

Hdf5Contents sample() {
  Hdf5Contents root;
  root.attributes["model_config"] = std::string(200'000, 'c');
  root.attributes["empty"] = std::string();
  root.attributes["names"] = std::vector<std::string>{"a", "", "bü"};
  root.attributes["none"] = std::vector<std::string>{};
  root.attributes["integer"] = int64_t{-5};
  root.attributes["number"] = 0.25;
  root.add("layers/dense/vars/0", Tensor::from<float>({2, 2}, {1, 2, 3, 4}));
  root.add("layers/dense/vars/1", Tensor::from<double>({1}, {5}));
  root.add("layers/other/0", Tensor::from<int64_t>({}, {6}));
  root.add("layers/other/1", Tensor::from<int32_t>({3}, {-1, 0, 1}));
  root.add("layers/other/2", Tensor::from<uint8_t>({2}, {0, 255}));
  root.add("layers/other/3", Tensor::from<bool>({2}, {true, false}));
  root.add("layers/other/4", Tensor::zeros(DType::kFloat16, {0, 4}));
  Tensor bf16(DType::kBFloat16, {2});
  const BFloat16 values[] = {BFloat16(1.5F), BFloat16(-2)};
  std::memcpy(bf16.raw(), values, sizeof values);
  root.add("layers/other/5", bf16);
  root.group("layers/other").attributes["name"] = std::string("other_1");
  root.group("empty");
  return root;
}

void expect_same(const Hdf5File& file, const Hdf5Group& group, const Hdf5Contents& expected) {
  EXPECT_EQ(group.attributes, Hdf5Attributes(expected.attributes)) << group.path;
  EXPECT_EQ(group.groups.size(), expected.groups.size());
  EXPECT_EQ(group.datasets.size(), expected.datasets.size());
  for (const auto& [name, child] : expected.groups) {
    ASSERT_TRUE(group.groups.contains(name)) << name;
    expect_same(file, group.groups.at(name), child);
  }
  for (const auto& [name, dataset] : expected.datasets) {
    ASSERT_TRUE(group.datasets.contains(name)) << name;
    const Tensor value = file.read(group.datasets.at(name));
    EXPECT_EQ(value.type(), dataset.value.type()) << name;
    EXPECT_EQ(values_of(value), values_of(dataset.value)) << name;
  }
}

// Every type and attribute comes back; the same contents give the same bytes.
TEST(Hdf5WriterTest, WritesWhatTheReaderReads) {
  const TemporaryDirectory folder;
  const Hdf5Contents contents = sample();
  write_hdf5(contents, folder / "w.h5");
  EXPECT_TRUE(Hdf5File::is_one(folder / "w.h5"));
  const Hdf5File file(folder / "w.h5");
  expect_same(file, file.root(), contents);
  const std::string bytes = hdf5_bytes(contents);
  EXPECT_EQ(bytes, io::contents(folder / "w.h5"));
  EXPECT_EQ(bytes.size(), Hdf5Writer(contents).size());
}

// A collection of strings has numbers of 16 bits; names of layers may be more than that.
TEST(Hdf5WriterTest, WritesAnyNumberOfStringsAndMembers) {
  Hdf5Contents root;
  for (int i = 0; i < 70'000; ++i) {
    std::string name = "g";
    name += std::to_string(i);
    root.groups["p"].groups[std::to_string(i / 1000)].groups[name].attributes["name"] = name;
  }
  const std::string bytes = hdf5_bytes(root);
  const Hdf5File file(
      memory_bytes({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "memory"));
  EXPECT_EQ(*file.root().group("p/0/g7")->text("name"), "g7");
  EXPECT_EQ(*file.root().group("p/69/g69999")->text("name"), "g69999");
}

// What HDF5 has no room for is said before anything is written.
TEST(Hdf5WriterTest, RefusesWhatDoesNotFit) {
  Hdf5Contents root;
  root.attributes["names"] = std::vector<std::string>(5000, "x");
  EXPECT_THAT(error_of([&] { hdf5_bytes(root); }).what(), HasSubstr("expected at most 65535"));
  Hdf5Contents slash;
  slash.datasets["a/b"].value = Tensor::scalar(1.0F);
  EXPECT_THAT(error_of([&] { hdf5_bytes(slash); }).what(), HasSubstr("is no name"));
}

// Any byte changed, and any end cut off: an Error or other values, never a crash.
TEST(Hdf5FileTest, SurvivesDamageAnywhere) {
  std::vector<std::string> files;
  for (const char* name : {"types.h5", "chunks.h5", "latest.h5", "many.h5"}) {
    files.push_back(contents(fixture(name)));
  }
  Hdf5Contents small = sample();
  small.attributes["model_config"] = std::string("{}");
  files.push_back(hdf5_bytes(small));
  uint64_t random = 1;
  int errors = 0;
  for (const std::string& whole : files) {
    for (int i = 0; i < 400; ++i) {
      std::string bytes = whole;
      random = random * 6364136223846793005U + 1442695040888963407U;
      const size_t at = (random >> 20) % bytes.size();
      if (i % 4 == 0) {
        bytes.resize(at);
      } else {
        bytes[at] = static_cast<char>(random >> 56);
      }
      try {
        const Hdf5File file(memory_bytes(
            {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "damaged"));
        const auto read = [&](const auto& self, const Hdf5Group& group) -> void {
          for (const auto& [name, dataset] : group.datasets) file.read(dataset);
          for (const auto& [name, child] : group.groups) self(self, child);
        };
        read(read, file.root());
      } catch (const Error& error) {
        EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
        ++errors;
      }
    }
  }
  EXPECT_GT(errors, 500);
}

// The checksum of metadata, as Jenkins's own test has it.
TEST(Hdf5FileTest, ComputesLookup3) {
  EXPECT_EQ(hdf5::checksum("", 0), 0xdeadbeefU);
  EXPECT_EQ(hdf5::checksum("Four score and seven years ago", 30), 0x17770551U);
}

}  // namespace
}  // namespace trireme::io
