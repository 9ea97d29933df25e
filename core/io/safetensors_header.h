// The header of a safetensors file as JSON, for safetensors.cc.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/io/safetensors.h"

namespace trireme::io {

struct SafetensorsHeader {
  std::map<std::string, SafetensorsReader::Entry> entries;
  SafetensorsMetadata metadata;
};

// Checks the JSON, its form, and the sizes against `data_bytes`, the bytes behind the header.
// `path` is for messages. Throws Error{kDataLoss}.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                           const std::string& path);

using NamedTensor = std::pair<const std::string, Tensor>;
// The header of tensors that are written in this order.
std::string safetensors_header(std::span<const NamedTensor* const> tensors,
                               const SafetensorsMetadata& metadata, const std::string& path);

// "F32"; nothing for a type that the format does not have.
std::optional<std::string_view> safetensors_dtype(DType dtype);
std::optional<DType> dtype_of_safetensors(std::string_view name);

}  // namespace trireme::io
