#include "ps/protocol/server_peer.h"

#include <cstring>
#include <utility>

#include "core/base/logging.h"

namespace trireme::ps {

ServerPeer::ServerPeer(Options options, std::shared_ptr<Session> session,
                       std::shared_ptr<BufferPool> buffers, std::shared_ptr<FrameSink> stream,
                       End end)
    : options_(std::move(options)),
      session_(std::move(session)),
      buffers_(std::move(buffers)),
      stream_(stream),
      end_(std::move(end)),
      reader_(make_reader(stream, true)) {}

std::shared_ptr<FrameReader> ServerPeer::make_reader(const std::weak_ptr<FrameSink>& answers_to,
                                                     bool takes_rings) {
  const auto on_frame = [this, answers_to, takes_rings](const FrameHeader& header,
                                                        Message message) {
    if (header.kind == FrameKind::kRequest) {
      session_->arrived(header.call, std::move(message), answers_to.lock());
    } else if (header.kind == FrameKind::kRing && takes_rings) {
      open_ring(message);
    } else {
      throw data_loss("expected a request, found a frame of kind ", static_cast<int>(header.kind));
    }
  };
  const auto on_too_long = [this, answers_to](const FrameHeader& header) {
    if (const auto to = answers_to.lock()) refuse_long(header, *to);
  };
  return std::make_shared<FrameReader>(buffers_, options_.max_message_bytes, on_frame, on_too_long);
}

void ServerPeer::refuse_long(const FrameHeader& header, FrameSink& answers_to) {
  const Error why =
      invalid_argument("expected a request of at most ", options_.max_message_bytes,
                       " bytes, found one of ", header.bytes, "; send fewer rows at a time");
  log_error(str_cat("refused a request of ", options_.name, ": ", why.what()));
  send_refusal(answers_to, header.call, why);
  session_->skipped(header.call);
}

void ServerPeer::feed(std::span<const std::byte> bytes) {
  try {
    reader_->feed(bytes);
  } catch (const Error& error) {
    log_error(str_cat("closed the connection of ", options_.name, ": ", error.what()));
    throw;
  }
}

void ServerPeer::open_ring(const Message& message) {
  const auto stream = stream_.lock();
  if (stream == nullptr) return;
  const auto refuse = [&](const Error& why) {
    const auto text = std::as_bytes(std::span(std::string_view(why.what())));
    stream->send({.kind = FrameKind::kRingAnswer, .code = static_cast<uint16_t>(why.code())},
                 {{own({text.begin(), text.end()})}});
  };
  ShmOffer offer;
  if (message.bytes.size() != sizeof(offer) || ring_ != nullptr) {
    throw data_loss("expected one offer of shared memory, of ", sizeof(offer), " bytes, found ",
                    ring_ != nullptr ? "another one of " : "one of ", message.bytes.size());
  }
  std::memcpy(&offer, message.bytes.data(), sizeof(offer));
  if (!options_.shared_memory) {
    return refuse({ErrorCode::kFailed, "this server offers no shared memory"});
  }
  std::unique_ptr<ShmRing> ring;
  try {
    ring = ShmRing::open(offer);
  } catch (const Error& error) {
    log_warning(str_cat("not through shared memory with ", options_.name, ": ", error.what()));
    return refuse(error);
  }
  ring_ = std::make_shared<ShmStream>(std::move(ring));
  auto reader = make_reader(ring_, false);
  ring_->start(
      "ps shm", [reader](std::span<const std::byte> bytes) { reader->feed(bytes); },
      [this](const Error& why) {
        log_error(str_cat("closed the connection of ", options_.name, ": ", why.what()));
        end_(why);
      });
  stream->send({.kind = FrameKind::kRingAnswer}, {});
}

void ServerPeer::close() {
  if (ring_ == nullptr) return;
  ring_->stop();
  ring_->join();
}

}  // namespace trireme::ps
