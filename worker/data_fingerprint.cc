#include "worker/data_fingerprint.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <vector>

#include "core/base/error.h"
#include "core/io/crc32c.h"
#include "worker/job_file.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kWhole = 64 << 20;
constexpr uint64_t kPieces = 64, kPiece = 64 << 10;

uint32_t checksum_of(const std::string& path, uint64_t size) {
  std::ifstream in(path, std::ios::binary);
  std::vector<char> buffer(1 << 20);
  uint32_t checksum = 0;
  const auto read = [&](uint64_t from, uint64_t count) {
    in.seekg(static_cast<std::streamoff>(from));
    while (count > 0) {
      const auto part = static_cast<std::streamsize>(std::min<uint64_t>(count, buffer.size()));
      if (!in.read(buffer.data(), part)) throw failed(path, " changed while it was read");
      checksum = io::crc32c_extend(checksum, buffer.data(), static_cast<size_t>(part));
      count -= static_cast<uint64_t>(part);
    }
  };
  if (size <= kWhole) {
    read(0, size);
  } else {
    for (uint64_t i = 0; i < kPieces; ++i) read((size - kPiece) / (kPieces - 1) * i, kPiece);
  }
  return checksum;
}

class Fingerprint {
 public:
  explicit Fingerprint(bool names_only) : names_only_(names_only) {}

  void add(const std::string& field, const std::string& path) {
    std::string& text = fields_[field];
    if (!text.empty()) text += "; ";
    text += fs::path(path).filename().string();
    std::error_code error;
    if (names_only_ || !fs::is_regular_file(path, error)) return;
    const uint64_t size = fs::file_size(path);
    std::array<char, 9> digits{};
    std::snprintf(digits.data(), digits.size(), "%08x", checksum_of(path, size));
    text += str_cat(" of ", size, " bytes, CRC-32C ", digits.data());
  }
  void add(const std::string& field, const data::Dataset& examples) {
    const int64_t count = examples.cardinality();
    if (count >= 0) fields_[field] = std::to_string(count);
  }
  std::map<std::string, std::string> take() { return std::move(fields_); }

 private:
  const bool names_only_;
  std::map<std::string, std::string> fields_;
};

}  // namespace

std::map<std::string, std::string> data_fingerprint(const JobFile& file, const JobData& data,
                                                    const std::string& data_dir) {
  const bool by_file = data.parts > 1;
  Fingerprint fingerprint(by_file);
  for (const data::SourceFile& read : file.data().files(source_context(file, data_dir))) {
    fingerprint.add(read.field, read.path);
  }
  if (!by_file) fingerprint.add("data: examples to train with", data.train);
  fingerprint.add("data: examples to validate with", data.validation);
  return fingerprint.take();
}

}  // namespace trireme
