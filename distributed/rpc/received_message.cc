#include "distributed/rpc/received_message.h"

#include <grpcpp/support/slice.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace trireme {

ReceivedMessage::ReceivedMessage(std::vector<grpc::Slice> slices) : slices_(std::move(slices)) {
  for (const grpc::Slice& slice : slices_) size_ += slice.size();
  left_ = size_;
}

ReceivedMessage::~ReceivedMessage() = default;
ReceivedMessage::ReceivedMessage(ReceivedMessage&&) noexcept = default;
ReceivedMessage& ReceivedMessage::operator=(ReceivedMessage&&) noexcept = default;

void ReceivedMessage::read(void* to, size_t bytes) {
  left_ -= bytes;
  auto* out = static_cast<std::byte*>(to);
  while (bytes > 0) {
    const grpc::Slice& from = slices_[slice_];
    const size_t part = std::min(bytes, from.size() - offset_);
    if (out != nullptr) {
      std::memcpy(out, from.begin() + offset_, part);
      out += part;
    }
    bytes -= part;
    offset_ += part;
    if (offset_ == from.size()) {
      ++slice_;
      offset_ = 0;
    }
  }
}

std::span<const std::byte> ReceivedMessage::read_piece() {
  if (left_ == 0) return {};
  while (slices_[slice_].size() == offset_) {
    ++slice_;
    offset_ = 0;
  }
  const grpc::Slice& from = slices_[slice_++];
  const auto* begin = reinterpret_cast<const std::byte*>(from.begin()) + offset_;
  const size_t bytes = from.size() - std::exchange(offset_, 0);
  left_ -= bytes;
  return {begin, bytes};
}

void ReceivedMessage::rewind() {
  slice_ = offset_ = 0;
  left_ = size_;
}

}  // namespace trireme
