// NumPy's files: every type and order comes out right, what is written is read, and damage is
// refused.
#include "core/data/npy.h"

#include <cstring>
#include <fstream>

#include "core/data/source.h"
#include "core/io/zip_reader.h"
#include "tests/core/data/files.h"
#include "tests/core/data/helpers.h"
#include "tests/support/option_texts.h"

namespace trireme::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A file of version 1 with this header.
Bytes npy(const std::string& header, const Bytes& values) {
  std::string text = header;
  text.append(63 - (10 + text.size()) % 64, ' ');
  text += '\n';
  return bytes_of(std::string("\x93NUMPY\1\0", 8) + static_cast<char>(text.size() & 0xff) +
                  static_cast<char>(text.size() >> 8) + text) +
         values;
}
Bytes npy(const std::string& type, const std::string& shape, const Bytes& values,
          bool fortran = false) {
  return npy("{'descr': '" + type + "', 'fortran_order': " + (fortran ? "True" : "False") +
                 ", 'shape': (" + shape + "), }",
             values);
}
template <typename T>
Bytes raw(std::initializer_list<T> values) {
  Bytes bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.begin(), bytes.size());
  return bytes;
}
Tensor parsed(const Bytes& bytes) { return parse_npy(bytes, "f"); }
std::string refusal(const Bytes& bytes) {
  return message_of([&] { parse_npy(bytes, "f"); });
}

using NpyTest = FileTest;

TEST_F(NpyTest, EveryTypeComesOut) {
  EXPECT_THAT(parsed(npy("<f4", "2,", raw<float>({1.5, -2}))).flat<float>(), ElementsAre(1.5, -2));
  EXPECT_THAT(parsed(npy("<f8", "1,", raw<double>({0.1}))).flat<double>(), ElementsAre(0.1));
  EXPECT_EQ(parsed(npy("<f2", "", {0, 0x3c})).as_double(0), 1);
  EXPECT_THAT(parsed(npy("|i1", "2,", {5, 0xff})).flat<int32_t>(), ElementsAre(5, -1));
  EXPECT_THAT(parsed(npy("<u2", "1,", {0xff, 0xff})).flat<int32_t>(), ElementsAre(65535));
  EXPECT_THAT(parsed(npy("<u4", "1,", {0xff, 0xff, 0xff, 0xff})).flat<int64_t>(),
              ElementsAre(4294967295));
  EXPECT_THAT(parsed(npy("|u1", "2,", {0, 255})).flat<uint8_t>(), ElementsAre(0, 255));
  EXPECT_THAT(parsed(npy("|b1", "2,", {2, 0})).flat<bool>(), ElementsAre(true, false));
  EXPECT_THAT(parsed(npy(">i4", "2,", {0, 0, 1, 2, 0xff, 0xff, 0xff, 0xfe})).flat<int32_t>(),
              ElementsAre(258, -2));
  EXPECT_THAT(parsed(npy("|S3", "2,", bytes_of(std::string("abcd\0\0", 6)))).flat<std::string>(),
              ElementsAre("abc", "d"));
  EXPECT_THAT(parsed(npy("<U1", "2,", raw<uint32_t>({0xe9, 0x1f600}))).flat<std::string>(),
              ElementsAre("é", "😀"));
  EXPECT_EQ(parsed(npy("<f4", "0, 3", {})).shape(), (Shape{0, 3}));
}

TEST_F(NpyTest, TheOrderOfAxesDoesNotMatter) {
  const Tensor tensor = parsed(npy("<i4", "2, 3", raw<int32_t>({1, 4, 2, 5, 3, 6}), true));
  EXPECT_EQ(tensor.shape(), (Shape{2, 3}));
  EXPECT_THAT(tensor.flat<int32_t>(), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_F(NpyTest, ReadsWhatItWrites) {
  for (const Tensor& tensor :
       {Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6}), Tensor::scalar<int64_t>(-7),
        Tensor::from<uint8_t>({3}, {1, 2, 3}), Tensor::zeros(DType::kBool, {0, 4})}) {
    write_npy(path("t.npy"), tensor);
    const Tensor read = read_npy(path("t.npy"));
    ASSERT_EQ(read.type(), tensor.type());
    EXPECT_EQ(read.to_string(), tensor.to_string());
  }
  EXPECT_THAT(message_of([&] { write_npy(path("s"), Tensor::scalar<std::string>("a")); }),
              HasSubstr("found string[]"));
}

