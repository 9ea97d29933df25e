#include "core/data/cifar10.h"

#include <cstring>

#include "core/base/error.h"
#include "core/data/gzip_file.h"

namespace trireme::data {
namespace {

constexpr size_t kPlane = 32 * 32;
constexpr size_t kPixels = 3 * kPlane;

}  // namespace

std::vector<uint8_t> split_cifar10(std::span<uint8_t> data, std::string_view name) {
  if (data.size() % kCifarRecordBytes != 0) {
    throw data_loss(
        name,
        ": expected a multiple of 3073 bytes after unpacking (a label and 32×32×3 bytes an image), "
        "found ",
        data.size(), ": record ", data.size() / kCifarRecordBytes, " ends after ",
        data.size() % kCifarRecordBytes, " bytes");
  }
  std::vector<uint8_t> labels(data.size() / kCifarRecordBytes);
  uint8_t planes[kPixels];
  for (size_t i = 0; i < labels.size(); ++i) {
    const uint8_t* record = data.data() + i * kCifarRecordBytes;
    labels[i] = record[0];
    if (labels[i] > 9) {
      throw data_loss(name, ": expected a label below 10 at byte ", i * kCifarRecordBytes,
                      " (image ", i, "), found ", int{labels[i]});
    }
    // Image i ends before record i + 1 begins, so writing it destroys only records that were read.
    std::memcpy(planes, record + 1, kPixels);
    uint8_t* pixel = data.data() + i * kPixels;
    for (size_t j = 0; j < kPlane; ++j, pixel += 3) {
      pixel[0] = planes[j];
      pixel[1] = planes[kPlane + j];
      pixel[2] = planes[2 * kPlane + j];
    }
  }
  return labels;
}

LabeledImages read_cifar10(const std::vector<std::string>& paths) {
  if (paths.empty()) throw invalid_argument("cifar10: expected at least one file, found none");
  std::vector<FileBytes> files;
  std::vector<uint8_t> labels;
  for (const std::string& path : paths) {
    FileBytes& file = files.emplace_back(read_file(path));
    const auto own = split_cifar10({static_cast<uint8_t*>(file.buffer->data()), file.size}, path);
    labels.insert(labels.end(), own.begin(), own.end());
  }
  const auto n = static_cast<int64_t>(labels.size());
  LabeledImages result{.labels = Tensor::from<uint8_t>({n}, labels)};
  const Shape shape{n, 32, 32, 3};
  if (files.size() == 1) {
    result.images = Tensor(DType::kUInt8, shape, std::move(files[0].buffer));
    return result;
  }
  result.images = Tensor(DType::kUInt8, shape);
  auto* to = static_cast<uint8_t*>(result.images.raw());
  for (FileBytes& file : files) {
    const size_t bytes = file.size / kCifarRecordBytes * kPixels;
    std::memcpy(to, file.buffer->data(), bytes);
    to += bytes;
    file.buffer.reset();
  }
  return result;
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
