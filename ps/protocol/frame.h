// Requests and answers as a stream of bytes, whatever carries it: each is a frame, a header and
// then the message. How the carrier cuts the stream does not matter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "ps/protocol/buffer_pool.h"
#include "ps/protocol/rpc.h"

namespace trireme::ps {

enum class FrameKind : uint16_t {
  kRequest = 1,
  kAnswer = 2,
  kRefusal = 3,     // instead of an answer: `code` and a text
  kRing = 4,        // a RingOffer follows: the sender wants to go on through shared memory
  kRingAnswer = 5,  // code 0: from now on; else a text says why not
};

struct FrameHeader {
  uint32_t magic = kMagic;
  FrameKind kind = FrameKind::kRequest;
  uint16_t code = 0;   // kRefusal: the ErrorCode
  uint64_t call = 0;   // number of the call on this connection, from 1
  uint64_t bytes = 0;  // of the message that follows

  static constexpr uint32_t kMagic = 0x46525054;  // "TPRF"
};
static_assert(sizeof(FrameHeader) == 24);

// Where frames go out. Any thread; never blocks, and drops what comes after the end.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  // Sets header.bytes.
  virtual void send(FrameHeader header, OutMessage message) = 0;
};

// A frame on its way out, part by part.
class OutgoingFrame {
 public:
  OutgoingFrame(FrameHeader header, OutMessage message);

  struct Part {
    std::span<const std::byte> bytes;
    const std::shared_ptr<const void>* owner = nullptr;  // null: the header, which is to be copied
  };
  bool is_over() const { return piece_ == message_.pieces.size() && header_left_ == 0; }
  // The next bytes, as many as lie side by side, `most` at most. REQUIRES: !is_over(), most > 0.
  Part peek(size_t most) const;
  void advance(size_t bytes);

 private:
  void skip_empty();

  FrameHeader header_;
  OutMessage message_;
  size_t header_left_ = sizeof(FrameHeader);
  size_t piece_ = 0, offset_ = 0;  // what is next
};

// Refuses a call in words, as text of at most a few thousand bytes.
void send_refusal(FrameSink& sink, uint64_t call, const Error& error);
// The Error that a refusal's frame stands for.
Error refusal_in(const FrameHeader& header, const Message& message);

// What a pool for messages that arrive keeps for the next ones.
inline constexpr size_t kKeptBytes = size_t{64} << 20;

// Puts frames together again. One thread at a time.
class FrameReader {
 public:
  using OnFrame = std::function<void(const FrameHeader& header, Message message)>;
  // A frame longer than `most`, or than memory: its bytes are skipped as they come.
  using OnTooLong = std::function<void(const FrameHeader& header)>;

  FrameReader(std::shared_ptr<BufferPool> buffers, size_t most, OnFrame on_frame,
              OnTooLong on_too_long);

  // Calls on_frame for each frame that these bytes complete. Throws Error{kDataLoss} for bytes that
  // are no frames, and what on_frame throws; then the stream cannot go on.
  void feed(std::span<const std::byte> bytes);

 private:
  void begin();  // the header is complete

  const std::shared_ptr<BufferPool> buffers_;
  const size_t most_;
  const OnFrame on_frame_;
  const OnTooLong on_too_long_;

  FrameHeader header_;
  size_t header_have_ = 0;
  std::shared_ptr<std::byte> buffer_;  // null while bytes are skipped
  uint64_t have_ = 0;
};

}  // namespace trireme::ps
