// What a server does with the bytes of one stream that it has welcomed: puts requests together and
// hands them to the stream's session, and goes on through shared memory when the client offers it.
//
// Owned by its stream; feed() comes on the stream's thread.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "ps/protocol/frame.h"
#include "ps/protocol/session.h"
#include "ps/protocol/shm_stream.h"

namespace trireme::ps {

class ServerPeer {
 public:
  struct Options {
    std::string name;  // for messages
    size_t max_message_bytes = 0;
    bool shared_memory = false;
  };
  // Ends the stream, from any thread.
  using End = std::function<void(const Error& why)>;

  // `stream` carries answers, and lives at least until close() returns.
  ServerPeer(Options options, std::shared_ptr<Session> session, std::shared_ptr<BufferPool> buffers,
             std::shared_ptr<FrameSink> stream, End end);

  // Throws Error{kDataLoss} for bytes that cannot be believed, and logs it.
  void feed(std::span<const std::byte> bytes);
  // The stream is over: nothing is handed to the session any more when this returns.
  void close();

 private:
  std::shared_ptr<FrameReader> make_reader(const std::weak_ptr<FrameSink>& answers_to,
                                           bool takes_rings);
  void refuse_long(const FrameHeader& header, FrameSink& answers_to);
  void open_ring(const Message& message);

  const Options options_;
  const std::shared_ptr<Session> session_;
  const std::shared_ptr<BufferPool> buffers_;
  const std::weak_ptr<FrameSink> stream_;
  const End end_;
  const std::shared_ptr<FrameReader> reader_;
  std::shared_ptr<ShmStream> ring_;  // null: none
};

}  // namespace trireme::ps