TEST_F(NpyTest, SaysWhatIsWrong) {
  EXPECT_THAT(refusal(bytes_of("not an array at all")), HasSubstr("f: expected an array of NumPy"));
  EXPECT_THAT(refusal(npy("<f4", "3,", Bytes(8))),
              "f: expected 12 bytes of values (shape [3]), found 8; the file is cut off: copy it "
              "anew");
  EXPECT_THAT(refusal(npy("<f4", "1,", Bytes(8))), HasSubstr("expected 4 bytes of values"));
  EXPECT_THAT(refusal(npy("|O", "1,", Bytes(8))), HasSubstr("Python objects, which are programs"));
  EXPECT_THAT(refusal(npy("<c8", "1,", Bytes(8))), HasSubstr("complex"));
  EXPECT_THAT(refusal(npy("<f3", "1,", Bytes(3))), HasSubstr("cannot read the type \"<f3\""));
  EXPECT_THAT(refusal(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", {})),
              HasSubstr("found one of records"));
  EXPECT_THAT(refusal(npy("{'descr': '<f4', 'shape': (1,)}", {})), HasSubstr("expected a header"));
  EXPECT_THAT(refusal(npy("<u8", "1,", Bytes(8, 0xff))), HasSubstr("at most 2^63 - 1, found"));
  // Nothing is allocated for what a header says.
  EXPECT_THAT(refusal(npy("<f4", "4000000000, 4000000000, 4000000000", {})),
              HasSubstr("cannot be"));
  EXPECT_THAT(refusal(npy("<f4", "1000000000000", {})), HasSubstr("expected 4000000000000 bytes"));
  EXPECT_THAT(refusal(npy("<U0", "1000000000000", {})), HasSubstr("empty strings"));
  EXPECT_THAT(refusal(npy("<f4", "-1", {})), HasSubstr("expected a header"));
  Bytes long_header = npy("<f4", "1,", Bytes(4));
  long_header[6] = 2;
  long_header[11] = 0x7f;
  EXPECT_THAT(refusal(long_header), HasSubstr("expected a header of at most 65536 bytes"));
}

// An archive that Python's numpy.savez_compressed wrote; see tests/fuzz/make_seeds.
std::string seed(const std::string& name) {
  return std::string(TRIREME_SOURCE_DIR) + "/tests/fuzz/seeds/fuzz_data_npy/" + name;
}

TEST_F(NpyTest, ReadsArchivesStoredAndDeflated) {
  for (const char* name : {"savez", "savez_compressed"}) {
    const NpzFile file(seed(name));
    EXPECT_THAT(file.names(), ElementsAre("f4", "big", "s", "fortran", "b"));
    EXPECT_THAT(file.read("f4").flat<float>(), ElementsAre(1, 1, 1, 1, 1, 1));
    EXPECT_THAT(file.read("big").flat<int32_t>(), ElementsAre(0, 1, 2));
    EXPECT_THAT(file.read("s").flat<std::string>(), ElementsAre("ab", "ü"));
    EXPECT_THAT(file.read("fortran").flat<double>(), ElementsAre(0, 1, 2, 3, 4, 5));
    EXPECT_THAT(message_of([&] { file.read("x"); }),
                HasSubstr("there is no array \"x\"; it has \"f4\", \"big\", \"s\""));
  }
}

// Whichever byte of an archive is wrong, its arrays are the same or there is an error.
TEST_F(NpyTest, DamageOfAnArchiveIsNamed) {
  std::ifstream in(seed("savez_compressed"), std::ios::binary);
  const Bytes good(std::istreambuf_iterator<char>(in), {});
  const auto all = [&](const Bytes& bytes) {
    std::string text;
    const NpzFile file(write("bad.npz", bytes));
    for (const std::string& name : file.names()) text += file.read(name).to_string();
    return text;
  };
  const std::string right = all(good);
  for (size_t at = 0; at < good.size(); at += 3) {
    Bytes bad = good;
    bad[at] ^= 0x10;
    try {
      EXPECT_EQ(all(bad), right) << at;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("bad.npz")) << at;
      EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
    }
  }
  for (size_t size = 0; size < good.size(); size += 13) {
    EXPECT_THAT(message_of([&] {
                  all({good.begin(), good.begin() + size});
                }),
                HasSubstr("bad.npz"));
  }
}

TEST_F(NpyTest, ASourceOfArraysTakesTheFormThatTheLossAsksFor) {
  write_npy(path("x.npy"), Tensor::from<uint8_t>({4, 2}, {0, 255, 1, 2, 3, 4, 5, 6}));
  write_npy(path("y.npy"), Tensor::from<int64_t>({4}, {3, 2, 1, 0}));
  const auto build = [&](LabelUse use, const test::OptionTexts& more = {}) {
    Catalog<Source> catalog;
    register_core_sources(catalog);
    const auto source = catalog.make("npy");
    test::OptionTexts options = {{"features", path("x.npy")}, {"labels", path("y.npy")}};
    options.insert(more.begin(), more.end());
    test::with_options(*source, options);
    SourceContext context;
    context.labels = use;
    return source->build(context);
  };
  const SourceData data =
      build(LabelUse::kClass, {{"scale", "0.5"}, {"validation_fraction", "0.5"}});
  EXPECT_EQ(data.train.cardinality(), 2);
  Element element;
  data.train.iterator().next(element);
  EXPECT_THAT(element[0].flat<float>(), ElementsAre(0, 127.5));
  EXPECT_EQ(element[1].item<int64_t>(), 3);
  build(LabelUse::kNumber).train.iterator().next(element);
  EXPECT_EQ(element[1].type(), (TensorType{DType::kFloat32, {1}}));
  EXPECT_EQ(element[1].flat<float>()[0], 3);
  write_npy(path("y.npy"), Tensor::from<int64_t>({3}, {3, 2, 1}));
  EXPECT_THAT(message_of([&] { build(LabelUse::kClass); }),
              HasSubstr("expected a label for each of the 4 rows of "));
}

}  // namespace
}  // namespace trireme::data
