// Little-endian numbers and texts one after another, as binary formats have them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace trireme::io {

class ByteRecord {
 public:
  template <typename T>
  ByteRecord& add(std::type_identity_t<T> value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  ByteRecord& add(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  ByteRecord& pad_to(size_t multiple) {
    bytes_.resize((bytes_.size() + multiple - 1) / multiple * multiple);
    return *this;
  }
  size_t size() const { return bytes_.size(); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace trireme::io
