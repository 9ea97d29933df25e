#include "core/data/idx.h"

#include "core/base/error.h"
#include "core/data/gzip_file.h"

namespace trireme::data {
namespace {

uint32_t big_endian(std::span<const uint8_t> data, size_t at) {
  return static_cast<uint32_t>(data[at]) << 24 | static_cast<uint32_t>(data[at + 1]) << 16 |
         static_cast<uint32_t>(data[at + 2]) << 8 | data[at + 3];
}

// "60000 images of 28×28", "60000 labels".
std::string describe(const Shape& shape) {
  if (shape.rank() == 1) return str_cat(shape[0], " labels");
  std::string text = str_cat(shape[0], " images of ");
  for (int i = 1; i < shape.rank(); ++i) text += str_cat(i > 1 ? "×" : "", shape[i]);
  return text;
}

}  // namespace

IdxHeader parse_idx(std::span<const uint8_t> data, int rank, std::string_view name) {
  IdxHeader header;
  header.offset = 4 + 4 * static_cast<size_t>(rank);
  if (data.size() < header.offset) {
    throw data_loss(name, ": expected an IDX header of ", header.offset,
                    " bytes, the file ends at ", data.size());
  }
  const uint32_t expected = 0x0800u + static_cast<uint32_t>(rank);
  if (const uint32_t magic = big_endian(data, 0); magic != expected) {
    throw data_loss(name, ": expected the magic number ", expected,
                    " of an IDX file of bytes with ", rank,
                    rank == 1 ? " dimension (labels)" : " dimensions (images)", ", found ", magic,
                    " at byte 0");
  }
  uint64_t bytes = 1;
  bool overflow = false, empty = false;
  for (int i = 0; i < rank; ++i) {
    const uint32_t size = big_endian(data, 4 + 4 * static_cast<size_t>(i));
    header.shape.push_back(size);
    overflow = overflow || __builtin_mul_overflow(bytes, size, &bytes);
    empty = empty || (size == 0 && i > 0);
  }
  if (overflow || empty || bytes > static_cast<uint64_t>(INT64_MAX) - header.offset) {
    throw data_loss(name, ": the sizes in its header cannot be: ", describe(header.shape));
  }
  bytes += header.offset;
  if (data.size() < bytes) {
    throw data_loss(name, ": expected ", bytes, " bytes after unpacking (", describe(header.shape),
                    "), the file ends at ", data.size());
  }
  if (data.size() > bytes) {
    throw data_loss(name, ": expected ", bytes, " bytes after unpacking (", describe(header.shape),
                    "), found ", data.size() - bytes, " bytes more");
  }
  return header;
}

Tensor read_idx_images(const std::string& path) {
  FileBytes file = read_file(path);
  IdxHeader header = parse_idx(file.bytes(), 3, path);
  header.shape.push_back(1);
  return Tensor(DType::kUInt8, header.shape, std::move(file.buffer), header.offset);
}

Tensor read_idx_labels(const std::string& path, int64_t classes) {
  FileBytes file = read_file(path);
  const IdxHeader header = parse_idx(file.bytes(), 1, path);
  Tensor labels(DType::kUInt8, header.shape, std::move(file.buffer), header.offset);
  const auto values = labels.flat<uint8_t>();
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] >= classes) {
      throw data_loss(path, ": expected labels below ", classes, ", found ", int{values[i]},
                      " at byte ", header.offset + i);
    }
  }
  return labels;
}

LabeledImages mnist(const std::string& directory, Split split) {
  const std::string prefix = directory + (split == Split::kTrain ? "/train" : "/t10k");
  const std::string image_path = find_file(prefix + "-images-idx3-ubyte");
  const std::string label_path = find_file(prefix + "-labels-idx1-ubyte");
  LabeledImages data{read_idx_images(image_path), read_idx_labels(label_path)};
  if (data.images.shape()[0] != data.size()) {
    throw data_loss(label_path, ": expected a label for each of the ", data.images.shape()[0],
                    " images of ", image_path, ", found ", data.size());
  }
  return data;
}

}  // namespace trireme::data
