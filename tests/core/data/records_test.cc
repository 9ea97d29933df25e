// TFRecord files and the messages in them: what is written is read, TensorFlow's bytes are, and no
// damage goes unseen or takes memory.
#include <sys/resource.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "core/data/example_parser.h"
#include "core/data/example_writer.h"
#include "core/data/find_data.h"
#include "core/data/record_set.h"
#include "core/data/tfrecord.h"
#include "core/io/crc32c.h"
#include "core/io/varint.h"
#include "tests/core/data/files.h"
#include "tests/core/data/helpers.h"

namespace trireme::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using trireme::testing::run;

using RecordsTest = FileTest;

Bytes contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

std::vector<std::string> read_all(const std::string& path, RecordOptions options = {}) {
  std::vector<std::string> records;
  RecordReader reader(path, options);
  for (std::string_view record; reader.next(record);) records.emplace_back(record);
  return records;
}

std::vector<std::string> read_by_number(const std::vector<std::string>& paths,
                                        RecordOptions options = {}) {
  const RecordSet set(paths, options);
  std::vector<std::string> records;
  RecordBuffer buffer;
  for (int64_t i = 0; i < set.size(); ++i) records.emplace_back(set.read(i, buffer));
  // In another order, too.
  for (int64_t i = set.size() - 1; i >= 0; --i) {
    EXPECT_EQ(set.read(i, buffer), records[static_cast<size_t>(i)]);
  }
  return records;
}

void write_records(const std::string& path, const std::vector<std::string>& records,
                   Packing packing = Packing::kNone) {
  RecordWriter writer(path, packing);
  for (const std::string& record : records) writer.write(record);
  writer.close();
}

// A header with a right checksum.
Bytes header(uint64_t length) {
  Bytes bytes(io::kRecordHeaderBytes);
  std::memcpy(bytes.data(), &length, 8);
  const uint32_t crc = io::mask_crc(io::crc32c({reinterpret_cast<const char*>(bytes.data()), 8}));
  std::memcpy(bytes.data() + 8, &crc, 4);
  return bytes;
}

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

