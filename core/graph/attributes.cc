#include "core/graph/attributes.h"

#include "core/base/error.h"
#include "core/base/philox.h"

namespace trireme {

void throw_attribute_missing(std::string_view name) {
  throw Error(ErrorCode::kInternal,
              str_cat("attribute '", name, "' is missing or of another type"));
}

uint64_t content_hash(const Tensor& tensor) {
  if (tensor.dtype() == DType::kString) {
    uint64_t hash = 0;
    for (const auto& text : tensor.flat<std::string>()) hash = hash * 31 + hash_name(text);
    return hash;
  }
  return hash_name({static_cast<const char*>(tensor.raw()), tensor.bytes()});
}

std::string to_string(const AttributeValue& value) {
  struct Printer {
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(int64_t v) const { return std::to_string(v); }
    std::string operator()(double v) const { return str_cat(v); }
    std::string operator()(const std::string& v) const { return "\"" + v + "\""; }
    std::string operator()(DType v) const { return std::string(name(v)); }
    std::string operator()(const Shape& v) const { return v.to_string(); }
    std::string operator()(const Ints& v) const {
      std::string text = "[";
      for (size_t i = 0; i < v.size(); ++i) text += (i ? ", " : "") + std::to_string(v[i]);
      return text + "]";
    }
    std::string operator()(const Tensor& v) const {
      return str_cat(v.to_string(4), "#", std::hex, content_hash(v));
    }
  };
  return std::visit(Printer{}, value);
}

std::string Attributes::to_string() const {
  std::string text;
  for (const auto& [key, value] : values_) {
    if (!text.empty()) text += ' ';
    text += key + "=" + trireme::to_string(value);
  }
  return text;
}

}  // namespace trireme
