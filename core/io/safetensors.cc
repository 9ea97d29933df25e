#include "core/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "core/io/safetensors_header.h"

namespace trireme::io {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are written as they are");

constexpr uint64_t kLength = sizeof(uint64_t);  // of the header's size, in front

uint64_t header_size(const InputFile& file) {
  uint64_t size = 0;
  if (file.size() < kLength) {
    throw data_loss(file.path(),
                    ": expected a safetensors file, which starts with 8 bytes that say"
                    " how long its header is; the file has ",
                    file.size());
  }
  file.read(0, &size, kLength);
  if (size > kMostSafetensorsHeader || size > file.size() - kLength) {
    throw data_loss(file.path(), ": expected a header of at most ",
                    std::min(kMostSafetensorsHeader, file.size() - kLength),
                    " bytes behind the first 8, which say that it has ", size);
  }
  return size;
}

}  // namespace

SafetensorsReader::SafetensorsReader(std::string path) : file_(std::move(path)) {
  std::string json(header_size(file_), '\0');
  file_.read(kLength, json.data(), json.size());
  data_ = kLength + json.size();
  // The format has it start with "{", so that a file is told by its ninth byte.
  if (!json.starts_with('{')) {
    throw data_loss(file_.path(), ": expected a header that starts with \"{\"");
  }
  SafetensorsHeader header = parse_safetensors_header(json, file_.size() - data_, file_.path());
  entries_ = std::move(header.entries);
  metadata_ = std::move(header.metadata);
}

Tensor SafetensorsReader::read(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    throw not_found(path(), ": there is no tensor ", quote_name(name), " among its ",
                    entries_.size());
  }
  const Entry& entry = found->second;
  const std::optional<DType> dtype = dtype_of_safetensors(entry.dtype);
  if (!dtype) {
    throw invalid_argument(path(), ": tensor ", quote_name(name), " is of the type ", entry.dtype,
                           ", which Trireme's tensors do not have");
  }
  Tensor tensor(*dtype, entry.shape);
  file_.read(data_ + entry.begin, tensor.raw(), tensor.bytes());
  if (*dtype == DType::kBool) {
    const auto* bytes = static_cast<const uint8_t*>(tensor.raw());
    if (std::any_of(bytes, bytes + tensor.bytes(), [](uint8_t byte) { return byte > 1; })) {
      throw data_loss(path(), ": tensor ", quote_name(name),
                      " is of BOOL, but has bytes that are neither 0 nor 1");
    }
  }
  return tensor;
}

std::map<std::string, Tensor> SafetensorsReader::read_all() const {
  constexpr int kMostNamed = 5;
  std::string others;
  int count = 0;
  for (const auto& [name, entry] : entries_) {
    if (dtype_of_safetensors(entry.dtype)) continue;
    if (++count > kMostNamed) continue;
    others += str_cat(count > 1 ? ", " : "", quote_name(name), " (", entry.dtype, ")");
  }
  if (count > 0) {
    throw invalid_argument(path(), ": ", count,
                           " tensors are of types that Trireme's do not have: ", others,
                           count > kMostNamed ? ", …" : "");
  }
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, entry] : entries_) tensors.emplace(name, read(name));
  return tensors;
}

bool is_safetensors(const std::string& path) {
  try {
    const InputFile file(path);
    const uint64_t size = header_size(file);
    if (size < 2) return false;
    char first[2] = {};
    file.read(kLength, first, sizeof(first));
    std::string last(std::min<uint64_t>(size, 64), '\0');
    file.read(kLength + size - last.size(), last.data(), last.size());
    const size_t end = last.find_last_not_of(' ');
    return first[0] == '{' && std::strchr("\" }\n\t", first[1]) != nullptr &&
           end != std::string::npos && last[end] == '}';
  } catch (const Error&) {
    return false;
  }
}

void write_safetensors(const std::string& path, const std::map<std::string, Tensor>& tensors,
                       const SafetensorsMetadata& metadata) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& named : tensors) {
    const auto& [name, tensor] = named;
    if (!tensor.defined() || !safetensors_dtype(tensor.dtype())) {
      throw invalid_argument(
          path, ": tensor ", quote_name(name),
          tensor.defined() ? " is of texts, which safetensors does not have" : " holds nothing");
    }
    order.push_back(&named);
  }
  // The largest elements first: so each tensor is aligned without gaps between them.
  std::ranges::stable_sort(order, std::greater(),
                           [](const NamedTensor* named) { return size_of(named->second.dtype()); });
  std::string header = safetensors_header(order, metadata, path);
  header.resize((header.size() + kLength - 1) / kLength * kLength, ' ');
  if (header.size() > kMostSafetensorsHeader) {
    throw invalid_argument(path, ": the header would have ", header.size(),
                           " bytes, where readers take ", kMostSafetensorsHeader, " at most");
  }
  AtomicFile file(path);
  const uint64_t size = header.size();
  file.append(&size, sizeof(size));
  file.append(header);
  for (const NamedTensor* named : order) file.append(named->second.raw(), named->second.bytes());
  file.commit();
}

}  // namespace trireme::io
