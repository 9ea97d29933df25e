#include "core/data/idx.h"

#include <algorithm>
#include <array>

#include "core/base/error.h"
#include "core/data/byte_stream.h"
#include "core/io/growing_buffer.h"

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

size_t header_bytes(int rank) { return 4 + 4 * static_cast<size_t>(rank); }

// [n, …] as the header says; its elements may not be there.
Shape parse_header(std::span<const uint8_t> header, int rank, const std::string& name) {
  const uint32_t expected = 0x0800u + static_cast<uint32_t>(rank);
  if (const uint32_t magic = big_endian(header, 0); magic != expected) {
    throw data_loss(name, ": expected the magic number ", expected,
                    " of an IDX file of bytes with ", rank,
                    rank == 1 ? " dimension (labels)" : " dimensions (images)", ", found ", magic,
                    " at byte 0");
  }
  Shape shape;
  uint64_t bytes = 1;
  bool overflow = false, empty = false;
  for (int i = 0; i < rank; ++i) {
    const uint32_t size = big_endian(header, 4 + 4 * static_cast<size_t>(i));
    shape.push_back(size);
    overflow = overflow || __builtin_mul_overflow(bytes, size, &bytes);
    empty = empty || (size == 0 && i > 0);
  }
  if (overflow || empty || bytes > static_cast<uint64_t>(INT64_MAX) - header.size()) {
    throw data_loss(name, ": the sizes in its header cannot be: ", describe(shape));
  }
  return shape;
}

Tensor read(ByteStream& in, int rank) {
  std::array<uint8_t, 4 + 4 * Shape::kMaxRank> space;
  const std::span<uint8_t> header = std::span(space).first(header_bytes(rank));
  if (const size_t got = in.read(header); got < header.size()) {
    throw data_loss(in.name(), ": expected an IDX header of ", header.size(),
                    " bytes, the file ends at ", got);
  }
  const Shape shape = parse_header(header, rank, in.name());
  const auto elements = static_cast<uint64_t>(shape.elements());
  const auto refuse = [&](const auto&... found) {
    return data_loss(in.name(), ": expected ", header.size() + elements, " bytes after unpacking (",
                     describe(shape), "), ", found...);
  };
  const auto check_size = [&](uint64_t size) {
    if (size < header.size() + elements) throw refuse("the file ends at ", size);
    if (size > header.size() + elements) {
      throw refuse("found ", size - header.size() - elements, " bytes more");
    }
  };
  if (in.size()) check_size(*in.size());
  io::check_fits_memory(elements, in.name());
  // A header is not believed beyond what is there: memory grows with what was read.
  io::GrowingBuffer pixels(in.name());
  for (uint64_t left = elements; left > 0;) {
    constexpr uint64_t kPiece = 4 << 20;
    const std::span<uint8_t> piece = pixels.add(std::min(left, kPiece));
    const size_t got = in.read(piece);
    if (got < piece.size()) check_size(header.size() + elements - left + got);
    left -= got;
  }
  uint8_t next;
  if (in.read({&next, 1}) > 0) throw refuse("found more");
  return Tensor(DType::kUInt8, shape, pixels.take());
}

}  // namespace

Tensor read_idx(const std::string& path, int rank) {
  ByteStream in(path);
  return read(in, rank);
}

Tensor parse_idx(std::span<const uint8_t> data, int rank, std::string_view name) {
  ByteStream in(data, name);
  return read(in, rank);
}

Tensor read_idx_images(const std::string& path) {
  const Tensor images = read_idx(path, 3);
  Shape shape = images.shape();
  shape.push_back(1);
  return images.reshaped(shape);
}

Tensor read_idx_labels(const std::string& path, int64_t classes) {
  const Tensor labels = read_idx(path, 1);
  const auto values = labels.flat<uint8_t>();
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] >= classes) {
      throw data_loss(path, ": expected labels below ", classes, ", found ", int{values[i]},
                      " at byte ", header_bytes(1) + i);
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
