#include "core/io/safetensors.h"

#include <cstring>

#include "tests/core/io/files.h"

namespace trireme::io {
namespace {

using testing::HasSubstr;

// A file with this header and so many bytes of data.
std::string file_of(const std::string& header, size_t data) {
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + header + std::string(data, '\1');
}

class SafetensorsTest : public testing::Test {
 protected:
  Error error_of_file(const std::string& bytes) {
    overwrite(path_, bytes);
    return error_of([&] { SafetensorsReader(path_).read_all(); });
  }

  TemporaryDirectory directory_;
  std::string path_ = directory_ / "m.safetensors";
};

TEST_F(SafetensorsTest, GivesBackEveryTypeAndText) {
  std::map<std::string, Tensor> tensors = {
      {"a/kernel", Tensor::from<float>({2, 3}, {1, -2, 3, 0.5F, 1e-30F, 6})},
      {"b", Tensor::from<double>({1}, {1.0 / 3})},
      {"c", Tensor::from<int64_t>({}, {-5})},
      {"d", Tensor::from<int32_t>({0, 4}, std::vector<int32_t>{})},
      {"e", Tensor::from<uint8_t>({3}, {1, 2, 255})},
      {"\"ü\"\\\n", Tensor::from<bool>({2}, {true, false})},
      {"h", Tensor(DType::kFloat16, {2})},
      {"g", Tensor(DType::kBFloat16, {1, 2})}};
  std::memset(tensors.at("h").raw(), 0x3c, 4);
  std::memset(tensors.at("g").raw(), 0x3f, 4);
  const SafetensorsMetadata metadata = {{"format", "tf"}, {"job", "model {\n  \"ü\"\n}"}};
  write_safetensors(path_, tensors, metadata);
  EXPECT_TRUE(is_safetensors(path_));
  const SafetensorsReader reader(path_);
  EXPECT_EQ(reader.metadata(), metadata);
  const auto found = reader.read_all();
  ASSERT_EQ(found.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    ASSERT_EQ(found.at(name).type(), tensor.type()) << name;
    EXPECT_EQ(std::memcmp(found.at(name).raw(), tensor.raw(), tensor.bytes()), 0) << name;
  }
}

// Whoever maps the file may then use tensors where they are.
TEST_F(SafetensorsTest, AlignsEachTensorToItsElements) {
  write_safetensors(path_, {{"a", Tensor::from<uint8_t>({3}, {1, 2, 3})},
                            {"b", Tensor::from<int64_t>({1}, {1})},
                            {"c", Tensor::from<float>({1}, {1})}});
  uint64_t header = 0;
  std::memcpy(&header, contents(path_).data(), 8);
  EXPECT_EQ(header % 8, 0u);
  const auto entries = SafetensorsReader(path_).entries();
  EXPECT_EQ(entries.at("b").begin, 0u);
  EXPECT_EQ(entries.at("c").begin, 8u);
  EXPECT_EQ(entries.at("a").begin, 12u);
}

TEST_F(SafetensorsTest, RefusesAFileThatIsCutOffAnywhere) {
  write_safetensors(path_, {{"a", Tensor::from<float>({2}, {1, 2})}}, {{"k", "v"}});
  const std::string whole = contents(path_);
  for (size_t size = 0; size < whole.size(); ++size) {
    const Error error = error_of_file(whole.substr(0, size));
    EXPECT_EQ(error.code(), ErrorCode::kDataLoss) << size;
    EXPECT_THAT(error.what(), HasSubstr("m.safetensors: expected")) << size;
  }
}

// Each of these would otherwise be read as numbers that nobody wrote, or take memory without end.
TEST_F(SafetensorsTest, NamesWhatIsWrongWithAHeader) {
  const auto entry = [](const std::string& name, const std::string& shape, int begin, int end) {
    return str_cat("\"", name, "\":{\"dtype\":\"F32\",\"shape\":", shape, ",\"data_offsets\":[",
                   begin, ",", end, "]}");
  };
  const struct {
    std::string header;
    size_t data;
    std::string message;
  } cases[] = {
      {"{" + entry("a", "[2]", 0, 8) + "," + entry("b", "[1]", 4, 8) + "}", 8,
       "tensor \"b\": expected its data at byte 8"},
      {"{" + entry("a", "[2]", 0, 8) + "," + entry("b", "[1]", 12, 16) + "}", 16,
       "expected its data at byte 8"},
      {"{" + entry("a", "[2]", 0, 8) + "}", 9, "expected 8 bytes of tensors"},
      {"{" + entry("a", "[3]", 0, 8) + "}", 8, "expected 12 bytes"},
      {"{" + entry("a", "[2]", 8, 0) + "}", 8, "data_offsets [8, 0]"},
      {"{" + entry("a", "[4294967296,4294967296]", 0, 8) + "}", 8, "more than 2^64"},
      {"{" + entry("a", "[1,1,1,1,1,1,1,1,2]", 0, 8) + "}", 8, "at most 8 dimensions"},
      {"{" + entry("a", "[-2]", 0, 8) + "}", 8, "a negative number"},
      {"{" + entry("a", "[2]", 0, 8) + "," + entry("a", "[2]", 0, 8) + "}", 8, "is there twice"},
      {R"({"a":{"dtype":"F32","shape":[2]}})", 8, "found no data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", 8, "found \"x\""},
      {R"({"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", 8, "\"F31\""},
      {R"({"a":{"dtype":"I16","shape":[4],"data_offsets":[0,8]}})", 8, "\"a\" (I16)"},
      {R"({"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"I8")", 2, "JSON"},
      {R"({"__metadata__":{"a":1}})", 0, "found a number in \"__metadata__\""},
      {"{" + std::string(100000, '['), 0, "JSON"},
      {R"({"a":)" + std::string(100000, '['), 0, "found a list"},
      {R"({"a":)" + std::string(100000, '{'), 0, "JSON"},
      {"{} x", 0, "JSON"},
  };
  for (const auto& [header, data, message] : cases) {
    EXPECT_THAT(error_of_file(file_of(header, data)).what(), HasSubstr(message)) << header;
  }
  EXPECT_THAT(error_of_file(std::string(8, '\xff') + "{}").what(),
              HasSubstr("18446744073709551615"));
}

TEST_F(SafetensorsTest, RefusesABoolThatIsNeitherTrueNorFalse) {
  std::string bytes = file_of(R"({"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", 2);
  bytes.back() = '\2';
  EXPECT_THAT(error_of_file(bytes).what(), HasSubstr("neither 0 nor 1"));
}

TEST_F(SafetensorsTest, LeavesNoFileWhenATensorCannotBeWritten) {
  const std::map<std::string, Tensor> tensors = {
      {"a", Tensor::from<std::string>({1}, {std::string("text")})}};
  EXPECT_THAT(error_of([&] { write_safetensors(path_, tensors); }).what(), HasSubstr("\"a\""));
  EXPECT_TRUE(files_in(directory_.path()).empty());
}

}  // namespace
}  // namespace trireme::io
