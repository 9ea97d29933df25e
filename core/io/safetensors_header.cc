#include "core/io/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/error.h"

namespace trireme::io {
namespace {

constexpr std::string_view kMetadata = "__metadata__";

struct Type {
  std::string_view name;
  uint64_t size;               // bytes an element
  std::optional<DType> dtype;  // nothing: we have none
};
constexpr Type kTypes[] = {
    {"BOOL", 1, DType::kBool},
    {"U8", 1, DType::kUInt8},
    {"I8", 1, {}},
    {"F8_E4M3", 1, {}},
    {"F8_E5M2", 1, {}},
    {"I16", 2, {}},
    {"U16", 2, {}},
    {"F16", 2, DType::kFloat16},
    {"BF16", 2, DType::kBFloat16},
    {"I32", 4, DType::kInt32},
    {"U32", 4, {}},
    {"F32", 4, DType::kFloat32},
    {"F64", 8, DType::kFloat64},
    {"I64", 8, DType::kInt64},
    {"U64", 8, {}},
};

const Type* find_type(std::string_view name) {
  const auto* found = std::ranges::find(kTypes, name, &Type::name);
  return found == std::end(kTypes) ? nullptr : found;
}

// Takes the events of nlohmann's parser, and only those of a header's form; false stops it. What is
// nested deeper than a header may be is refused when it begins, and a name that comes twice, which
// a tree of values would hide.
class HeaderEvents : public nlohmann::json_sax<nlohmann::json> {
 public:
  const std::string& problem() const { return problem_; }
  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a truth value"); }
  bool number_integer(number_integer_t) override { return unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return unexpected("a fraction"); }
  bool binary(binary_t&) override { return unexpected("bytes"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::kShape) {
      if (shape_.size() == Shape::kMaxRank) {
        return fail(str_cat("tensor ", quote_name(name_), ": expected at most ", Shape::kMaxRank,
                            " dimensions, found more"));
      }
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return fail(str_cat("tensor ", quote_name(name_), ": a dimension is ", value));
      }
      shape_.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (state_ == State::kOffsets && offsets_.size() < 2) {
      offsets_.push_back(value);
      return true;
    }
    return unexpected("a number");
  }

  bool string(string_t& value) override {
    if (state_ == State::kMetadata) {
      if (!header_.metadata.emplace(key_, std::move(value)).second) return twice(key_);
      return true;
    }
    if (state_ == State::kTensor && key_ == "dtype") {
      entry_.dtype = std::move(value);
      has_dtype_ = true;
      return true;
    }
    return unexpected("a text");
  }

  bool start_object(size_t) override {
    switch (state_) {
      case State::kStart:
        state_ = State::kTop;
        return true;
      case State::kTop:
        name_ = key_;
        if (name_ == kMetadata) {
          if (has_metadata_) return twice(name_);
          has_metadata_ = true;
          state_ = State::kMetadata;
        } else {
          entry_ = {};
          has_dtype_ = has_shape_ = has_offsets_ = false;
          state_ = State::kTensor;
        }
        return true;
      default:
        return unexpected("an object");
    }
  }

  bool key(string_t& value) override {
    key_ = std::move(value);
    if (state_ != State::kTensor) return true;
    if (key_ == "dtype" ? has_dtype_ : key_ == "shape" ? has_shape_ : has_offsets_) {
      if (key_ == "dtype" || key_ == "shape" || key_ == "data_offsets") return twice(key_);
    }
    if (key_ == "dtype" || key_ == "shape" || key_ == "data_offsets") return true;
    return fail(str_cat("tensor ", quote_name(name_),
                        ": expected dtype, shape and data_offsets, found ", quote_name(key_)));
  }

  bool end_object() override {
    if (state_ == State::kTop) {
      state_ = State::kEnd;
      return true;
    }
    if (state_ == State::kTensor) {
      if (!has_dtype_ || !has_shape_ || !has_offsets_) {
        return fail(str_cat("tensor ", quote_name(name_),
                            ": expected dtype, shape and data_offsets, found no ",
                            !has_dtype_   ? "dtype"
                            : !has_shape_ ? "shape"
                                          : "data_offsets"));
      }
      if (!header_.entries.emplace(name_, std::move(entry_)).second) return twice(name_);
    }
    state_ = State::kTop;
    return true;
  }

  bool start_array(size_t) override {
    if (state_ == State::kTensor && key_ == "shape") {
      shape_.clear();
      state_ = State::kShape;
      return true;
    }
    if (state_ == State::kTensor && key_ == "data_offsets") {
      offsets_.clear();
      state_ = State::kOffsets;
      return true;
    }
    return unexpected("a list");
  }

  bool end_array() override {
    if (state_ == State::kShape) {
      entry_.shape = Shape(shape_);
      has_shape_ = true;
    } else {
      if (offsets_.size() != 2) {
        return fail(str_cat("tensor ", quote_name(name_), ": expected 2 data_offsets, found ",
                            offsets_.size()));
      }
      entry_.begin = offsets_[0];
      entry_.end = offsets_[1];
      has_offsets_ = true;
    }
    state_ = State::kTensor;
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return fail(str_cat("it is no JSON from byte ", position, " on"));
  }

