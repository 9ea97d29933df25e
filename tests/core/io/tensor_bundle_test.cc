#include "core/io/tensor_bundle.h"

#include <leveldb/env.h>
#include <leveldb/options.h>
#include <leveldb/table_builder.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "core/base/philox.h"
#include "core/io/sorted_table.h"
#include "files.h"

namespace trireme::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

// Written by TensorFlow 2.21, tf.raw_ops.SaveV2: "dense/kernel" f32 {{1, 2}, {3, 4}}, "names"
// {"ab", ""}, "step" i64 7.
const std::string kTensorFlowIndex = from_hex(
    "00000608011a020801000c1364656e73652f6b65726e656c0801120812020802120208022810354c289874000511"
    "6e616d6573080712041202080220102808359188b04d00040d73746570080912002018280835bbd79f1100000000"
    "0100000000cc4fb5c7000000000100000000c0f2a1b000010274006000000000010000000035d928f66508720e00"
    "000000000000000000000000000000000000000000000000000000000000000000000057fb808b247547db");
const std::string kTensorFlowData =
    from_hex("0000803f000000400000404000008040020078270b3461620700000000000000");

// Written by TensorFlow 2.21 as two slices: "w" u8 [2, 300], ones in the columns before 100, twos
// from there on.
const std::string kTensorFlowSlicesIndex = from_hex(
    "00000608011a020801000b14007700010102807f80c06408041208120208021202086428c801355b68836d080418"
    "c064c0c80804120912020802120308c80120c80128900335f629aaf5000120770804120912020802120308ac023a"
    "060a000a0210643a090a000a05086410c8010000000001000000000144af94000000000100000000c0f2a1b00001"
    "02780076000000000100000000feec09bb7b0888010e000000000000000000000000000000000000000000000000"
    "000000000000000000000057fb808b247547db");

Tensor patterned(DType dtype, const Shape& shape) {
  Tensor tensor(dtype, shape);
  if (dtype == DType::kString) {
    int i = 0;
    for (std::string& text : tensor.flat<std::string>()) {
      text = std::string(static_cast<size_t>(i * 37 % 300), static_cast<char>(i));
      ++i;
    }
    return tensor;
  }
  PhiloxGenerator random(hash_name(shape.to_string()));
  auto* bytes = static_cast<unsigned char*>(tensor.raw());
  for (size_t i = 0; i < tensor.bytes(); ++i) {
    bytes[i] =
        static_cast<unsigned char>(dtype == DType::kBool ? random.next() & 1 : random.next());
  }
  return tensor;
}

void expect_same(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.type(), b.type());
  if (a.dtype() == DType::kString) {
    EXPECT_TRUE(std::ranges::equal(a.flat<std::string>(), b.flat<std::string>()));
  } else if (a.bytes() > 0) {
    EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0);
  }
}

std::string entry_with(const std::string& shape, const std::string& rest) {
  return std::string("\x08\x01\x12", 3) + static_cast<char>(shape.size()) + shape + rest;
}

constexpr DType kAll[] = {DType::kFloat16, DType::kBFloat16, DType::kFloat32,
                          DType::kFloat64, DType::kInt32,    DType::kInt64,
                          DType::kUInt8,   DType::kBool,     DType::kString};

