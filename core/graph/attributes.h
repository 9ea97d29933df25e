// Attributes: what a node is told when it is built and that never changes, such as strides, axes or
// a constant.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/tensor/tensor.h"

namespace trireme {

using Ints = std::vector<int64_t>;
using AttributeValue = std::variant<bool, int64_t, double, std::string, DType, Shape, Ints, Tensor>;

class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<const std::string, AttributeValue>> values)
      : values_(values) {}

  bool has(std::string_view name) const { return values_.find(name) != values_.end(); }
  void set(const std::string& name, AttributeValue value) { values_[name] = std::move(value); }

  // Throws Error{kInternal} when the attribute is missing or of another type: an op's builder
  // always sets them.
  template <typename T>
  const T& get(std::string_view name) const;

  auto begin() const { return values_.begin(); }
  auto end() const { return values_.end(); }
  bool empty() const { return values_.empty(); }

  // "axes=[1, 2] keep_dims=true"; equal attributes give equal text, and tensors are told apart by
  // content.
  std::string to_string() const;

 private:
  std::map<std::string, AttributeValue, std::less<>> values_;
};

std::string to_string(const AttributeValue& value);

// The bytes of a tensor as a number, so that two constants can be compared cheaply. REQUIRES: on
// the host.
uint64_t content_hash(const Tensor& tensor);

[[noreturn]] void throw_attribute_missing(std::string_view name);

template <typename T>
const T& Attributes::get(std::string_view name) const {
  auto it = values_.find(name);
  const T* value = it == values_.end() ? nullptr : std::get_if<T>(&it->second);
  if (value == nullptr) throw_attribute_missing(name);
  return *value;
}

}  // namespace trireme
