#include "core/data/cifar10.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/data/byte_stream.h"
#include "core/io/growing_buffer.h"

namespace trireme::data {
namespace {

constexpr size_t kPlane = 32 * 32;
constexpr size_t kPixels = 3 * kPlane;

constexpr size_t kRecordsAtOnce = 256;

// Pixels, a channel beside the others, and labels of the files that were read.
class Records {
 public:
  Records(const std::string& name) : pixels_(name), labels_(name) {}

  void read(ByteStream& in) {
    if (in.size()) check_whole(*in.size(), in.name());
    std::vector<uint8_t> piece(kRecordsAtOnce * kCifarRecordBytes);
    for (uint64_t offset = 0;;) {
      const size_t got = in.read(piece);
      check_whole(offset + got, in.name());
      if (got == 0) return;
      for (size_t at = 0; at < got; at += kCifarRecordBytes, offset += kCifarRecordBytes) {
        add(&piece[at], offset, in.name());
      }
    }
  }

  LabeledImages take() {
    const auto n = static_cast<int64_t>(labels_.size());
    return {.images = Tensor(DType::kUInt8, {n, 32, 32, 3}, pixels_.take()),
            .labels = Tensor(DType::kUInt8, {n}, labels_.take())};
  }

 private:
  static void check_whole(uint64_t bytes, const std::string& name) {
    if (bytes % kCifarRecordBytes == 0) return;
    throw data_loss(
        name,
        ": expected a multiple of 3073 bytes after unpacking (a label and 32×32×3 bytes an image), "
        "found ",
        bytes, ": record ", bytes / kCifarRecordBytes, " ends after ", bytes % kCifarRecordBytes,
        " bytes");
  }

  void add(const uint8_t* record, uint64_t offset, const std::string& name) {
    if (record[0] > 9) {
      throw data_loss(name, ": expected a label below 10 at byte ", offset, " (image ",
                      offset / kCifarRecordBytes, "), found ", int{record[0]});
    }
    labels_.add(1)[0] = record[0];
    interleave_cifar10({record + 1, kPixels}, pixels_.add(kPixels));
  }

  io::GrowingBuffer pixels_, labels_;
};

}  // namespace

void interleave_cifar10(std::span<const uint8_t> planes, std::span<uint8_t> pixels) {
  uint8_t* pixel = pixels.data();
  for (size_t j = 0; j < kPlane; ++j, pixel += 3) {
    pixel[0] = planes[j];
    pixel[1] = planes[kPlane + j];
    pixel[2] = planes[2 * kPlane + j];
  }
}

LabeledImages read_cifar10(const std::vector<std::string>& paths) {
  if (paths.empty()) throw invalid_argument("cifar10: expected at least one file, found none");
  Records records(paths[0]);
  for (const std::string& path : paths) {
    ByteStream in(path);
    records.read(in);
  }
  return records.take();
}

LabeledImages parse_cifar10(std::span<const uint8_t> data, std::string_view name) {
  Records records{std::string(name)};
  ByteStream in(data, name);
  records.read(in);
  return records.take();
}

std::vector<std::string> cifar10_files(const std::string& directory, Split split) {
  if (split == Split::kTest) return {find_file(directory + "/test_batch.bin")};
  std::vector<std::string> paths{find_file(directory + "/data_batch_1.bin")};
  for (int i = 2; i <= 5; ++i) {
    if (auto found = locate_file(str_cat(directory, "/data_batch_", i, ".bin")))
      paths.push_back(*std::move(found));
  }
  return paths;
}

LabeledImages cifar10(const std::string& directory, Split split) {
  return read_cifar10(cifar10_files(directory, split));
}

}  // namespace trireme::data
