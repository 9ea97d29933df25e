#include "worker/data_fingerprint.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <vector>

#include "core/base/error.h"
#include "core/data/cifar10.h"
#include "core/io/crc32c.h"
#include "proto/job.pb.h"

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

// Under its own name or with .gz, as the readers look for it.
void add_packed_or_not(const std::string& field, const fs::path& path, Fingerprint& fingerprint) {
  for (const std::string suffix : {"", ".gz"}) {
    if (!fs::exists(path.string() + suffix)) continue;
    fingerprint.add(field, path.string() + suffix);
    return;
  }
}

void add_files(const job::Data& data, const std::string& data_dir, Fingerprint& fingerprint) {
  const auto find = [&](const std::string& name) { return find_data(name, data_dir); };
  const auto add_all = [&](const std::string& field, const auto& names) {
    for (const std::string& name : names) fingerprint.add(field, find(name));
  };
  if (data.has_mnist()) {
    const std::string& folder = data.mnist().directory();
    const fs::path path = find(folder.empty() ? "mnist" : folder);
    for (const char* name : {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                             "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"}) {
      add_packed_or_not("data.mnist.directory", path / name, fingerprint);
    }
  } else if (data.has_cifar10()) {
    const job::Cifar10& cifar = data.cifar10();
    const fs::path path = find(cifar.directory().empty() ? "cifar10" : cifar.directory());
    const auto add_split = [&](const std::string& field, const auto& names, data::Split split) {
      for (const std::string& name : names) fingerprint.add(field, path / name);
      if (!names.empty()) return;
      for (const std::string& file : data::cifar10_files(path, split)) fingerprint.add(field, file);
    };
    add_split("data.cifar10.train_files", cifar.train_files(), data::Split::kTrain);
    add_split("data.cifar10.test_files", cifar.test_files(), data::Split::kTest);
  } else if (data.has_csv() && !data.csv().file().empty()) {
    fingerprint.add("data.csv.file", find(data.csv().file()));
  } else if (data.has_reviews() && !data.reviews().train_file().empty()) {
    fingerprint.add("data.reviews.train_file", find(data.reviews().train_file()));
    fingerprint.add("data.reviews.test_file", find(data.reviews().test_file()));
  } else if (data.has_criteo()) {
    add_all("data.criteo.train_files", data.criteo().train_files());
    add_all("data.criteo.validation_files", data.criteo().validation_files());
  }
}

}  // namespace

std::map<std::string, std::string> data_fingerprint(const job::Job& job, const JobData& data,
                                                    const std::string& data_dir) {
  const bool by_file = data.parts > 1;
  Fingerprint fingerprint(by_file);
  add_files(job.data(), data_dir, fingerprint);
  if (!by_file) fingerprint.add("data: examples to train with", data.train);
  fingerprint.add("data: examples to validate with", data.validation);
  return fingerprint.take();
}

}  // namespace trireme