// Records of all sizes around those of the pieces that files are read in.
std::vector<std::string> records_of_many_sizes() {
  std::vector<std::string> records;
  std::mt19937 random(1);
  for (const size_t size :
       {0, 1, 7, 100, 65'520, 65'536, 100'000, (1 << 20) - 16, 1 << 20, 3'000'000, 5, 0}) {
    std::string record(size, '\0');
    for (char& byte : record) byte = static_cast<char>(random());
    records.push_back(std::move(record));
  }
  for (int i = 0; i < 20'000; ++i) records.push_back(std::to_string(i));
  return records;
}

TEST_F(RecordsTest, ReadsWhatItWrites) {
  const std::vector<std::string> records = records_of_many_sizes();
  for (const Packing packing : {Packing::kNone, Packing::kGzip, Packing::kZlib}) {
    const std::string file = path("r");
    write_records(file, records, packing);
    EXPECT_EQ(read_all(file), records);
    EXPECT_EQ(read_all(file, {.packing = packing}), records);
    EXPECT_EQ(RecordReader(file).packing(), packing);
    EXPECT_EQ(read_by_number({file}), records);
  }
}

// The bytes are what tf.io.TFRecordWriter of TensorFlow 2.21 wrote for the same two records.
constexpr char kTensorFlowFile[] =
    "3b000000000000001a23ac5c0a390a150a016e12101a0e0a0cffffffffffffffffff01ac020a0d0a017312080a060a"
    "0261620a000a110a0178120c120a0a080000c03f000000c0a05754ce000000000000000029039807d8ea82a2";
constexpr char kTensorFlowSequence[] =
    "0a0d0a0b0a02696412051a030a010712230a210a0176121c0a0c120a0a080000803f000000400a0c120a0a08000040"
    "4000008040";

TEST_F(RecordsTest, WritesAndReadsTensorFlowsBytes) {
  ExampleWriter example;
  example.add("n", Tensor::from<int64_t>({2}, {-1, 300}));
  example.add("s", Tensor::from<std::string>({2}, {"ab", ""}));
  example.add("x", Tensor::from<float>({2}, {1.5, -2}));
  write_records(path("r"), {example.finish(), ""});
  EXPECT_EQ(contents(path("r")), bytes_of(from_hex(kTensorFlowFile)));

  example.add("id", Tensor::scalar<int64_t>(7));
  example.add_steps("v", Tensor::from<float>({2, 2}, {1, 2, 3, 4}));
  EXPECT_EQ(example.finish(), from_hex(kTensorFlowSequence));
}

TEST_F(RecordsTest, ANumberIsAPlaceInTheFilesOneAfterAnother) {
  write_records(path("a"), {"0", "1"});
  write_records(path("none"), {});
  write_records(path("b"), {"2", "3", "4"}, Packing::kGzip);
  const auto set = std::make_shared<const RecordSet>(
      std::vector<std::string>{path("a"), path("none"), path("b")});
  ASSERT_EQ(set->size(), 5);
  EXPECT_EQ(set->place(1), path("a") + ": record 1 at byte 17");
  EXPECT_EQ(set->place(4), path("b") + ": record 2 at byte 34");
  Iterator iterator = from_records(set).shuffle(1).iterator();
  std::vector<std::string> seen;
  for (Element element; iterator.next(element);) {
    seen.push_back(element[0].item<std::string>());
  }
  std::ranges::sort(seen);
  EXPECT_THAT(seen, ElementsAre("0", "1", "2", "3", "4"));
}

TEST_F(RecordsTest, PatternsFindFilesInTheOrderOfTheirNames) {
  for (const char* name : {"t-2", "t-10", "t-1", "u-1"}) write_records(path(name), {name});
  std::filesystem::create_directory(path("t-3"));
  EXPECT_THAT(find_data_files("t-*", directory_),
              ElementsAre(path("t-1"), path("t-10"), path("t-2")));
  EXPECT_THAT(find_data_files(path("t-[12]"), ""), ElementsAre(path("t-1"), path("t-2")));
  EXPECT_THAT(find_data_files("u-1", directory_), ElementsAre(path("u-1")));
  EXPECT_THAT(message_of([&] { find_data_files("x-*", directory_); }),
              HasSubstr("there is no x-*; looked for " + path("x-*")));
}

// Whatever byte is wrong, and in whatever way, no other record comes out.
TEST_F(RecordsTest, EveryChangedByteIsFound) {
  write_records(path("r"), {"abc", "", "defgh"});
  const Bytes good = contents(path("r"));
  for (size_t at = 0; at < good.size(); ++at) {
    for (const int bit : {0, 3, 7}) {
      Bytes bad = good;
      bad[at] = static_cast<uint8_t>(bad[at] ^ 1 << bit);
      const std::string file = write("bad", bad);
      for (const Packing packing : {Packing::kNone, Packing::kDetect}) {
        EXPECT_THAT(message_of([&] { read_all(file, {.packing = packing}); }),
                    StartsWith(file + ": "))
            << at;
        EXPECT_THAT(message_of([&] { read_by_number({file}, {.packing = packing}); }),
                    StartsWith(file + ": "))
            << at;
      }
    }
  }
}

TEST_F(RecordsTest, EveryCutIsFoundButAtTheEndOfARecord) {
  for (const Packing packing : {Packing::kNone, Packing::kGzip, Packing::kZlib}) {
    write_records(path("r"), {"abc", "", "defgh"}, packing);
    const Bytes good = contents(path("r"));
    for (size_t size = 1; size < good.size(); ++size) {
      const std::string file = write("cut", {good.begin(), good.begin() + size});
      if (packing == Packing::kNone && (size == 19 || size == 35)) {
        EXPECT_EQ(read_all(file).size(), size == 19 ? 1 : 2);
        EXPECT_EQ(read_by_number({file}).size(), size == 19 ? 1 : 2);
        continue;
      }
      const RecordOptions options{.packing = packing};
      EXPECT_THAT(message_of([&] { read_all(file, options); }), StartsWith(file + ": ")) << size;
      EXPECT_THAT(message_of([&] { read_by_number({file}, options); }), StartsWith(file + ": "))
          << size;
    }
  }
}

TEST_F(RecordsTest, NamesFileRecordOffsetAndChecksums) {
  write_records(path("r"), {"abc", "defgh"});
  Bytes bytes = contents(path("r"));
  bytes[19 + 12 + 2] ^= 1;
  const std::string file = write("bad", bytes);
  const auto damage =
      AllOf(StartsWith(file + ": record 1 at byte 19: expected the CRC-32C 0x"),
            HasSubstr(" of the record's bytes, computed 0x"), HasSubstr("copy it anew"));
  EXPECT_THAT(message_of([&] { read_all(file); }), damage);
  EXPECT_THAT(message_of([&] { read_by_number({file}); }), damage);
  bytes.resize(30);
  EXPECT_THAT(
      message_of([&] { read_all(write("cut", bytes)); }),
      HasSubstr("cut: record 1 at byte 19: expected 12 bytes of a length and its checksum"));
  EXPECT_THAT(message_of([&] { read_all(write("zip", bytes_of("PK\3\4 and so on")), {}); }),
              HasSubstr("found zip"));
  EXPECT_THAT(message_of([&] { read_all(write("text", bytes_of("a line of text\n")), {}); }),
              HasSubstr("text: record 0 at byte 0: expected the CRC-32C"));
  EXPECT_THAT(message_of([&] { read_all(path("r"), {.packing = Packing::kGzip}); }),
              HasSubstr("expected data packed with gzip, found other bytes at byte 0"));
  EXPECT_THAT(message_of([&] { read_all(path("r"), {.packing = Packing::kZlib}); }),
              HasSubstr("expected data packed with zlib, found other bytes at byte 0"));
}

// A length is refused before anything is allocated for it, or when the bytes are not there.
TEST_F(RecordsTest, ALengthThatCannotBeTakesNoMemory) {
  const auto peak_kib = [] {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  // What unpacks to a record of 200 MB of which nearly nothing is there.
  const Bytes promises = gzip(header(200'000'000) + Bytes(1 << 20));
  const auto before = peak_kib();
  for (const uint64_t length :
       {uint64_t{1} << 32, uint64_t(-1), uint64_t{1} << 63, kMaxRecordBytes + 1}) {
    for (const bool packed : {false, true}) {
      const Bytes bytes = header(length) + Bytes(100);
      const std::string file = write("large", packed ? gzip(bytes) : bytes);
      const auto refused =
          StartsWith(str_cat(file,
                             ": record 0 at byte 0: expected at most 268435456 bytes "
                             "(max_record_bytes), its length says ",
                             length));
      EXPECT_THAT(message_of([&] { read_all(file); }), refused);
      EXPECT_THAT(message_of([&] { read_by_number({file}); }), refused);
    }
  }
  const std::string file = write("promises", promises);
  EXPECT_THAT(
      message_of([&] { read_all(file); }),
      HasSubstr("expected 200000000 bytes and their checksum, the file ends after 1048576"));
  EXPECT_THAT(message_of([&] { read_by_number({file}); }),
              HasSubstr("the file ends after 1048576"));
  EXPECT_LT(peak_kib() - before, 24 << 10);
}

// --- messages

std::string field(uint32_t number, const std::string& bytes) {
  std::string out;
  io::append_varint(out, number << 3 | 2);
  io::append_varint(out, bytes.size());
  return out + bytes;
}
std::string entry(const std::string& key, const std::string& value) {
  return field(1, field(1, key) + field(2, value));
}

std::shared_ptr<FixedFeature> fixed(const std::string& name, FeatureType type,
                                    std::vector<int64_t> shape = {}) {
  auto feature = std::make_shared<FixedFeature>();
  feature->name = name;
  feature->dtype = type;
  feature->shape = std::move(shape);
  return feature;
}

TEST_F(RecordsTest, ParsesTensorFlowsExample) {
  const std::string record = from_hex(kTensorFlowFile).substr(12, 59);
  const ExampleParser parser({fixed("x", FeatureType::kFloat32, {2}),
                              fixed("s", FeatureType::kString, {2}),
                              fixed("n", FeatureType::kInt64, {2})});
  Element element;
  parser.parse(record, element);
  EXPECT_THAT(element[0].flat<float>(), ElementsAre(1.5, -2));
  EXPECT_THAT(element[1].flat<std::string>(), ElementsAre("ab", ""));
  EXPECT_THAT(element[2].flat<int64_t>(), ElementsAre(-1, 300));
}

TEST_F(RecordsTest, ParsesTensorFlowsSequenceExample) {
  const auto steps = std::make_shared<SequenceFeature>();
  steps->name = "v";
  steps->shape = {2};
  Element element;
  ExampleParser({steps, fixed("id", FeatureType::kInt32)})
      .parse(from_hex(kTensorFlowSequence), element);
  EXPECT_EQ(element[0].shape(), (Shape{2, 2}));
  EXPECT_THAT(element[0].flat<float>(), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(element[1].item<int32_t>(), 7);

  steps->length.max_length = 3;
  steps->length.padding = -1;
  ExampleParser({steps}).parse(from_hex(kTensorFlowSequence), element);
  EXPECT_EQ(element[0].shape(), (Shape{3, 2}));
  EXPECT_THAT(element[0].flat<float>(), ElementsAre(1, 2, 3, 4, -1, -1));
  steps->length.max_length = 1;
  EXPECT_THAT(
      message_of([&] { ExampleParser({steps}).parse(from_hex(kTensorFlowSequence), element); }),
      "feature \"v\": expected at most 1 (max_length), found 2; raise max_length, or set "
      "truncate: true");
  steps->length.truncate = true;
  ExampleParser({steps}).parse(from_hex(kTensorFlowSequence), element);
  EXPECT_THAT(element[0].flat<float>(), ElementsAre(1, 2));
}

// Forms that no writer of today makes, but protobuf allows.
TEST_F(RecordsTest, ParsesEveryFormOfTheWire) {
  const auto parse = [](const std::string& features, FeatureType type, int64_t size) {
    Element element;
    ExampleParser({fixed("x", type, {size})}).parse(field(1, features), element);
    return element[0];
  };
  const std::string floats = from_hex("0d0000803f") + field(1, from_hex("0000004000004040"));
  EXPECT_THAT(parse(entry("x", field(2, floats)), FeatureType::kFloat32, 3).flat<float>(),
              ElementsAre(1, 2, 3));
  const std::string integers = from_hex("0805") + field(1, from_hex("ac0207")) + from_hex("0800");
  EXPECT_THAT(parse(entry("x", field(3, integers)), FeatureType::kInt32, 4).flat<int32_t>(),
              ElementsAre(5, 300, 7, 0));
  // Integers as floats, exactly.
  EXPECT_THAT(parse(entry("x", field(3, integers)), FeatureType::kFloat32, 4).flat<float>(),
              ElementsAre(5, 300, 7, 0));
  // The value before the key; unknown fields of every type; a name twice, of which the last counts.
  const std::string value = field(2, field(3, from_hex("0801")));
  const std::string unknown = from_hex("207f") + from_hex("290102030405060708") +
                              field(6, "something") + from_hex("3d01020304");
  const std::string mixed = entry("x", field(3, from_hex("0802"))) +
                            field(1, value + unknown + field(1, "x")) + entry("y", "") + unknown;
  Element element;
  ExampleParser({fixed("x", FeatureType::kInt64)}).parse(unknown + field(1, mixed), element);
  EXPECT_EQ(element[0].item<int64_t>(), 1);
}

// Lengths of one, two and three bytes, which are read in different ways.
TEST_F(RecordsTest, ParsesListsOfEveryLength) {
  for (const int64_t size : {1, 30, 31, 32, 126, 127, 128, 4000, 4096, 70'000}) {
    Tensor floats(DType::kFloat32, {size}), integers(DType::kInt64, {size});
    for (int64_t i = 0; i < size; ++i) {
      floats.flat<float>()[static_cast<size_t>(i)] = static_cast<float>(i) / 3;
      integers.flat<int64_t>()[static_cast<size_t>(i)] = i * i - 5;
    }
    ExampleWriter writer;
    writer.add("i", integers);
    writer.add("f", floats);
    writer.add(std::string(200, 'n'), Tensor::scalar<int64_t>(7));
    Element element;
    ExampleParser({fixed("f", FeatureType::kFloat32, {size}),
                   fixed("i", FeatureType::kInt64, {size}),
                   fixed(std::string(200, 'n'), FeatureType::kInt64)})
        .parse(writer.finish(), element);
    EXPECT_TRUE(std::ranges::equal(element[0].flat<float>(), floats.flat<float>())) << size;
    EXPECT_TRUE(std::ranges::equal(element[1].flat<int64_t>(), integers.flat<int64_t>())) << size;
    EXPECT_EQ(element[2].item<int64_t>(), 7);
  }
}

TEST_F(RecordsTest, SaysWhatOfAFeatureDoesNotFit) {
  ExampleWriter writer;
  writer.add("x", Tensor::from<float>({3}, {1, 2, 3}));
  writer.add("large", Tensor::scalar<int64_t>((int64_t{1} << 40) + 1));
  writer.add_bytes("raw", "abc");
  const std::string record = writer.finish();
  const auto message = [&](const std::shared_ptr<const Feature>& feature) {
    return message_of([&] {
      Element element;
      ExampleParser({feature}).parse(record, element);
    });
  };
  EXPECT_EQ(message(fixed("x", FeatureType::kFloat32, {2, 2})),
            "feature \"x\": expected 4 values (shape [2, 2]), found 3");
  EXPECT_EQ(message(fixed("x", FeatureType::kInt64, {3})),
            "feature \"x\": expected a list of integers, found a list of floats");
  EXPECT_EQ(message(fixed("x", FeatureType::kString, {3})),
            "feature \"x\": expected a list of strings, found a list of floats");
  EXPECT_EQ(message(fixed("z", FeatureType::kFloat32)),
            "feature \"z\": the record has none, and there is no default");
  EXPECT_THAT(message(fixed("large", FeatureType::kInt32)), HasSubstr("found 1099511627777"));
  EXPECT_THAT(message(fixed("large", FeatureType::kFloat32)), HasSubstr("found 1099511627777"));
  const auto raw = std::make_shared<RawFeature>();
  raw->name = "raw";
  raw->shape = {4};
  EXPECT_EQ(message(raw), "feature \"raw\": expected 4 bytes (shape [4]), found 3");
  for (const std::string& damaged : {record.substr(0, record.size() - 1), std::string("\x0a\xff"),
                                     std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
                                     std::string("\x0b"), std::string("\x00\x01", 2)}) {
    EXPECT_THAT(message_of([&] {
                  Element element;
                  ExampleParser({fixed("x", FeatureType::kFloat32)}).parse(damaged, element);
                }),
                HasSubstr("found bytes that are no such message"));
  }
}

TEST_F(RecordsTest, DefaultsStandForWhatIsMissing) {
  const auto with = [](std::vector<double> values, std::vector<int64_t> shape) {
    auto feature = fixed("x", FeatureType::kFloat32, std::move(shape));
    feature->default_value = std::move(values);
    return feature;
  };
  auto text = fixed("t", FeatureType::kString);
  text->default_text = {"none"};
  const auto list = std::make_shared<VariableFeature>();
  list->name = "list";
  Element element;
  ExampleParser({with({2}, {2}), text, list}).parse("", element);
  EXPECT_THAT(element[0].flat<float>(), ElementsAre(2, 2));
  EXPECT_EQ(element[1].item<std::string>(), "none");
  EXPECT_EQ(element[2].shape(), (Shape{0}));
  ExampleParser({with({2, 3}, {2})}).parse(field(1, entry("x", "")), element);
  EXPECT_THAT(element[0].flat<float>(), ElementsAre(2, 3));
  EXPECT_THAT(message_of([&] {
                with({1, 2}, {3})->check();
              }),
              HasSubstr("expected one default or 3, found 2"));
}

TEST_F(RecordsTest, ExamplesOfDifferentLengthsComeAsTheyAre) {
  RecordWriter file(path("r"));
  for (int64_t n = 0; n < 4; ++n) {
    ExampleWriter writer;
    writer.add("list", Tensor(DType::kInt64, {n}));
    file.write(writer.finish());
  }
  file.close();
  const auto list = std::make_shared<VariableFeature>();
  list->name = "list";
  const Dataset examples = tfrecord_examples({path("r")}, {list});
  EXPECT_EQ(examples.element_spec()[0].shape, (Shape{-1}));
  EXPECT_EQ(examples.cardinality(), 4);
  Iterator iterator = examples.iterator();
  Element element;
  for (int64_t n = 0; n < 4; ++n) {
    ASSERT_TRUE(iterator.next(element));
    EXPECT_EQ(element[0].shape(), (Shape{n}));
  }
}

// A record that does not fit is named by its place, however it is reached.
TEST_F(RecordsTest, AnExampleThatDoesNotFitIsNamed) {
  RecordWriter file(path("r"));
  for (int64_t n = 1; n < 4; ++n) {
    ExampleWriter writer;
    writer.add("x", Tensor::zeros(DType::kFloat32, {n == 3 ? 2 : 1}));
    file.write(writer.finish());
  }
  file.close();
  Iterator iterator =
      tfrecord_examples({path("r")}, {fixed("x", FeatureType::kFloat32)}).batch(2).iterator();
  Element element;
  ASSERT_TRUE(iterator.next(element));
  EXPECT_THAT(
      message_of([&] { iterator.next(element); }),
      HasSubstr("r: record 2 at byte 66: feature \"x\": expected 1 values (shape []), found "
                "2"));
}

}  // namespace
}  // namespace trireme::data
