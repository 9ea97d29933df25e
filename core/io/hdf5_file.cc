#include "core/io/hdf5_file.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/base/error.h"
#include "core/io/growing_buffer.h"
#include "core/io/hdf5_metadata.h"
#include "core/io/input_file.h"

namespace trireme::io {
namespace {

using Kind = Hdf5Element::Kind;

// Whether the element is in the file as it is in memory.
bool is_direct(const Hdf5Element& element, DType dtype) {
  if (element.big_endian && element.bytes > 1) return false;
  switch (element.kind) {
    case Kind::kInteger:
      return element.bytes == size_of(dtype) && element.is_signed == (dtype != DType::kUInt8);
    case Kind::kFloat:
    case Kind::kOpaque:
      return true;
    case Kind::kBool:  // checked
    case Kind::kString:
    case Kind::kVariableString:
      return false;
  }
  return false;
}

// The bytes of one element as a little-endian number.
uint64_t number_at(const uint8_t* data, const Hdf5Element& element) {
  uint64_t value = 0;
  for (uint32_t i = 0; i < element.bytes; ++i) {
    const uint32_t shift = 8 * (element.big_endian ? element.bytes - 1 - i : i);
    value |= uint64_t{data[i]} << shift;
  }
  return value;
}

Tensor converted(const Hdf5Dataset& dataset, std::span<const uint8_t> data,
                 const std::string& place) {
  Tensor tensor(dataset.type.dtype, dataset.type.shape);
  const Hdf5Element& element = dataset.element;
  const unsigned unused = 64 - 8 * element.bytes;
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const auto index = static_cast<size_t>(i);
    uint64_t value = number_at(&data[index * element.bytes], element);
    if (element.kind == Kind::kBool) {
      if (value > 1) throw data_loss(place, ": expected FALSE or TRUE, found ", value);
    } else if (element.kind == Kind::kInteger && element.is_signed) {
      value = static_cast<uint64_t>(static_cast<int64_t>(value << unused) >> unused);
    } else if (element.kind == Kind::kInteger && element.bytes == 8 && value >> 63 != 0) {
      throw data_loss(place, ": ", value, " is larger than an i64 can be");
    }
    const size_t width = size_of(dataset.type.dtype);
    std::memcpy(static_cast<uint8_t*>(tensor.raw()) + index * width, &value, width);
  }
  return tensor;
}

std::pair<std::string_view, std::string_view> split_first(std::string_view path) {
  const size_t slash = path.find('/');
  if (slash == std::string_view::npos) return {path, ""};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

template <typename T>
const T* find_attribute(const Hdf5Attributes& attributes, std::string_view name) {
  const auto found = attributes.find(name);
  return found == attributes.end() ? nullptr : std::get_if<T>(&found->second);
}

}  // namespace

const Hdf5Group* Hdf5Group::group(std::string_view path) const {
  if (path.empty()) return this;
  const auto [first, rest] = split_first(path);
  const auto found = groups.find(first);
  return found == groups.end() ? nullptr : found->second.group(rest);
}

const Hdf5Dataset* Hdf5Group::dataset(std::string_view path) const {
  const size_t slash = path.rfind('/');
  const Hdf5Group* owner = slash == std::string_view::npos ? this : group(path.substr(0, slash));
  if (owner == nullptr) return nullptr;
  const auto found = owner->datasets.find(path.substr(slash + 1));
  return found == owner->datasets.end() ? nullptr : &found->second;
}

const std::string* Hdf5Group::text(std::string_view attribute) const {
  return find_attribute<std::string>(attributes, attribute);
}

const std::vector<std::string>* Hdf5Group::texts(std::string_view attribute) const {
  return find_attribute<std::vector<std::string>>(attributes, attribute);
}

Hdf5File::Hdf5File(const std::string& path) : Hdf5File(file_bytes(path)) {}

Hdf5File::Hdf5File(ByteSourcePtr bytes) : bytes_(std::move(bytes)) {
  hdf5::Metadata metadata(bytes_);
  root_ = hdf5::read_tree(metadata);
}

bool Hdf5File::is_one(const std::string& path) {
  try {
    const InputFile file(path);
    std::string start(hdf5::kSignature.size(), '\0');
    if (file.size() < start.size()) return false;
    file.read(0, start.data(), start.size());
    return start == hdf5::kSignature;
  } catch (const Error&) {
    return false;
  }
}

Tensor Hdf5File::read(const Hdf5Dataset& dataset) const {
  hdf5::Metadata metadata(bytes_);
  hdf5::check_stored(*bytes_, dataset);
  const auto count = static_cast<uint64_t>(dataset.type.shape.elements());
  const uint64_t bytes = count * dataset.element.bytes;
  if (dataset.layout == Hdf5Dataset::Layout::kChunked) (void)hdf5::read_chunks(metadata, dataset);
  check_fits_memory(bytes, name());
  if (is_direct(dataset.element, dataset.type.dtype)) {
    Tensor tensor(dataset.type.dtype, dataset.type.shape);
    hdf5::read_elements(metadata, dataset, {static_cast<uint8_t*>(tensor.raw()), tensor.bytes()});
    return tensor;
  }
  std::vector<uint8_t> data(bytes);
  hdf5::read_elements(metadata, dataset, data);
  const std::string place = str_cat(name(), ": the HDF5 dataset ", quote_name(dataset.path));
  if (dataset.type.dtype != DType::kString) return converted(dataset, data, place);
  const auto texts = hdf5::parse_strings(metadata, dataset.element, data, count);
  return Tensor::from<std::string>(dataset.type.shape, texts);
}

}  // namespace trireme::io