TEST(TensorBundle, RoundTripOfAllTypesAndShapes) {
  TemporaryDirectory dir;
  const std::vector<Shape> shapes = {
      {}, {0}, {1}, {7}, {3, 0, 5}, {2, 3, 4}, {1, 1, 1, 1, 1, 1, 1, 2}, {300'000}};
  std::map<std::string, Tensor> tensors;
  for (DType dtype : kAll) {
    for (const Shape& shape : shapes) {
      tensors[str_cat(name(dtype), "/", shape)] = patterned(dtype, shape);
    }
  }
  BundleWriter writer(dir / "new/directory/m");
  for (const auto& [name, tensor] : tensors) writer.add(name, tensor);
  writer.finish();

  BundleReader reader(dir / "new/directory/m");
  EXPECT_EQ(reader.names().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(reader.type(name), tensor.type());
    expect_same(reader.read(name), tensor);
    Tensor into(tensor.dtype(), tensor.shape());
    reader.read_into(name, into);
    expect_same(into, tensor);
  }
}

TEST(TensorBundle, ManyNamesTakeManyBlocks) {
  TemporaryDirectory dir;
  BundleWriter writer(dir / "m");
  for (int i = 9999; i >= 0; --i) {  // any order of adding
    writer.add(str_cat("layer_", i, "/kernel"), Tensor::scalar<int32_t>(i));
  }
  writer.finish();
  BundleReader reader(dir / "m");
  for (int i = 0; i < 10000; ++i) {
    ASSERT_EQ(reader.read(str_cat("layer_", i, "/kernel")).item<int32_t>(), i);
  }
}

TEST(TensorBundle, WritesTheBytesOfTensorFlow) {
  TemporaryDirectory dir;
  BundleWriter writer(dir / "m");
  writer.add("dense/kernel", Tensor::from<float>({2, 2}, {1, 2, 3, 4}));
  writer.add("names", Tensor::from<std::string>({2}, {"ab", ""}));
  writer.add("step", Tensor::scalar<int64_t>(7));
  writer.finish();
  EXPECT_EQ(contents(dir / "m.data-00000-of-00001"), kTensorFlowData);
  EXPECT_EQ(contents(dir / "m.index"), kTensorFlowIndex);
  // LevelDB's magic number, little-endian, ends the table.
  EXPECT_TRUE(contents(dir / "m.index").ends_with("\x57\xfb\x80\x8b\x24\x75\x47\xdb"));
}

TEST(TensorBundle, ReadsSlicesOfTensorFlow) {
  TemporaryDirectory dir;
  overwrite(dir / "m.index", kTensorFlowSlicesIndex);
  overwrite(dir / "m.data-00000-of-00001", std::string(200, '\1') + std::string(400, '\2'));
  BundleReader reader(dir / "m");
  EXPECT_THAT(reader.names(), ElementsAre("w"));
  const Tensor w = reader.read("w");
  ASSERT_EQ(w.shape(), Shape({2, 300}));
  for (size_t i = 0; i < 600; ++i) ASSERT_EQ(w.flat<uint8_t>()[i], i % 300 < 100 ? 1 : 2) << i;
}

// TensorFlow once compressed its indexes, and may again.
TEST(TensorBundle, ReadsACompressedIndex) {
  TemporaryDirectory dir;
  leveldb::WritableFile* opened = nullptr;
  ASSERT_TRUE(leveldb::Env::Default()->NewWritableFile(dir / "m.index", &opened).ok());
  const std::unique_ptr<leveldb::WritableFile> file(opened);
  leveldb::Options options;
  options.compression = leveldb::kSnappyCompression;
  leveldb::TableBuilder builder(options, file.get());
  Table table = read_table("index", kTensorFlowIndex);
  // Many alike entries without data, or LevelDB would not find it worth while.
  for (int i = 0; i < 1000; ++i) {
    table[str_cat("zeros/", i)] = entry_with(std::string("\x12\x02\x08\x00", 4), "");
  }
  for (const auto& [key, value] : table) builder.Add(key, value);
  ASSERT_TRUE(builder.Finish().ok());
  ASSERT_TRUE(file->Close().ok());
  ASSERT_LT(std::filesystem::file_size(dir / "m.index"), build_table(table).size() / 2);
  overwrite(dir / "m.data-00000-of-00001", kTensorFlowData);
  BundleReader reader(dir / "m");
  EXPECT_EQ(reader.names().size(), 1003u);
  EXPECT_EQ(reader.read("step").item<int64_t>(), 7);
}

// Two shards: TensorFlow's index with the header of two, and its step moved to the second file.
TEST(TensorBundle, ReadsSeveralShards) {
  TemporaryDirectory dir;
  Table table = read_table("index", kTensorFlowIndex);
  table[""] = std::string("\x08\x02\x1a\x02\x08\x01", 6);
  std::string& step = table["step"];  // dtype 9, shape {}, offset 24, size 8, checksum
  step.replace(step.find("\x20\x18"), 2, "\x18\x01");  // the shard in place of the offset
  overwrite(dir / "m.index", build_table(table));
  overwrite(dir / "m.data-00000-of-00002", kTensorFlowData.substr(0, 24));
  EXPECT_THAT(error_of([&] { BundleReader(dir / "m"); }).what(),
              HasSubstr("m.data-00001-of-00002: cannot be opened"));
  overwrite(dir / "m.data-00001-of-00002", kTensorFlowData.substr(24));
  BundleReader reader(dir / "m");
  EXPECT_EQ(reader.read("step").item<int64_t>(), 7);
  EXPECT_EQ(reader.read("dense/kernel").flat<float>()[3], 4);
}

TEST(TensorBundle, ReplacesAndAbandons) {
  TemporaryDirectory dir;
  const auto write = [&](float value) {
    BundleWriter writer(dir / "m");
    writer.add("x", Tensor::scalar<float>(value));
    writer.finish();
  };
  write(1);
  const BundleReader old(dir / "m");
  write(2);
  EXPECT_EQ(BundleReader(dir / "m").read("x").item<float>(), 2);
  EXPECT_EQ(old.read("x").item<float>(), 1);  // open files outlive their names
  { BundleWriter(dir / "m").add("x", Tensor::scalar<float>(3)); }
  EXPECT_EQ(BundleReader(dir / "m").read("x").item<float>(), 2);
  EXPECT_THAT(files_in(dir.path()), ElementsAre("m.data-00000-of-00001", "m.index"));
}

TEST(TensorBundle, WrongUseIsNamed) {
  TemporaryDirectory dir;
  BundleWriter writer(dir / "m");
  writer.add("x", Tensor::from<float>({2}, {1, 2}));
  EXPECT_EQ(error_of([&] { writer.add("", Tensor::scalar<float>(0)); }).code(),
            ErrorCode::kInvalidArgument);
  EXPECT_THAT(error_of([&] { writer.add("x", Tensor::scalar<float>(0)); }).what(),
              HasSubstr("\"x\" is added twice"));
  EXPECT_EQ(error_of([&] { writer.add("y", Tensor()); }).code(), ErrorCode::kInvalidArgument);
  writer.finish();
  BundleReader reader(dir / "m");
  const Error missing = error_of([&] { reader.read("z"); });
  EXPECT_EQ(missing.code(), ErrorCode::kNotFound);
  EXPECT_THAT(missing.what(), HasSubstr("\"z\""));
  Tensor wrong(DType::kFloat32, {3});
  EXPECT_THAT(error_of([&] { reader.read_into("x", wrong); }).what(), HasSubstr("f32[3]"));
  EXPECT_EQ(error_of([&] { BundleReader(dir / "none"); }).code(), ErrorCode::kNotFound);
}

// Reads everything; an Error says so, anything else escapes and fails the test.
void read_all(const std::string& prefix) {
  BundleReader reader(prefix);
  for (const std::string& name : reader.names()) reader.read(name);
}

// Every single byte of both files is covered by some check, and the message names the file.
TEST(TensorBundle, EveryFlippedByteIsFound) {
  TemporaryDirectory dir;
  const std::string index = dir / "m.index", data = dir / "m.data-00000-of-00001";
  overwrite(data, kTensorFlowData);
  for (size_t i = 0; i < kTensorFlowIndex.size(); ++i) {
    // The footer's padding means nothing: 40 bytes less two handles of two.
    const size_t footer = kTensorFlowIndex.size() - 48;
    if (i >= footer + 4 && i < footer + 40) continue;
    std::string bytes = kTensorFlowIndex;
    bytes[i] = static_cast<char>(bytes[i] ^ 0x41);
    overwrite(index, bytes);
    const Error error = error_of([&] { read_all(dir / "m"); });
    ASSERT_EQ(error.code(), ErrorCode::kDataLoss) << "byte " << i << ": " << error.what();
    ASSERT_THAT(error.what(), HasSubstr(dir / "m.")) << i;
  }
  overwrite(index, kTensorFlowIndex);
  for (size_t i = 0; i < kTensorFlowData.size(); ++i) {
    std::string bytes = kTensorFlowData;
    bytes[i] = static_cast<char>(bytes[i] ^ 0x41);
    overwrite(data, bytes);
    const Error error = error_of([&] { read_all(dir / "m"); });
    ASSERT_EQ(error.code(), ErrorCode::kDataLoss);
    const char* tensor = i < 16   ? "\"dense/kernel\" at byte 0"
                         : i < 24 ? "\"names\" at byte 16"
                                  : "\"step\" at byte 24";
    ASSERT_THAT(error.what(), HasSubstr(data + ": tensor " + tensor)) << i;
    ASSERT_THAT(error.what(), HasSubstr("expected")) << i;
  }
}

TEST(TensorBundle, EveryTruncationIsFound) {
  TemporaryDirectory dir;
  overwrite(dir / "m.data-00000-of-00001", kTensorFlowData);
  for (size_t size = 0; size < kTensorFlowIndex.size(); ++size) {
    overwrite(dir / "m.index", kTensorFlowIndex.substr(0, size));
    ASSERT_EQ(error_of([&] { read_all(dir / "m"); }).code(), ErrorCode::kDataLoss) << size;
  }
  overwrite(dir / "m.index", kTensorFlowIndex);
  for (size_t size = 0; size < kTensorFlowData.size(); ++size) {
    overwrite(dir / "m.data-00000-of-00001", kTensorFlowData.substr(0, size));
    const Error error = error_of([&] { read_all(dir / "m"); });
    ASSERT_EQ(error.code(), ErrorCode::kDataLoss) << size;
    ASSERT_THAT(error.what(), HasSubstr(str_cat("the file ends at byte ", size)));
  }
}

// Entries with right checksums and hostile contents: none may be believed.
TEST(TensorBundle, HostileEntriesAreRefused) {
  TemporaryDirectory dir;
  overwrite(dir / "m.data-00000-of-00001", kTensorFlowData);
  const Table good = read_table("index", kTensorFlowIndex);
  const std::string huge =
      "\x12\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f";  // a size of 2^63 - 1
  const std::string zero = "\x12\x02\x08\x00";
  const auto with_zero = [](const char* text) { return std::string(text, 4); };
  const std::map<std::string, std::string> hostile = {
      {"huge shape", entry_with(huge, "")},
      {"overflow behind a zero", entry_with(with_zero("\x12\x02\x08\x00") + huge + huge, "")},
      {"nine dimensions", entry_with(
                              [] {
                                std::string dims;
                                for (int i = 0; i < 9; ++i) dims += "\x12\x02\x08\x01";
                                return dims;
                              }(),
                              "\x28\x04")},
      {"negative size", entry_with("\x12\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "")},
      {"size that is not the shape's", entry_with("\x12\x02\x08\x02", "\x28\x04")},
      {"shard that is not there", entry_with("\x12\x02\x08\x01", "\x18\x05\x28\x04")},
      {"offset past the end", entry_with("\x12\x02\x08\x01", "\x20\x7f\x28\x04")},
      {"bytes of another tensor", entry_with("\x12\x02\x08\x01", "\x20\x02\x28\x04")},
      {"not an entry", "\xff\xff\xff"},
      {"slices without parts", entry_with("\x12\x02\x08\x02", "\x3a\x06\x0a\x04\x08\x00\x10\x01")},
  };
  for (const auto& [what, entry] : hostile) {
    Table table = good;
    table["hostile"] = entry;
    overwrite(dir / "m.index", build_table(table));
    const Error error = error_of([&] { BundleReader(dir / "m"); });
    EXPECT_EQ(error.code(), ErrorCode::kDataLoss) << what << ": " << error.what();
    EXPECT_THAT(error.what(), HasSubstr("\"hostile\"")) << what;
  }
  for (const std::string& header : {std::string("\x08\x01\x10\x01", 4),          // big-endian
                                    std::string("\x08\x01\x1a\x02\x10\x09", 6),  // min_consumer 9
                                    std::string()}) {                            // no shards
    Table table = good;
    table[""] = header;
    overwrite(dir / "m.index", build_table(table));
    EXPECT_EQ(error_of([&] { BundleReader(dir / "m"); }).code(), ErrorCode::kDataLoss);
  }
}

// A type that Trireme lacks does not make the other tensors unreadable.
TEST(TensorBundle, UnknownTypeIsNamedWhenRead) {
  TemporaryDirectory dir;
  overwrite(dir / "m.data-00000-of-00001", kTensorFlowData);
  Table table = read_table("index", kTensorFlowIndex);
  table["step"][1] = 8;  // DT_COMPLEX64
  overwrite(dir / "m.index", build_table(table));
  BundleReader reader(dir / "m");
  EXPECT_EQ(reader.read("dense/kernel").flat<float>()[0], 1);
  const Error error = error_of([&] { reader.read("step"); });
  EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.what(), HasSubstr("DT_COMPLEX64"));
}

TEST(TensorBundle, FullDiskKeepsThePreviousBundle) {
  TemporaryDirectory dir;
  if (::mount("tmpfs", dir.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "a file system of 1 MiB cannot be mounted here: " << std::strerror(errno);
  }
  const auto write = [&](int64_t elements) {
    BundleWriter writer(dir / "m");
    writer.add("x", Tensor::zeros(DType::kFloat32, {elements}));
    writer.finish();
  };
  write(100'000);
  const Error error = error_of([&] { write(200'000); });
  EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(BundleReader(dir / "m").read("x").elements(), 100'000);
  EXPECT_THAT(files_in(dir.path()), ElementsAre("m.data-00000-of-00001", "m.index"));
  EXPECT_EQ(::umount(dir.path().c_str()), 0);
}

}  // namespace
}  // namespace trireme::io
