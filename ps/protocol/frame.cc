#include "ps/protocol/frame.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace trireme::ps {
namespace {

constexpr size_t kMostText = 4096;
// More than any machine has: not even tried.
constexpr uint64_t kMostBytes = uint64_t{1} << 39;

// Null when there is no memory. What is not filled costs none.
std::shared_ptr<std::byte> allocate(BufferPool& buffers, uint64_t bytes) {
  try {
    return bytes > kMostBytes ? nullptr : buffers.take(static_cast<size_t>(bytes));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

// Text of a peer, fit for one line of a log.
std::string printable(const Message& message) {
  std::string text(reinterpret_cast<const char*>(message.bytes.data()),
                   std::min(message.bytes.size(), kMostText));
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  return text;
}

}  // namespace

OutgoingFrame::OutgoingFrame(FrameHeader header, OutMessage message)
    : header_(header), message_(std::move(message)) {
  header_.bytes = message_.bytes();
  skip_empty();
}

void OutgoingFrame::skip_empty() {
  while (piece_ < message_.pieces.size() && message_.pieces[piece_].bytes.size() == offset_) {
    ++piece_;
    offset_ = 0;
  }
}

OutgoingFrame::Part OutgoingFrame::peek(size_t most) const {
  if (header_left_ > 0) {
    const auto header = std::as_bytes(std::span(&header_, 1)).last(header_left_);
    return {header.first(std::min(most, header.size()))};
  }
  const Message& piece = message_.pieces[piece_];
  const auto left = piece.bytes.subspan(offset_);
  return {left.first(std::min(most, left.size())), &piece.owner};
}

void OutgoingFrame::advance(size_t bytes) {
  if (header_left_ > 0) {
    header_left_ -= bytes;
    return;
  }
  offset_ += bytes;
  skip_empty();
}

void send_refusal(FrameSink& sink, uint64_t call, const Error& error) {
  const std::string_view text = std::string_view(error.what()).substr(0, kMostText);
  const auto bytes = std::as_bytes(std::span(text));
  sink.send(
      {.kind = FrameKind::kRefusal, .code = static_cast<uint16_t>(error.code()), .call = call},
      {{own({bytes.begin(), bytes.end()})}});
}

Error refusal_in(const FrameHeader& header, const Message& message) {
  const auto last = static_cast<uint16_t>(ErrorCode::kInternal);
  const auto code = header.code <= last ? static_cast<ErrorCode>(header.code) : ErrorCode::kFailed;
  return {code, printable(message)};
}

FrameReader::FrameReader(std::shared_ptr<BufferPool> buffers, size_t most, OnFrame on_frame,
                         OnTooLong on_too_long)
    : buffers_(std::move(buffers)),
      most_(most),
      on_frame_(std::move(on_frame)),
      on_too_long_(std::move(on_too_long)) {}

void FrameReader::begin() {
  if (header_.magic != FrameHeader::kMagic) {
    throw data_loss("expected a frame, found bytes that begin with 0x", std::hex, header_.magic);
  }
  if (header_.kind < FrameKind::kRequest || header_.kind > FrameKind::kRingAnswer) {
    throw data_loss("expected a kind of frame from 1 to 5, found ", static_cast<int>(header_.kind));
  }
  have_ = 0;
  if (header_.bytes <= most_) buffer_ = allocate(*buffers_, header_.bytes);
  if (buffer_ == nullptr) on_too_long_(header_);
}

void FrameReader::feed(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (header_have_ < sizeof(header_)) {
      const size_t part = std::min(bytes.size(), sizeof(header_) - header_have_);
      std::memcpy(reinterpret_cast<std::byte*>(&header_) + header_have_, bytes.data(), part);
      header_have_ += part;
      bytes = bytes.subspan(part);
      if (header_have_ < sizeof(header_)) return;
      begin();
    }
    const auto part = static_cast<size_t>(std::min<uint64_t>(bytes.size(), header_.bytes - have_));
    if (buffer_ != nullptr && part > 0) std::memcpy(buffer_.get() + have_, bytes.data(), part);
    have_ += part;
    bytes = bytes.subspan(part);
    if (have_ < header_.bytes) return;
    header_have_ = 0;
    if (buffer_ == nullptr) continue;
    const std::span<const std::byte> view(buffer_.get(), static_cast<size_t>(have_));
    on_frame_(header_, {std::exchange(buffer_, nullptr), view});
  }
}

}  // namespace trireme::ps