 private:
  enum class State { kStart, kTop, kMetadata, kTensor, kShape, kOffsets, kEnd };

  bool fail(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }
  bool twice(const std::string& name) { return fail(str_cat(quote_name(name), " is there twice")); }
  bool unexpected(std::string_view found) {
    const std::string at = state_ == State::kStart ? ""
                           : state_ == State::kTop ? str_cat(" for ", quote_name(key_))
                                                   : str_cat(" in ", quote_name(name_));
    return fail(str_cat("found ", found, at,
                        ", which a header of tensors and of texts in \"__metadata__\" has not"));
  }

  State state_ = State::kStart;
  std::string key_, name_;  // the last key; that of the outermost object
  SafetensorsReader::Entry entry_;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false, has_metadata_ = false;
  std::vector<int64_t> shape_;
  std::vector<uint64_t> offsets_;
  SafetensorsHeader header_;
  std::string problem_;
};

// Bytes of elements, or nothing when a number of 64 bits cannot hold them.
std::optional<uint64_t> bytes_of(const Shape& shape, uint64_t element) {
  uint64_t bytes = element;
  for (int64_t size : shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) return {};
  }
  return bytes;
}

void check_places(const SafetensorsHeader& header, uint64_t data_bytes, const std::string& path) {
  using Place = std::pair<const std::string, SafetensorsReader::Entry>;
  std::vector<const Place*> places;
  for (const Place& place : header.entries) places.push_back(&place);
  std::ranges::sort(places, {}, [](const Place* place) {
    return std::pair(place->second.begin, place->second.end);
  });
  uint64_t at = 0;
  for (const Place* place : places) {
    const auto& [name, entry] = *place;
    const Type* const type = find_type(entry.dtype);
    if (type == nullptr) {
      throw data_loss(path, ": tensor ", quote_name(name), " is of the type ",
                      quote_name(entry.dtype), ", which is none of this format");
    }
    const std::optional<uint64_t> bytes = bytes_of(entry.shape, type->size);
    if (!bytes || entry.end < entry.begin || entry.end - entry.begin != *bytes) {
      throw data_loss(path, ": tensor ", quote_name(name), " of ", entry.dtype, entry.shape,
                      ": expected ", bytes ? str_cat(*bytes) : "more than 2^64",
                      " bytes, found data_offsets [", entry.begin, ", ", entry.end, "]");
    }
    if (entry.begin != at) {
      throw data_loss(path, ": tensor ", quote_name(name), ": expected its data at byte ", at,
                      " behind the header, where that before ends, found ", entry.begin);
    }
    at = entry.end;
  }
  if (at != data_bytes) {
    throw data_loss(path, ": expected ", at, " bytes of tensors behind the header, the file has ",
                    data_bytes);
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                           const std::string& path) {
  HeaderEvents events;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &events)) {
    throw data_loss(path, ": in its header ", events.problem());
  }
  SafetensorsHeader header = events.take();
  check_places(header, data_bytes, path);
  return header;
}

std::string safetensors_header(std::span<const NamedTensor* const> tensors,
                               const SafetensorsMetadata& metadata, const std::string& path) {
  const auto quote = [&](const std::string& text) {
    try {
      return nlohmann::json(text).dump();
    } catch (const nlohmann::json::exception&) {
      throw invalid_argument(path, ": ", quote_name(text), " is no UTF-8, as JSON must be");
    }
  };
  std::string json = "{";
  if (!metadata.empty()) {
    json += str_cat("\"", kMetadata, "\":{");
    for (const auto& [key, value] : metadata) json += quote(key) + ":" + quote(value) + ",";
    json.back() = '}';
    json += ',';
  }
  uint64_t at = 0;
  for (const NamedTensor* named : tensors) {
    const auto& [name, tensor] = *named;
    if (name == kMetadata) throw invalid_argument(path, ": no tensor may be named ", kMetadata);
    json += str_cat(quote(name), ":{\"dtype\":\"", *safetensors_dtype(tensor.dtype()),
                    "\",\"shape\":[");
    for (int axis = 0; axis < tensor.shape().rank(); ++axis) {
      json += str_cat(axis > 0 ? "," : "", tensor.shape()[axis]);
    }
    json += str_cat("],\"data_offsets\":[", at, ",", at + tensor.bytes(), "]},");
    at += tensor.bytes();
  }
  if (json.back() == ',') json.pop_back();
  return json + "}";
}

std::optional<std::string_view> safetensors_dtype(DType dtype) {
  const auto* found = std::ranges::find(kTypes, std::optional(dtype), &Type::dtype);
  return found == std::end(kTypes) ? std::nullopt : std::optional(found->name);
}

std::optional<DType> dtype_of_safetensors(std::string_view name) {
  const Type* const type = find_type(name);
  return type == nullptr ? std::nullopt : type->dtype;
}

}  // namespace trireme::io
