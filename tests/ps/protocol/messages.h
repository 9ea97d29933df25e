// Messages made by hand, for tests of what reads them.
#pragma once

#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "ps/protocol/wire.h"

namespace trireme::ps {

// Bytes put together part by part, each padded to 8 as the wire wants it.
class MessageBytes {
 public:
  template <typename T>
  MessageBytes& add(const T& part) {
    return add(std::as_bytes(std::span(&part, 1)));
  }
  template <typename T>
  MessageBytes& add(const std::vector<T>& parts) {
    return add(std::as_bytes(std::span(parts)));
  }
  MessageBytes& add(std::span<const std::byte> part) {
    bytes_.insert(bytes_.end(), part.begin(), part.end());
    bytes_.resize((bytes_.size() + 7) / 8 * 8);
    return *this;
  }
  MessageBytes& cut(size_t bytes) {
    bytes_.resize(bytes);
    return *this;
  }
  size_t size() const { return bytes_.size(); }
  Message message() const { return own(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

// One buffer of all pieces.
inline Message joined(const OutMessage& message) {
  std::vector<std::byte> bytes;
  for (const Message& piece : message.pieces) {
    bytes.insert(bytes.end(), piece.bytes.begin(), piece.bytes.end());
  }
  return own(std::move(bytes));
}

inline std::string text_of(const Message& message) {
  return {reinterpret_cast<const char*>(message.bytes.data()), message.bytes.size()};
}

inline OutMessage text_message(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {{own({bytes.begin(), bytes.end()})}};
}

}  // namespace trireme::ps
