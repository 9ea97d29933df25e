// One message as gRPC received it, which is read once, from front to back, without a copy between.
//
// One thread at a time.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace grpc {
class Slice;
}

namespace trireme {

class ReceivedMessage {
 public:
  explicit ReceivedMessage(std::vector<grpc::Slice> slices);
  ~ReceivedMessage();
  ReceivedMessage(ReceivedMessage&&) noexcept;
  ReceivedMessage& operator=(ReceivedMessage&&) noexcept;

  size_t size() const { return size_; }
  size_t left() const { return left_; }  // bytes that have not been read
  // Copies the next bytes to `to`; skips them when it is null. REQUIRES: bytes <= left().
  void read(void* to, size_t bytes);
  // The next bytes, as many as lie side by side; empty at the end. Valid while the message is.
  std::span<const std::byte> read_piece();
  void rewind();

 private:
  std::vector<grpc::Slice> slices_;
  size_t size_ = 0, left_ = 0;
  size_t slice_ = 0, offset_ = 0;  // what is next
};

}  // namespace trireme
